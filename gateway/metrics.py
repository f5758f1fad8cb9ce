"""What the gateway counts, for Prometheus. Labels are bounded: methods, status classes, reasons, codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.routing import Routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry for the program; children of the labels on the hot path are looked up once."""

    def __init__(self, routes: Routes, aggregators: Routes | None, now: Callable[[], float]) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        requests = Counter(
            "clawbucket_gateway_requests", "Answers by method and class", ["method", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._requests = {
            (method, kind): requests.labels(method, f"{kind}xx")
            for method in (*METHODS, "other")
            for kind in range(1, 6)
        }
        self._first_byte = Histogram(
            "clawbucket_gateway_first_byte_seconds", "From a request's head to its answer's",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.retries = Counter(
            "clawbucket_gateway_retries", "Requests sent to another replica, by why", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.faults = Counter(
            "clawbucket_gateway_faults", "Answers of the gateway's own, by code", ["code"],
            registry=self.registry,
        )  # fmt: skip
        self.cut = Counter(
            "clawbucket_gateway_answers_cut", "Answers that a replica broke off", registry=self.registry
        )
        self.feed_failures = Counter(
            "clawbucket_gateway_feed_failures", "Polls of the rack manager that failed",
            registry=self.registry,
        )  # fmt: skip
        self.snapshot_age = Gauge(
            "clawbucket_gateway_snapshot_age_seconds", "Since the rack manager last answered",
            registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "clawbucket_gateway_in_flight", "Requests and streams under way", registry=self.registry
        )
        self.registry.register(_Replicas(routes, aggregators, now))

    def answered(self, method: str, status: int, seconds: float) -> None:
        """One request got the head of its answer."""
        kind = status // 100
        self._requests[(method if method in METHODS else "other", kind if 1 <= kind <= 5 else 5)].inc()
        self._first_byte.observe(seconds)

    def page(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


class _Replicas(Collector):
    """The replicas of this moment, so that those that went leave no series behind."""

    def __init__(self, routes: Routes, aggregators: Routes | None, now: Callable[[], float]) -> None:
        self._routes = routes
        self._aggregators = aggregators
        self._now = now

    def collect(self) -> Iterable[Metric]:
        families = [self._states("clawbucket_gateway_replicas", "Replicas by state", self._routes)]
        if self._aggregators is not None:
            name = "clawbucket_gateway_aggregators"
            families.append(self._states(name, "Aggregators by state", self._aggregators))
        loads = GaugeMetricFamily(
            "clawbucket_gateway_replica_in_flight", "Requests and streams at a replica", labels=["task"]
        )
        for replica in self._routes.replicas:
            loads.add_metric([replica.name], replica.in_flight)
        return [*families, loads]

    def _states(self, name: str, doc: str, routes: Routes) -> Metric:
        states = GaugeMetricFamily(name, doc, labels=["state"])
        for state, count in routes.counts(self._now()).items():
            states.add_metric([state], count)
        return states
