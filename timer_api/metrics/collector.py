"""The API's numbers in Prometheus' words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from timer_api.metrics.tally import Tally
from timer_db.metrics import gauge, histogram


class ApiCollector(Collector):
    """Asks nobody; tells what is known. `lines` gives how many creates wait in each line."""

    def __init__(
        self, tally: Tally, *, is_ready: Callable[[], bool], lines: Callable[[], Mapping[str, int]]
    ) -> None:
        self._tally = tally
        self._is_ready = is_ready
        self._lines = lines

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        tally = self._tally
        requests = CounterMetricFamily(
            "timer_api_requests", "Calls that were answered.", labels=["method", "path", "status"]
        )
        for (method, path, status), number in sorted(tally.requests.items()):
            requests.add_metric([method, path, str(status)], number)
        yield requests
        seconds = HistogramMetricFamily(
            "timer_api_request_seconds", "From the head of a call to its answer.", labels=["method", "path"]
        )
        for labels, buckets in sorted(tally.seconds.items(), key=lambda item: item[0]):
            buckets.add_to(seconds, labels)
        yield seconds
        yield histogram("timer_commit_timers", "Timers stored in one transaction.", tally.committed)
        waiting = GaugeMetricFamily("timer_line_waiting", "Creates that wait to be stored.", labels=["line"])
        for line, number in self._lines().items():
            waiting.add_metric([line], number)
        yield waiting
        yield gauge("timer_ready", "1 while the database can be used.", int(self._is_ready()))
