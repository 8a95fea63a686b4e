"""What a controller counts while it works: once for each batch, not for each timer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from timer_db.domain.claim import Finished
from timer_db.domain.owner import Owner
from timer_db.domain.states import Outcome, TimerState
from timer_db.metrics import LATENCIES, SIZES, Buckets
from timer_db.operations.rescue import Rescued

GROUPS_MAX = 100
"""So many pairs of collection and route are told apart, those that came first; all others are one."""
OTHERS = (-1, -1)

_MICRO = 1e-6
_KIND = attrgetter("owner", "outcome", "state")

Group = tuple[int, int]
"""The numbers of a collection and a route."""


class Tally:
    """Of all memberships of a process, since it began."""

    def __init__(self) -> None:
        self.lateness = Buckets(LATENCIES, _MICRO)
        self.latency = Buckets(LATENCIES, _MICRO)
        self.claimed = Buckets(SIZES)
        self.written = Buckets(SIZES)
        self.attempts: Counter[tuple[Group, Outcome]] = Counter()
        self.ends: Counter[tuple[Group, TimerState]] = Counter()
        self.rescued_unsent = self.rescued_unknown = 0
        self._groups: set[Group] = set()

    @property
    def unknown(self) -> int:
        """Timers that ended so."""
        return sum(number for (_, state), number in self.ends.items() if state is TimerState.unknown)

    def note_written(self, finished: Sequence[Finished]) -> None:
        """Outcomes that are stored."""
        self.written.add(len(finished))
        sent = [f for f in finished if f.outcome is not Outcome.not_sent]
        # A retry is late by its own time, not by that of the first call.
        self.lateness.add_all([f.started_at_us - int.from_bytes(f.entry.due_key[:8], "big") for f in sent])
        self.latency.add_all([f.latency_us for f in sent if f.latency_us is not None])
        self._count(finished)

    def note_rescued(self, rescued: Rescued) -> None:
        """A batch that was taken over. How late its calls were, nobody knows."""
        self.rescued_unsent += rescued.unsent
        self.rescued_unknown += rescued.unknown
        self._count(rescued.outcomes)

    def _count(self, finished: Sequence[Finished]) -> None:
        for (owner, outcome, state), number in Counter(map(_KIND, finished)).items():
            group = self._group_of(owner)
            self.attempts[group, outcome] += number
            if state is not TimerState.scheduled:
                self.ends[group, state] += number

    def _group_of(self, owner: Owner) -> Group:
        group = owner[:2]
        if group not in self._groups:
            if len(self._groups) >= GROUPS_MAX:
                return OTHERS
            self._groups.add(group)
        return group
