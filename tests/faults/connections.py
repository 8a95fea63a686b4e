"""Connections to the database that are cut, held up or silenced at a statement, and receivers in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tests.db.proxy import CUTS, When
from tests.faults.record import Answer, Strike
from tests.faults.scene import Scene, now_us

At = tuple[bytes, bytes]
"""How the statement begins, and what went by before it in its transaction."""
_COMMIT = b"COMMIT"
_DELETE = b"/*M! SET STATEMENT sql_safe_updates=1 FOR */ DELETE"
CREATE: Sequence[At] = [
    (b"INSERT INTO timer_names", b""),
    (b"INSERT INTO timers", b""),
    (_COMMIT, b"INSERT INTO timers"),
]
CLAIM: Sequence[At] = [
    (b"SELECT COUNT(*), GROUP_CONCAT", b""),
    (_DELETE, b"FOR UPDATE SKIP LOCKED"),
    (b"INSERT INTO claim_batches", b""),
    (_COMMIT, b"INSERT INTO claim_batches"),
]
RELEASE: Sequence[At] = [(b"UPDATE claim_batches", b""), (_COMMIT, b"UPDATE claim_batches")]
FINISH: Sequence[At] = [
    (b"SELECT number, entries", b""),
    (b"INSERT INTO attempts", b""),
    (_DELETE, b"INSERT INTO attempts"),
    (_COMMIT, b"INSERT INTO attempts"),
]
BEAT: Sequence[At] = [(b"UPDATE controllers", b""), (_COMMIT, b"UPDATE controllers")]
COMMITS: Sequence[At] = [at for part in (CREATE, CLAIM, RELEASE, FINISH, BEAT) for at in part if at[0] == _COMMIT]
EVERYWHERE: Sequence[At] = [*CREATE, *CLAIM, *RELEASE, *FINISH, *BEAT]
LONGEST_DELAY_SECONDS = 1.5
"""Less than any lease, so that it excuses nothing."""
_TROUBLE = (Answer.reset, Answer.busy, Answer.hang, Answer.late)
_PATIENCE_SECONDS = 20.0


def cut(places: Sequence[At]) -> Callable[[Scene], Awaitable[Strike]]:
    """At one of these places: before the server has it, after it has done it, or later than the client sees the
    cut; or nothing is cut, and the server has it late."""
    return partial(_strike, places=places, ways=(*CUTS, When.delayed))


def silence(places: Sequence[At]) -> Callable[[Scene], Awaitable[Strike]]:
    """From one of these places on nothing comes through, and nobody closes the connection."""
    return partial(_strike, places=places, ways=(When.silent,))


async def _strike(scene: Scene, *, places: Sequence[At], ways: Sequence[When]) -> Strike:
    proxy, draw = scene.stage.proxy, scene.draw
    (at, behind), way = draw.choice(places), draw.choice(ways)
    proxy.cut(way, at, behind=behind, delay_seconds=draw.uniform(0.05, LONGEST_DELAY_SECONDS))
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await proxy.was_cut.wait()
    except TimeoutError:
        raise AssertionError(f"no statement {at!r} behind {behind!r} came by") from None
    began_at_us = now_us()
    if way is When.late:
        await asyncio.sleep(draw.uniform(0, 0.5))
        proxy.release()
    return Strike(began_at_us, now_us())


async def trouble_receiver(scene: Scene) -> Strike:
    """One of the receivers resets, is busy, hangs, or answers after the timeout; each in its turn."""
    recorder = scene.stage.recorder
    began_at_us = now_us()
    await recorder.behave(recorder.urls[0], _TROUBLE[scene.index % len(_TROUBLE)])
    await asyncio.sleep(scene.draw.uniform(0.4, 1.0) * min(3.0, scene.scale.away_seconds / 4))
    await recorder.behave(recorder.urls[0], None)
    return Strike(began_at_us, now_us())
