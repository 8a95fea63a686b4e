"""What must hold at the end of every run, whatever happened in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.simulation import model
from tests.simulation.history import name_of
from tests.simulation.receivers import Sent, Way
from tests.simulation.world import World
from timer_db.domain.claim import Finished
from timer_db.domain.policy import is_worth_another_try
from timer_db.domain.states import ENDED, OnUnknown, Outcome, TimerState

CLOCKS_DIFFER_US = 1000
"""By so much a lease may end later on its controller's clock than on the database's."""


def broken_promises(world: World) -> list[str]:
    """In words; none, when all were kept. The reasons are in docs/architecture.md."""
    found = [*world.faults, *world.loop.faults, *world.receivers.faults, *_left_over(world)]
    by_timer: defaultdict[bytes, list[Sent]] = defaultdict(list)
    for sent in world.receivers.sent:
        by_timer[sent.timer_id].append(sent)
        found += _of_call(world, sent)
    for timer_id in world.server.tables.timers:
        found += [f"{name_of(timer_id)}: {what}" for what in _of_timer(world, timer_id, by_timer[timer_id])]
    if world.is_calm:
        found += _of_a_calm_run(world)
    return found


def _left_over(world: World) -> Iterator[str]:
    tables = world.server.tables
    if not world.has_ended:
        yield "it did not come to an end"
    if queued := tables.queued():
        yield f"left in the queue: {[name_of(entry.timer_id) for entry in queued]}"
    if backlog := tables.backlog():
        yield f"left in backlogs: {[name_of(e.timer_id) for entries in backlog.values() for e in entries]}"
    if tables.batches:
        yield f"left in claims: {sorted(tables.batches)}"
    for controller in world.controllers:
        if not controller.stopped_in_order or controller.session is None:
            continue
        number = controller.session._controller_id
        if tables.members[number].gone_because != "left":
            continue
        if held := controller.session._hands.held:
            yield f"controller {number} stopped in order with {held} timers in hand"
        lost = [made.finished for made in _attempts_of(world, number) if _is_lost(made.finished)]
        if lost:
            names = [name_of(f.entry.timer_id) for f in lost]
            yield f"controller {number} stopped in order, and {names} are unknown"


def _attempts_of(world: World, controller_id: int) -> list[model.Attempted]:
    log = world.server.tables.attempts.values()
    return [made for attempts in log for made in attempts if made.controller_id == controller_id]


def _is_lost(finished: Finished) -> bool:
    """A rescue wrote it."""
    return finished.reason.endswith("the call may have been made")


def _of_call(world: World, sent: Sent) -> Iterator[str]:
    """One call by itself."""
    name = name_of(sent.timer_id)
    if sent.sent_us < sent.due_us:
        yield f"{name} was called {sent.due_us - sent.sent_us} µs early"
    cancelled_us = world.cancelled_us.get(sent.timer_id)
    if cancelled_us is not None and sent.sent_us >= cancelled_us:
        yield f"{name} was called after its cancel"
    member = world.server.tables.members[sent.controller_id or 0]
    if member.gone_at_us is not None and sent.sent_us > member.gone_at_us + CLOCKS_DIFFER_US:
        yield f"{name} was called by controller {sent.controller_id}, whose place was taken"


def _of_timer(world: World, timer_id: bytes, calls: list[Sent]) -> Iterator[str]:
    tables = world.server.tables
    row = tables.timers[timer_id]
    state, _ = model.state_of(tables, timer_id)
    log = [made.finished for made in tables.attempts.get(timer_id, [])]
    if state not in ENDED:
        yield f"it is {state}, and nobody will call it"
    if [f.attempt for f in log] != list(range(1, len(log) + 1)):
        yield f"its attempts are numbered {[f.attempt for f in log]}"
    if any(f.state is not TimerState.scheduled for f in log[:-1]):
        yield f"an attempt follows its end: {[str(f.state) for f in log]}"
    # Repeats
    for first, second in pairwise(calls):
        is_sure = first.is_answered and first.way is not Way.good
        if not is_sure and not second.is_marked:
            yield f"attempt {second.attempt} follows one that may have arrived, and does not say so"
        if not is_sure and row.asked.on_unknown is not OnUnknown.resend:
            yield f"it was called again with on_unknown={row.asked.on_unknown}"
    for call in calls:
        if call.is_marked and not any(f.outcome is Outcome.unknown and f.attempt < call.attempt for f in log):
            yield f"attempt {call.attempt} says without a reason that it may be a repeat"
    # Ends
    lost = sum(map(_is_lost, log))
    if len(log) > row.asked.retry.max_attempts + lost:
        yield f"{len(log)} attempts, of which {lost} were lost; {row.asked.retry.max_attempts} are allowed"
    good = [call for call in calls if call.way is Way.good and call.is_answered]
    match state:
        case TimerState.delivered:
            if not good:
                yield "it is delivered, and no receiver said so"
            if [f.outcome for f in log].count(Outcome.delivered) != 1:
                yield "it was delivered more than once, by its log"
        case TimerState.cancelled:
            if timer_id not in world.cancelled_us:
                yield "it is cancelled, and nobody asked for that"
        case TimerState.unknown:
            if row.asked.on_unknown is not OnUnknown.hold or log[-1].outcome is not Outcome.unknown:
                yield "it is unknown, and should not be"
        case TimerState.failed:
            last = log[-1]
            is_final = last.outcome is Outcome.rejected and not is_worth_another_try(last.http_status)
            is_given_up = last.outcome is Outcome.unknown and row.asked.on_unknown is OnUnknown.fail
            if not is_final and not is_given_up and len(log) < row.asked.retry.max_attempts:
                yield f"it failed after {len(log)} attempts, the last one {last.outcome}"
    if timer_id in world.cancelled_us and state is not TimerState.cancelled:
        yield f"it was cancelled, and is {state}"


def _of_a_calm_run(world: World) -> Iterator[str]:
    """Nobody was killed, cut off or held up for a lease: no doubt, no repeat."""
    tables = world.server.tables
    if missing := world.created.keys() - tables.timers.keys():
        yield f"never stored: {sorted(map(name_of, missing))}"
    for timer_id, attempts in tables.attempts.items():
        if any(made.finished.outcome is Outcome.unknown for made in attempts):
            yield f"{name_of(timer_id)} has an unknown attempt"
    arrived: defaultdict[tuple[bytes, int], int] = defaultdict(int)
    for sent in world.receivers.sent:
        arrived[sent.timer_id, sent.attempt] += sent.has_arrived
        if sent.is_marked:
            yield f"{name_of(sent.timer_id)} was marked as a possible duplicate"
    for (timer_id, attempt), times in arrived.items():
        if times != 1:
            yield f"attempt {attempt} of {name_of(timer_id)} arrived {times} times"
    for number, member in tables.members.items():
        if member.gone_because != "left":
            yield f"controller {number} did not leave in order: {member.gone_because}"
