"""Is something wrong, why, and what to do: what whoever is on call must see first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from timer_api.console.held import Holder
from timer_api.console.known import Known, is_silent
from timer_api.console.pulse import Sample
from timer_api.console.words import milliseconds, moment, number, span
from timer_db.domain.representation import rfc3339

LATE_SECONDS = 3.0
"""Claims are made ahead, so what is due and in nobody's hands for so long is late."""
LATENESS_MS = 1000.0
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


def findings(now: Known, sample: Sample, holders: Sequence[Holder], *, sees_all: bool) -> list[Finding]:
    """Everything that is wrong, the worst first. What waits is told to those only who see every collection."""
    if now.is_old:
        return [*of_servers(now)]
    queue = (*_of_queue(now, sample), *_of_holders(now, holders)) if sees_all else ()
    found = [*of_servers(now), *of_controllers(now), *queue, *_of_calls(sample)]
    return sorted(found, key=lambda finding: finding.level is not Level.bad)


def of_servers(now: Known) -> Iterator[Finding]:
    """Databases that do not answer."""
    look = "Look at its machine and at the network to it; what falls due there is called when it is back."
    if now.is_old:
        at = moment(rfc3339(now.told_at_us))
        name = "The database does not answer." if now.servers == 1 else "No database answers."
        yield Finding(Level.bad, name, f"What you see is of {at}, {span(int(now.age_seconds))} ago. {look}")
        return
    for away in now.away:
        since = "" if away.silent_seconds is None else f" for {span(int(away.silent_seconds))}"
        yield Finding(
            Level.bad,
            f"Database {away.number} does not answer.",
            f"It has told nothing{since}, and what you see is of the others. {look}",
        )


def of_controllers(now: Known) -> Iterator[Finding]:
    """Databases for which no controller works, and controllers that have fallen silent. Each is judged by itself:
    a controller that reaches one may not reach another."""
    idle = [each for each in now.told if not each.alive]
    if len(idle) == now.servers:
        yield Finding(
            Level.bad,
            "No controller is at work: nothing is called.",
            "Start timer_controller. If it runs, its log says why it does not reach the database.",
        )
        return
    for each in now.told:
        where = f" for database {each.number}" if now.servers > 1 else ""
        silent = [member for member in each.seen.members if is_silent(member, each.seen.now_us)]
        if each in idle:
            yield Finding(
                Level.bad,
                f"No controller is at work{where}: nothing of it is called.",
                "Start timer_controller with this database in its TIMER_DB_URL. If it runs, its log says why it"
                " does not reach the database.",
            )
        elif silent:
            names = ", ".join(f"{member.id} ({member.host}:{member.pid})" for member in silent[:3])
            yield Finding(
                Level.warning,
                f"Silent controllers{where}: {names}.",
                "Others take their calls over within seconds. If it happens again, look at their logs and"
                " machines.",
            )


def _of_queue(now: Known, sample: Sample) -> Iterator[Finding]:
    # Where nobody is at work, that is the reason.
    late_seconds = max((each.late_seconds for each in now.told if each.alive), default=0.0)
    if late_seconds > LATE_SECONDS:
        yield Finding(
            Level.bad,
            f"More is due than controllers call: the oldest waits {span(late_seconds)}.",
            "It is worked off, highest priority and oldest first. Run more controllers to be faster;"
            f" {number(sample.delivered)} a second are delivered now.",
        )


def _of_holders(now: Known, holders: Sequence[Holder]) -> Iterator[Finding]:
    unmeant = [held for held in holders if not held.is_meant]
    if unmeant:
        late_seconds = (now.now_us - min(held.due_at_us for held in unmeant)) / 1_000_000
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
