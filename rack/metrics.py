"""What the rack manager counts, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from clawbucket.core.model import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST
_TURNS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """The counters that engine and observer advance, and the gauges read from the last snapshot."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.restarts = Counter(
            "clawbucket_rack_restarts",
            "Tasks that ended unasked and were replaced",
            ["service"],
            registry=self.registry,
        )
        self.reconcile = Histogram(
            "clawbucket_rack_reconcile_seconds",
            "How long one comparison of desired and actual took, with its deeds",
            buckets=_TURNS,
            registry=self.registry,
        )
        self.published = Counter(
            "clawbucket_rack_snapshot_publications",
            "Snapshots given out to the API's callers",
            registry=self.registry,
        )
        self.bus_failures = Counter(
            "clawbucket_rack_bus_failures",
            "Snapshots that the bus did not take",
            registry=self.registry,
        )

    def watch(self, calls: Callable[[], int], latest: Callable[[], Snapshot | None]) -> None:
        """Show from now on how often the engine was asked, and the latest snapshot's tasks."""
        self.registry.register(_FromSnapshot(calls, latest))

    def page(self) -> bytes:
        """Everything, in Prometheus' text form."""
        return generate_latest(self.registry)


class _FromSnapshot(Collector):
    def __init__(self, calls: Callable[[], int], latest: Callable[[], Snapshot | None]) -> None:
        self._calls = calls
        self._latest = latest

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is shown depends on what runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, made at each scrape."""
        yield CounterMetricFamily(
            "clawbucket_rack_engine_calls", "How often the engine was asked for its state", self._calls()
        )
        tasks = GaugeMetricFamily(
            "clawbucket_rack_tasks", "Tasks not ended, by service and state", labels=["service", "state"]
        )
        desired = GaugeMetricFamily(
            "clawbucket_rack_desired_replicas", "Replicas wanted, by service", labels=["service"]
        )
        snapshot = self._latest()
        counts: dict[tuple[str, str], int] = {}
        for task in snapshot.tasks if snapshot else ():
            counts[task.service, task.state.value] = counts.get((task.service, task.state.value), 0) + 1
        for labels, count in counts.items():
            tasks.add_metric(list(labels), count)
        for service in snapshot.services if snapshot else ():
            desired.add_metric([service.name], service.desired)
        yield tasks
        yield desired
