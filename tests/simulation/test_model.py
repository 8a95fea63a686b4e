"""The model does what the real operations do on MySQL and MariaDB: the same steps at random on both, and every
answer and every table compared after each.

The server's clock is set for each step (`SET timestamp`), so that times are the same to the microsecond.
Steps follow from a seed, and a failure ends with them. `HYPOTHESIS_PROFILE=long` makes it twenty times as many.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pymysql.err import IntegrityError

from tests.conftest import empty
from tests.profiles import examples
from tests.simulation import model
from timer_db import transactions
from timer_db.clock import DatabaseClock
from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.errors import TimerError
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import HEAD_KEY, PRIORITY_MAX, QueueEntry, entry_of, time_bound, unpack
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.engine import Pool, open_shards
from timer_db.operations import cancel, claim, deferred, finish, membership, rescue, schedule
from timer_db.operations.finish import Written
from timer_db.operations.rescue import Rescued
from timer_db.operations.rows import timer_of
from timer_db.statements import reading
from timer_db.transactions import Connection

START_US = 1_800_000_000_000_000
LEASE_US = 5_000_000
SEEDS, STEPS = 20, 60
DESTINATIONS = [b"\x01" * 16, b"\x02" * 16]
PRIORITIES = [0, 3, PRIORITY_MAX]

_TABLES = (
    "SELECT id, next_at_us, cancelled_at_us, attempts_made, possible_duplicate FROM timers",
    "SELECT priority_rank, due_key FROM due_queue",
    "SELECT destination, priority_rank, due_key FROM deferred_queue",
    "SELECT controller_id, number, claimed_at_us, entries, unsent FROM claim_batches",
    "SELECT timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, latency_us, outcome, state,"
    " http_status, reason, answer FROM attempts",
    "SELECT state, timer_id, ended_at_us FROM endings",
    "SELECT id, joined_at_us, beat_at_us, gone_at_us, gone_because FROM controllers",
)

OFFSETS_US = [-7_000_000, -1, 0, 1, 900, 3_000_000, 60_000_000, 60_000_000]


class BothWorlds:
    """Every step is one operation, done twice."""

    def __init__(self, url: str, seed: int, seen: Counter[str]) -> None:
        empty(url)
        self.dice = random.Random(seed)
        self.seen = seen
        """Kinds of answers."""
        self.runner = asyncio.Runner()
        # One connection, since the clock is set per connection.
        self.shards = open_shards([url], Pool(size=1))
        self.engine = next(iter(self.shards)).engine
        self.tables = model.Tables()
        self.now_us = START_US
        self.numbers = 0
        self.timers: list[NewTimer] = []
        self.last_finish: tuple[Any, ...] | None = None

    def close(self) -> None:
        self.runner.run(self.shards.close())
        self.runner.close()

    # Both at once

    def both(self, real: Callable[[], Awaitable[Any]], modelled: Callable[[], Any]) -> Any:
        """The answer, or the error, of both."""
        self.runner.run(self._set_clock())
        got: Any
        try:
            got = self.runner.run(_awaited(real))
        except (TimerError, IntegrityError) as error:
            got = error
        try:
            expected = modelled()
        except (TimerError, model.DuplicateKey) as error:
            expected = error
        if isinstance(got, IntegrityError):
            assert isinstance(expected, model.DuplicateKey), (got, expected)
        elif isinstance(got, Exception):
            assert type(got) is type(expected), (got, expected)
        else:
            assert _comparable(got) == _comparable(expected)
        self.seen[_in_a_word(expected)] += 1
        return expected

    async def _set_clock(self) -> None:
        async def work(connection: Connection) -> None:
            await connection.write(f"SET SESSION timestamp = {self.now_us / 1_000_000:.6f}")

        await transactions.run(self.engine, work)

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
        self.runner.run(self._set_clock())
        new = self.runner.run(membership.join(self.engine, "host", 1, "test"))
        model.join(self.tables, self.now_us, new)

    def beat(self, controller: int | None = None) -> None:
        controller = controller or self._controller()

        async def beat() -> int:
            await membership.beat(self.engine, controller, DatabaseClock())
            return self.now_us

        self.both(beat, lambda: model.beat(self.tables, self.now_us, controller))

    def leave(self) -> None:
        controller = self._controller()
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

    # Claims

    def look(self) -> None:
        behind = {rank: self._bound() for rank in self._ranks()} if self.dice.random() < 0.5 else {}
        found = self.both(
            lambda: claim.first_entries(self.engine, behind), lambda: model.first_entries(self.tables, behind)
        )
        self.both(lambda: claim.put_heads(self.engine, found), lambda: model.put_heads(self.tables, found))

    def claim(self) -> None:
        controller = self._controller()
        self.numbers += 1
        how: dict[str, Any] = {
            "ranks": self._ranks(),
            "behind": {} if self.dice.random() < 0.7 else {rank: self._bound() for rank in self._ranks()},
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
        controller, destination = self._controller(), self.dice.choice(found)
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
            left = [e for e in batch.entries if not model._has_logged(self.tables, controller, number, e)]
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

    # What is drawn from what there is

    def _controller(self) -> int:
        members = self.tables.members
        living = [c for c, member in members.items() if member.gone_at_us is None]
        return self.dice.choice(living if living and self.dice.random() < 0.9 else sorted(members))

    def _ranks(self) -> list[int]:
        return sorted(PRIORITY_MAX - priority for priority in PRIORITIES)

    def _bound(self) -> bytes:
        keys = [key for keys in self.tables.queue.values() for key in keys]
        return self.dice.choice([HEAD_KEY, time_bound(self.now_us), *keys])

    # Every table

    def compare(self) -> None:
        """Every table, and every timer as it is shown."""
        real = self.runner.run(_tables(self.engine))
        for sql, rows, expected in zip(_TABLES, real, _rows_of(self.tables), strict=True):
            assert rows == sorted(expected), sql
        shown = self.runner.run(_shown(self.engine, [timer.id.bytes for timer in self.timers]))
        assert len(shown) == len(self.timers)
        for timer in shown:
            assert timer == model.get_timer(self.tables, timer.id)


async def _awaited(real: Callable[[], Awaitable[Any]]) -> Any:
    return await real()


async def _tables(engine: Any) -> list[list[tuple[Any, ...]]]:
    async def work(connection: Connection) -> list[list[tuple[Any, ...]]]:
        return [sorted(map(_plain, await connection.rows(sql))) for sql in _TABLES]

    return await transactions.run(engine, work)


async def _shown(engine: Any, ids: list[bytes]) -> list[Any]:
    async def work(connection: Connection) -> list[Any]:
        return [timer_of(row) for row in await connection.rows(reading.by_ids(ids))]

    return await transactions.run(engine, work)


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, (bytearray, memoryview)) else value for value in row)


def _rows_of(tables: model.Tables) -> list[list[tuple[Any, ...]]]:
    packed = {key: b"".join(e.rank.to_bytes(2, "big") + e.due_key for e in b.entries)
              for key, b in tables.batches.items()}  # fmt: skip
    assert all(unpack(value) == tables.batches[key].entries for key, value in packed.items())
    log = [(timer_id, made) for timer_id, attempts in tables.attempts.items() for made in attempts]
    return [
        [
            (key, row.next_at_us, row.cancelled_at_us, row.attempts_made, int(row.possible_duplicate))
            for key, row in tables.timers.items()
        ],
        [*map(tuple, tables.queued()), *((rank, HEAD_KEY) for rank in tables.heads)],
        [(key, *entry) for key, entries in tables.backlog().items() for entry in entries],
        [(*key, batch.claimed_at_us, packed[key], batch.unsent) for key, batch in tables.batches.items()],
        [
            (
                timer_id, made.finished.attempt, made.finished.finished_at_us, made.controller_id,
                made.finished.batch, made.finished.started_at_us, made.finished.latency_us,
                str(made.finished.outcome), str(made.finished.state), made.finished.http_status,
                made.finished.reason, made.finished.answer,
            )
            for timer_id, made in log
        ],
        [(str(state), timer_id, at_us) for (state, timer_id), at_us in tables.endings.items()],
        [
            (number, member.joined_at_us, member.beat_at_us, member.gone_at_us, member.gone_because)
            for number, member in tables.members.items()
        ],
    ]  # fmt: skip


def _comparable(answer: Any) -> Any:
    if isinstance(answer, claim.Taken):
        return answer.entries, sorted(answer.claims, key=_entry), answer.waiting
    return answer


def _half_of_them_later(entries: Sequence[QueueEntry], _: object) -> tuple[Sequence[QueueEntry], int]:
    return entries, len(entries) // 2


def _backwards_and_all_later(entries: Sequence[QueueEntry], _: object) -> tuple[Sequence[QueueEntry], int]:
    return entries[::-1], len(entries)


def _in_a_word(answer: Any) -> str:
    match answer:
        case claim.Taken(entries=[_, *_]):
            return "claimed"
        case Rescued(unsent=unsent, unknown=unknown):
            return f"rescued {'unsent' if unsent else ''} {'unknown' if unknown else ''}"
        case Written(lost=lost, lost_batches=batches):
            return f"finished{', lost' if lost else ''}{', lost batches' if batches else ''}"
        case Timer():
            return "cancelled"
        case _:
            return type(answer).__name__


_MUST_HAPPEN = {
    "claimed",
    "cancelled",
    "rescued unsent ",
    "rescued  unknown",
    "rescued unsent unknown",
    "finished",
    "finished, lost, lost batches",
    "finished, lost batches",
    "Fenced",
    "NotCancellable",
    "TimerNotFound",
    "UnexpectedCount",
}


def _entry(claimed: Claim) -> QueueEntry:
    return claimed.entry


_WEIGHTS: Mapping[Callable[[BothWorlds], None], int] = {
    BothWorlds.time_passes: 4,
    BothWorlds.join: 2,
    BothWorlds.beat: 4,
    BothWorlds.leave: 1,
    BothWorlds.fence_silent: 2,
    BothWorlds.rescue: 3,
    BothWorlds.lose: 4,
    BothWorlds.schedule: 6,
    BothWorlds.cancel: 3,
    BothWorlds.cancel_nothing: 1,
    BothWorlds.look: 3,
    BothWorlds.claim: 10,
    BothWorlds.claim_deferred: 6,
    BothWorlds.release: 4,
    BothWorlds.finish: 10,
    BothWorlds.finish_again: 4,
    BothWorlds.give_back_what_is_not_there: 1,
}


def test_the_model_does_what_the_database_does(database_url: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(examples(SEEDS)):
        worlds = BothWorlds(database_url, seed, seen)
        steps = ["begin"]
        try:
            worlds.begin()
            for step in worlds.dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=STEPS):
                steps.append(step.__name__)
                step(worlds)
                worlds.compare()
        except BaseException as error:
            error.add_note(f"seed {seed}: {', '.join(steps)}")
            raise
        finally:
            worlds.close()
    assert not _MUST_HAPPEN - seen.keys(), seen
