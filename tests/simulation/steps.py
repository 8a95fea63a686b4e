"""Steps that anybody takes: members come and go, and timers are scheduled and cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tests.simulation import model
from tests.simulation.both_worlds import PRIORITIES, START_US, BothWorlds
from timer_db.clock import DatabaseClock
from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.ids import new_id
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import NewTimer
from timer_db.operations import cancel, membership, rescue, schedule

LEASE_US = 5_000_000
OFFSETS_US = [-7_000_000, -1, 0, 1, 900, 3_000_000, 60_000_000, 60_000_000]


class Steps(BothWorlds):
    """Every step is one operation, done in both."""

    # Time, members

    def begin(self) -> None:
        for _ in range(2):
            self.join()
        self.schedule()

    def time_passes(self) -> None:
        self.now_us += self.dice.choice([1, 1_000_000, LEASE_US, LEASE_US + 1])

    def join(self) -> None:
        if len(self.tables.members) > 12:
            return
        self.runner.run(self.set_clock())
        new = self.runner.run(membership.join(self.engine, "host", 1, "test"))
        model.join(self.tables, self.now_us, new)

    def beat(self, controller: int | None = None) -> None:
        controller = controller or self.a_controller()

        async def beat() -> int:
            await membership.beat(self.engine, controller, DatabaseClock())
            return self.now_us

        self.both(beat, lambda: model.beat(self.tables, self.now_us, controller))

    def leave(self) -> None:
        controller = self.a_controller()
        self.both(
            lambda: membership.leave(self.engine, controller),
            lambda: model.leave(self.tables, self.now_us, controller),
        )

    def fence_silent(self) -> None:
        def modelled() -> list[int]:
            silent = model.silent(self.tables, self.now_us, LEASE_US)
            return [c for c in silent if model.fence(self.tables, self.now_us, c, LEASE_US)]

        self.both(lambda: rescue.fence_silent(self.engine, LEASE_US), modelled)

    def rescue(self) -> None:
        for gone in self.both(
            lambda: rescue.find_gone(self.engine, LEASE_US), lambda: model.find_gone(self.tables, LEASE_US)
        ):
            self.both(
                lambda gone=gone: rescue.rescue_batch(self.engine, gone),
                lambda gone=gone: model.rescue_batch(self.tables, self.now_us, gone),
            )

    # Timers

    def schedule(self) -> None:
        dice = self.dice
        if len(self.timers) > 80:
            return
        priority = dice.choice(PRIORITIES)
        on_unknown, is_large = dice.choice(list(OnUnknown)), dice.random() < 0.3
        first = len(self.timers)
        new = [
            NewTimer(
                id=new_id(START_US, random=(first + n).to_bytes(8, "big")),
                due_at_us=self.now_us + dice.choice(OFFSETS_US) + n % 3,
                created_at_us=self.now_us,
                url=f"https://example.com/{n % 2}",
                body=b"x" * 5000 if is_large else None,
                headers={"X-Shop": "Köln"} if n % 2 else {},
                meta={"order": n} if n % 3 else None,
                labels={"env": "prod"} if n % 3 == 1 else {},
                priority=priority,
                retry=DEFAULT_RETRY if n % 2 else RetryPolicy(max_attempts=n + 1, jitter=0.25),
                timeout_seconds=1.234,
                on_unknown=on_unknown,
            )
            for n in range(dice.choice([1, 2, 3, 5, 5, 33]))
        ]
        self.timers += new
        # One that was stored before stays as it is.
        self._store([*new, self.timers[0]])

    def _store(self, timers: Sequence[NewTimer]) -> None:
        async def store() -> None:
            unique = list({timer.id: timer for timer in timers}.values())
            await schedule.schedule(self.shards, unique)

        self.both(store, lambda: model.schedule(self.tables, timers))

    def cancel(self) -> None:
        timer_id = self.dice.choice(self.timers).id
        self.both(
            lambda: cancel.cancel(self.shards, timer_id),
            lambda: model.cancel(self.tables, self.now_us, timer_id),
        )

    def cancel_nothing(self) -> None:
        nobody = UUID(int=7 << 76 | 0b10 << 62 | 999)
        self.both(
            lambda: cancel.cancel(self.shards, nobody), lambda: model.cancel(self.tables, self.now_us, nobody)
        )
