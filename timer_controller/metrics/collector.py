"""A controller's numbers in Prometheus' words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from timer_controller.metrics.tally import GROUPS_MAX, OTHERS, Group, Tally
from timer_db.domain.destination import Grouped
from timer_db.domain.directory import Directory
from timer_db.domain.owner import Owner
from timer_db.domain.states import Outcome, TimerState
from timer_db.metrics import counter, gauge, histogram
from timer_db.operations.overview import Glance

_ENDS = (TimerState.delivered, TimerState.failed, TimerState.unknown)
_HOLDERS = ("receiver", "route", "disabled", "pause")


class Working(Protocol):
    """A membership, as far as it is told about."""

    @property
    def held(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def breakers_open(self) -> int: ...


class ControllerCollector(Collector):
    """Asks nobody; tells what is known."""

    def __init__(
        self,
        tally: Tally,
        *,
        is_ready: Callable[[], bool],
        sessions: Callable[[], Sequence[Working]],
        backlogs: Callable[[], Sequence[Glance | None]],
        directory: Callable[[], Directory | None],
    ) -> None:
        self._tally = tally
        self._is_ready = is_ready
        self._sessions = sessions
        self._backlogs = backlogs
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        tally, sessions = self._tally, self._sessions()
        yield histogram("timer_lateness_seconds", "From the time of a call to its first byte.", tally.lateness)
        yield histogram("timer_attempt_seconds", "From the start of a call to its outcome.", tally.latency)
        yield self._by_group("timer_attempts", "Calls by their outcome.", "outcome", Outcome, tally.attempts)
        yield self._by_group(
            "timer_ends", "Timers that ended, by the state they ended in.", "state", _ENDS, tally.ends
        )
        # By itself: a group that is told from its first unknown on has not grown to Prometheus.
        yield counter("timer_unknown", "Timers that ended as unknown.", tally.unknown)
        yield histogram("timer_claim_timers", "Timers claimed in one transaction.", tally.claimed)
        yield histogram("timer_finish_timers", "Outcomes written in one transaction.", tally.written)
        rescued = CounterMetricFamily(
            "timer_rescued", "Claims taken over from lost controllers, by what is known of them.", labels=["fate"]
        )
        rescued.add_metric(["unsent"], tally.rescued_unsent)
        rescued.add_metric(["unknown"], tally.rescued_unknown)
        yield rescued
        yield gauge(
            "timer_claims_in_hand", "Timers claimed and not written down yet.", sum(s.held for s in sessions)
        )
        yield gauge("timer_calls_in_flight", "Calls under way.", sum(s.in_flight for s in sessions))
        # Each membership finds out by itself about the same receivers: the largest, not the sum.
        troubled = max((s.breakers_open for s in sessions), default=0)
        yield gauge("timer_breakers_open", "Receivers in trouble for which something waits.", troubled)
        yield gauge("timer_ready", "1 while every database takes our beats.", int(self._is_ready()))
        seen = self._backlogs()
        yield _looked_at(seen)
        known = [each for each in seen if each is not None]
        if known:
            yield from _of_databases(known)
            yield self._held(known)

    def _by_group(
        self, name: str, text: str, kind: str, kinds: Iterable[Any], counted: Counter[Any]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["collection", "route", kind])
        # With zeros, since what begins at 1 has not grown to Prometheus.
        groups = {*self._collections(), *(group for group, _ in counted)}
        for group in sorted(groups):
            for what in kinds:
                family.add_metric([*self._names_of(group), what.value], counted[group, what])
        return family

    def _collections(self) -> list[Group]:
        directory = self._directory()
        return [] if directory is None else [(number, 0) for number in sorted(directory.collections)[:GROUPS_MAX]]

    def _names_of(self, group: Group) -> tuple[str, str]:
        if group == OTHERS:
            return "(others)", "(others)"
        directory = self._directory()
        if directory is None or not directory.knows(Owner(*group)):
            return f"#{group[0]}", f"#{group[1]}" if group[1] else ""
        collection, route, _ = directory.names_of(Owner(*group))
        return collection, route or ""

    def _held(self, seen: Sequence[Glance]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "timer_deferred_oldest_seconds",
            "How long the first of them has been due, by what holds it up.",
            labels=["holder"],
        )
        ages: dict[str, list[int]] = {holder: [] for holder in _HOLDERS}
        for each in seen:
            for group, at_us in each.held_at_us.items():
                ages[self._holder(group)].append(each.now_us - at_us)
        for holder, found in ages.items():
            family.add_metric([holder], _age(found))
        return family

    def _holder(self, group: tuple[Grouped, int] | None) -> str:
        """One of `_HOLDERS`. A route of which nothing is known is stopped, as for calls, and no alarm."""
        if group is None:
            return "receiver"
        kind, number = group
        directory = self._directory()
        route = None if directory is None or kind is Grouped.collection else directory.routes.get(number)
        if route is None or route.is_paused:
            return "pause"
        # One that is neither may be at its limit, or its receiver in trouble.
        return "route" if route.disabled_at_us is None else "disabled"


def _looked_at(seen: Sequence[Glance | None]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "timer_database_looked_at", "1 while the last look at this server is not old.", labels=["database"]
    )
    for number, each in enumerate(seen):
        family.add_metric([str(number)], int(each is not None))
    return family


def _of_databases(seen: Sequence[Glance]) -> Iterator[Metric]:
    """The same from every controller that looked at the same servers: take the largest, not the sum."""
    oldest = [each.now_us - each.first_at_us for each in seen if each.first_at_us is not None]
    overdue = sum(each.overdue for each in seen)
    yield gauge("timer_backlog_due", "Timers due and in nobody's hands; counted up to 10,000.", overdue)
    yield gauge("timer_backlog_oldest_seconds", "How long the first of them has been due.", _age(oldest))
    deferred = sum(each.deferred for each in seen)
    yield gauge("timer_deferred", "Timers that wait for a receiver, a route or a collection.", deferred)
    yield gauge("timer_controllers", "Controllers that are members.", min(len(s.members) for s in seen))
    slowest = max(each.round_trip_us for each in seen)
    yield gauge("timer_database_round_trip_seconds", "What the simplest question took.", slowest / 1e6)


def _age(ages_us: Sequence[int]) -> float:
    return max(0, *ages_us, 0) / 1e6
