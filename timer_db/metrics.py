"""What a process counts for Prometheus: gathered as cheaply as can be, and put into its words when it asks.

`prometheus_client` takes a microsecond for each value that it is told. A burst makes several values a timer, so
here they are kept in plain lists, many at a time, and given to it by collectors.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from timer_db.transactions import TRAFFIC

LATENCIES = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    3600.0,
)
"""Bounds of histograms of time, in seconds."""
SIZES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 900.0)
"""Bounds of histograms of how many there are in one transaction."""


class Buckets:
    """A histogram. What is told is in units of `unit`: microseconds are `1e-6` of what Prometheus wants."""

    __slots__ = ("_bounds", "_counts", "_sum", "_unit", "_upper")

    def __init__(self, bounds: Sequence[float], unit: float = 1.0) -> None:
        self._bounds = bounds
        self._upper = [bound / unit for bound in bounds]
        self._unit = unit
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One value."""
        self._counts[bisect_left(self._upper, value)] += 1
        self._sum += value

    def add_all(self, values: Iterable[float]) -> None:
        """Many: a tenth of the price."""
        ordered = sorted(values)
        behind = 0
        for number, bound in enumerate(self._upper):
            until = bisect_right(ordered, bound, behind)
            self._counts[number] += until - behind
            behind = until
        self._counts[-1] += len(ordered) - behind
        self._sum += sum(ordered)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """What was told so far."""
        total, cumulated = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            cumulated.append((bound, total))
        family.add_metric(labels, cumulated, sum_value=self._sum * self._unit)


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """One value without labels."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """The same of what only grows."""
    return CounterMetricFamily(name, text, value=value)


def histogram(name: str, text: str, buckets: Buckets) -> HistogramMetricFamily:
    """The same of a distribution."""
    family = HistogramMetricFamily(name, text)
    buckets.add_to(family)
    return family


class _Common(Collector):
    """What every service tells."""

    def __init__(self, service: str) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("timer_build_info", "The version that runs.", labels=["service", "version"])
        build.add_metric([self._service, metadata.version("timer-system")], 1)
        yield build
        yield counter("timer_database_transactions", "Transactions that were tried.", TRAFFIC.transactions)
        yield counter("timer_database_statements", "Statements sent, each a round trip.", TRAFFIC.statements)
        yield counter("timer_database_retries", "Transactions tried again after a deadlock.", TRAFFIC.retries)
        yield counter("timer_database_failures", "Transactions that ended with an error.", TRAFFIC.failures)


class Metrics:
    """Everything that a process tells, in the form that is asked for."""

    def __init__(self, service: str, *collectors: Collector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (_Common(service), *collectors):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def shown(self, accept: str) -> tuple[bytes, str]:
        """The body of an answer, and its Content-Type, for this `Accept`."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
