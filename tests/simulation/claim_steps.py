"""Steps of a controller that claims timers, and writes down what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation import model
from tests.simulation.steps import LEASE_US, OFFSETS_US, Steps
from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations import claim, deferred, finish

DESTINATIONS = [b"\x01" * 16, b"\x02" * 16]


class ClaimSteps(Steps):
    """All steps there are: these, and those that anybody takes."""

    # Claims

    def look(self) -> None:
        behind = {rank: self.bound() for rank in self.ranks()} if self.dice.random() < 0.5 else {}
        found = self.both(
            lambda: claim.first_entries(self.engine, behind), lambda: model.first_entries(self.tables, behind)
        )
        self.both(lambda: claim.put_heads(self.engine, found), lambda: model.put_heads(self.tables, found))

    def claim(self) -> None:
        controller = self.a_controller()
        self.numbers += 1
        how: dict[str, Any] = {
            "ranks": self.ranks(),
            "behind": {} if self.dice.random() < 0.7 else {rank: self.bound() for rank in self.ranks()},
            "horizon_us": self.now_us + self.dice.choice(OFFSETS_US),
            "limit": self.dice.randrange(1, 7),
            "plan": self.dice.choice([claim.all_at_once, _half_of_them_later, _backwards_and_all_later]),
        }
        number = self.numbers
        self.both(
            lambda: claim.claim(self.engine, controller, number, **how),
            lambda: model.claim(self.tables, self.now_us, controller, number, **how),
        )
        self._adopt(controller, number)

    def release(self) -> None:
        if not self.tables.batches:
            return
        controller = self.dice.choice(sorted(self.tables.batches))[0]
        held = {n: b for (c, n), b in self.tables.batches.items() if c == controller}
        unsent = {number: self.dice.randrange(batch.unsent + 1) for number, batch in held.items()}
        if self.dice.random() < 0.2:
            unsent[999_999] = 1
        self.both(
            lambda: claim.release(self.engine, controller, unsent),
            lambda: model.release(self.tables, controller, unsent),
        )

    def claim_deferred(self) -> None:
        found = self.both(lambda: deferred.destinations(self.engine), lambda: model.destinations(self.tables))
        if not found:
            return
        controller, destination = self.a_controller(), self.dice.choice(found)
        self.numbers += 1
        how: dict[str, Any] = {
            "destination": destination,
            "behind": None if self.dice.random() < 0.6 else self.dice.choice(self.tables.deferred[destination]),
            "limit": self.dice.randrange(1, 7),
        }
        number = deferred.FIRST_NUMBER + self.numbers
        self.both(
            lambda: deferred.claim_deferred(self.engine, controller, number, **how),
            lambda: model.claim_deferred(self.tables, self.now_us, controller, number, **how),
        )
        self._adopt(controller, number)

    def _adopt(self, controller: int, number: int) -> None:
        entries, _ = self.both(
            lambda: claim.adopt(self.engine, controller, number),
            lambda: model.adopt(self.tables, controller, number),
        )
        claims = self.both(
            lambda: claim.load(self.engine, number, entries), lambda: model.load(self.tables, number, entries)
        )
        if claims:
            first = claims[0]
            self.both(lambda: claim.load_whole(self.engine, first), lambda: model.load_whole(self.tables, first))

    # Outcomes

    def finish(self) -> None:
        if outcomes := self._outcomes():
            self._finish(*outcomes, self.dice.random() < 0.3)

    def lose(self) -> None:
        """A controller is silent for too long, with outcomes that it writes too late."""
        outcomes = self._outcomes()
        if outcomes is None:
            return
        self.now_us += LEASE_US + 1
        for controller, member in list(self.tables.members.items()):
            if controller != outcomes[0] and member.gone_at_us is None:
                self.beat(controller)
        self.fence_silent()
        if self.dice.random() < 0.8:
            self.rescue()
        if self.dice.random() < 0.6:
            self._finish(*outcomes, self.dice.random() < 0.3)

    def _outcomes(self) -> tuple[int, list[Finished], list[Returned], set[int]] | None:
        """For one who holds something: what comes of some of it."""
        holders = sorted({controller for controller, _ in self.tables.batches})
        if not holders:
            return None
        controller = self.dice.choice(holders)
        finished: list[Finished] = []
        returned: list[Returned] = []
        done: set[int] = set()
        for (holder, number), batch in self.tables.batches.items():
            if holder != controller:
                continue
            left = [e for e in batch.entries if not model.has_logged(self.tables, controller, number, e)]
            for claimed in model.load(self.tables, number, list(left)):
                way = self.dice.choice(["keep", "keep", "return", "defer", "finish", "finish"])
                if way == "finish":
                    finished.append(self._outcome(claimed))
                elif way != "keep":
                    to = self.dice.choice(DESTINATIONS) if way == "defer" else None
                    returned.append(Returned(number, claimed.entry, to))
                if way != "keep":
                    left.remove(claimed.entry)
            if not left:
                done.add(number)
        return (controller, finished, returned, done) if finished or returned or done else None

    def finish_again(self) -> None:
        """As after a lost connection, however much later."""
        if self.last_finish is None:
            return
        controller, finished, returned, done, _ = self.last_finish
        self._finish(controller, finished, returned, done, True)

    def give_back_what_is_not_there(self) -> None:
        if not self.tables.batches:
            return
        controller, number = self.dice.choice(sorted(self.tables.batches))
        timer = self.dice.choice(self.timers)
        place = entry_of(timer.id, timer.priority, self.now_us + 123_456_789)
        self.both(
            lambda: finish.finish(self.engine, controller, [], [Returned(number, place)], []),
            lambda: model.finish(self.tables, controller, [], [Returned(number, place)], []),
        )

    def _finish(self, *how: Any) -> None:
        controller, finished, returned, done, is_repeat = how
        self.last_finish = how
        self.both(
            lambda: finish.finish(self.engine, controller, finished, returned, done, is_repeat=is_repeat),
            lambda: model.finish(self.tables, controller, finished, returned, done, is_repeat=is_repeat),
        )

    def _outcome(self, claimed: Claim) -> Finished:
        state = self.dice.choice([s for s in TimerState if s not in ("firing", "cancelled")])
        outcome = Outcome.delivered
        if state is not TimerState.delivered:
            outcome = self.dice.choice([Outcome.rejected, Outcome.not_sent, Outcome.unknown])
        return Finished(
            claimed.batch,
            claimed.entry,
            claimed.attempt,
            outcome,
            state,
            self.now_us,
            self.now_us + 17,
            f"Zoë's answer, {outcome}",
            self.dice.choice([None, 200, 503]),
            self.dice.choice([None, 17]),
            self.dice.choice([b"", b"'\\\x00\xff"]),
            self.now_us + self.dice.randrange(3) if state is TimerState.scheduled else None,
        )


def _half_of_them_later(entries: Sequence[QueueEntry], _: object) -> tuple[Sequence[QueueEntry], int]:
    return entries, len(entries) // 2


def _backwards_and_all_later(entries: Sequence[QueueEntry], _: object) -> tuple[Sequence[QueueEntry], int]:
    return entries[::-1], len(entries)
