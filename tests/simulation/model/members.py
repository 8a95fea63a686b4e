"""Membership and rescue."""

from __future__ import annotations

from collections.abc import Collection

from tests.simulation.model.claims import claim_of
from tests.simulation.model.outcomes import has_logged, write_attempts
from tests.simulation.model.tables import Member, Tables, check_free, put
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.errors import Fenced
from timer_db.domain.policy import after_loss
from timer_db.domain.states import Outcome
from timer_db.operations.rescue import Gone, Rescued


def join(tables: Tables, now_us: int, controller_id: int | None = None) -> int:
    """A new membership, under the id that the server chose."""
    new = max(tables.members, default=0) + 1 if controller_id is None else controller_id
    tables.members[new] = Member(now_us, now_us)
    return new


def beat(tables: Tables, now_us: int, controller_id: int, settled_at_us: int = 0) -> int:
    """Tell that it lives, and since when it is settled; gives the time."""
    member = tables.members.get(controller_id)
    if member is None or member.gone_at_us is not None:
        raise Fenced(f"controller {controller_id} was silent for too long")
    member.beat_at_us = now_us
    member.settled_at_us = settled_at_us
    return now_us


def settled(tables: Tables) -> dict[int, int]:
    """Those that have not gone, and what each said last."""
    return {number: member.settled_at_us for number, member in tables.members.items() if member.gone_at_us is None}


def leave(tables: Tables, now_us: int, controller_id: int) -> bool:
    """Whether it was a member until now."""
    return _end(tables, now_us, controller_id, "left")


def silent(tables: Tables, now_us: int, lease_us: int) -> list[int]:
    """Members whose last beat is older than the lease."""
    return [
        controller_id
        for controller_id, member in sorted(tables.members.items())
        if member.gone_at_us is None and member.beat_at_us < now_us - lease_us
    ]


def fence(tables: Tables, now_us: int, controller_id: int, lease_us: int) -> bool:
    """End the membership, unless it beat in the meantime."""
    return controller_id in silent(tables, now_us, lease_us) and _end(tables, now_us, controller_id, "fenced")


def find_gone(tables: Tables, lease_us: int) -> list[Gone]:
    """Those whose claims nobody has taken back yet."""
    gone = sorted({c for c, _ in tables.batches if tables.members[c].gone_at_us is not None})
    return [Gone(c, tables.members[c].beat_at_us + lease_us) for c in gone]


def rescue_batch(
    tables: Tables, now_us: int, gone: Gone, locked: Collection[tuple[int, int]] = ()
) -> Rescued | None:
    """Take its first batch back that nobody has locked."""
    keys = [key for key in sorted(tables.batches) if key[0] == gone.controller_id and key not in locked]
    if not keys:
        return None
    controller_id, number = keys[0]
    open_entries = [
        entry for entry in tables.batches[keys[0]].entries if not has_logged(tables, controller_id, number, entry)
    ]
    batch = tables.batches[keys[0]]
    kept = set(batch.entries[len(batch.entries) - batch.unsent :])
    unsent = [entry for entry in open_entries if entry.at_us > gone.last_breath_us or entry in kept]
    doubtful = [entry for entry in open_entries if entry not in unsent]
    check_free(tables, unsent)
    lost = [
        _lost(claim_of(tables, number, entry, whole=False), gone, now_us)
        for entry in doubtful
        if entry.timer_id in tables.timers
    ]
    put(tables, unsent)
    write_attempts(tables, controller_id, lost)
    del tables.batches[keys[0]]
    return Rescued(controller_id, len(unsent), len(lost))


def _lost(claimed: Claim, gone: Gone, now_us: int) -> Finished:
    following = after_loss(claimed.timer.on_unknown, now_us)
    return Finished(
        batch=claimed.batch,
        entry=claimed.entry,
        attempt=claimed.attempt,
        outcome=Outcome.unknown,
        state=following.state,
        started_at_us=claimed.entry.at_us,
        finished_at_us=now_us,
        reason=f"controller {gone.controller_id} was lost while it held this timer; the call may have been made",
        retry_at_us=following.retry_at_us,
    )


def _end(tables: Tables, now_us: int, controller_id: int, because: str) -> bool:
    member = tables.members.get(controller_id)
    if member is None or member.gone_at_us is not None:
        return False
    member.gone_at_us, member.gone_because = now_us, because
    return True
