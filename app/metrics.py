"""What a replica counts, in a registry of its own.

A request is counted in two plain dictionaries, since that happens thousands of times a second; what
Prometheus sees is made of them when it asks. Label values are bounded: endpoints are those that the
application names itself, and everything else is ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: half a millisecond is a ready answer, five seconds what the gateway waits for a GET."""
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that is read when somebody asks. ``counter``: it only rises. None: left out."""

    name: str
    doc: str
    read: Callable[[], float | None]
    counter: bool = False


Families = Callable[[], Iterator[Metric]]
"""What a part counts, made at each scrape."""


class Metrics:
    """The counters of one replica. Greenlet-safe: nothing here waits for anything."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests: dict[tuple[str, str, str], int] = {}
        self.latency: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}
        self._gauges: list[Gauge] = []
        self._families: list[Families] = []
        ProcessCollector(registry=self.registry)
        self.registry.register(_Collected(self))

    def count(self, endpoint: str, method: str, status: str, seconds: float) -> None:
        """One request was answered; of a stream, its first byte."""
        key = (endpoint, method if method in _METHODS else OTHER, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        if endpoint not in self.latency:
            self.latency[endpoint] = [0] * len(_BOUNDS)
        self.latency[endpoint][bisect_left(BUCKETS, seconds)] += 1
        self.seconds[endpoint] = self.seconds.get(endpoint, 0.0) + seconds

    def show(self, *gauges: Gauge) -> None:
        """Show these from now on."""
        self._gauges += gauges

    def add(self, families: Families) -> None:
        """Show what these yield, too."""
        self._families.append(families)

    def page(self) -> bytes:
        """Everything, in Prometheus' text form."""
        return generate_latest(self.registry)

    def families(self) -> Iterator[Metric]:
        """Everything of our own, as it is now."""
        requests = CounterMetricFamily(
            "clawbucket_app_requests",
            "Requests answered, by endpoint, method and status",
            labels=["endpoint", "method", "status"],
        )
        for key, count in sorted(self.requests.items()):
            requests.add_metric(key, count)
        yield requests
        latency = HistogramMetricFamily(
            "clawbucket_app_request_seconds",
            "Seconds from a request's head to its answer's, by endpoint",
            labels=["endpoint"],
        )
        for endpoint, counts in sorted(self.latency.items()):
            sums = [sum(counts[: index + 1]) for index in range(len(counts))]
            buckets = list(zip(_BOUNDS, map(float, sums), strict=True))
            latency.add_metric([endpoint], buckets, self.seconds[endpoint])
        yield latency
        for gauge in self._gauges:
            value = gauge.read()
            if value is not None:
                family = CounterMetricFamily if gauge.counter else GaugeMetricFamily
                yield family(gauge.name, gauge.doc, value)
        for families in self._families:
            yield from families()


class _Collected(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: what is shown depends on what was asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, made at each scrape."""
        return self._metrics.families()
