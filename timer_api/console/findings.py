"""Is something wrong, why, and what to do: what whoever is on call must see first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from timer_api.console.held import Holder
from timer_api.console.pulse import Sample
from timer_api.console.words import milliseconds, number, span
from timer_db.operations.overview import Glance

LATE_SECONDS = 3.0
"""Claims are made ahead, so what is due and in nobody's hands for so long is late."""
LATENESS_MS = 1000.0
SILENT_SECONDS = 3.0
"""Controllers beat every second; one that is silent for five is taken for lost."""
SLOW_DATABASE_MS = 100.0


class Level(StrEnum):
    """How bad it is."""

    good = "good"
    warning = "warning"
    bad = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what to do about it."""

    level: Level
    what: str
    do: str


def findings(seen: Glance, sample: Sample, holders: Sequence[Holder], *, sees_all: bool) -> list[Finding]:
    """Everything that is wrong, the worst first. What waits is told to those only who see every collection."""
    queue = (*_of_queue(seen, sample), *_of_holders(seen, holders)) if sees_all else ()
    found = [*_of_controllers(seen), *queue, *_of_calls(sample)]
    return sorted(found, key=lambda finding: finding.level is not Level.bad)


def _of_controllers(seen: Glance) -> Iterator[Finding]:
    silent = [member for member in seen.members if seen.now_us - member.beat_at_us > SILENT_SECONDS * 1_000_000]
    if len(silent) == len(seen.members):
        yield Finding(
            Level.bad,
            "No controller is at work: nothing is called.",
            "Start timer_controller. If it runs, its log says why it does not reach the database.",
        )
    elif silent:
        names = ", ".join(f"{member.id} ({member.host}:{member.pid})" for member in silent[:3])
        yield Finding(
            Level.warning,
            f"Silent controllers: {names}.",
            "Others take their calls over within seconds. If it happens again, look at their logs and machines.",
        )


def _of_queue(seen: Glance, sample: Sample) -> Iterator[Finding]:
    late_seconds = 0.0 if seen.first_at_us is None else (seen.now_us - seen.first_at_us) / 1_000_000
    if late_seconds > LATE_SECONDS and seen.members:
        yield Finding(
            Level.bad,
            f"More is due than controllers call: the oldest waits {span(late_seconds)}.",
            "It is worked off, highest priority and oldest first. Run more controllers to be faster;"
            f" {number(sample.delivered)} a second are delivered now.",
        )


def _of_holders(seen: Glance, holders: Sequence[Holder]) -> Iterator[Finding]:
    unmeant = [held for held in holders if not held.is_meant]
    if unmeant:
        late_seconds = (seen.now_us - min(held.due_at_us for held in unmeant)) / 1_000_000
        yield Finding(
            Level.warning,
            f"Receivers hold calls up, the oldest for {span(max(0, late_seconds))}.",
            "They are listed below. Their calls go on by themselves when they answer again.",
        )


def _of_calls(sample: Sample) -> Iterator[Finding]:
    if sample.p99_ms is not None and sample.p99_ms > LATENESS_MS:
        yield Finding(
            Level.warning,
            f"Calls begin late: 1 in 100 by {milliseconds(sample.p99_ms)} or more.",
            "Look at the machines of the controllers and at the database, or run more controllers.",
        )
    if sample.failed and sample.failed > (sample.delivered or 0):
        yield Finding(
            Level.warning,
            "More timers fail than are delivered.",
            "The newest are listed under Failed and unknown; each one's attempts say why.",
        )
    if sample.database_ms > SLOW_DATABASE_MS:
        yield Finding(
            Level.warning,
            f"The database takes {milliseconds(sample.database_ms)} to answer.",
            "Look at its load and its disk, and at the network to it.",
        )
