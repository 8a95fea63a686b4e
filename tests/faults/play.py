"""Plays one fault: load, blows at random moments, the end of it all, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checker import Broken, Verdict, check
from tests.faults.load import Load, Plan
from tests.faults.machine import small_disk
from tests.faults.record import Record, Strike
from tests.faults.scene import Fault, Scale, Scene, now_us
from tests.faults.stage import Stage
from timer_db.embedded import EmbeddedServer, Engine
from timer_db.engine import open_shards
from timer_db.migrate import upgrade
from timer_db.transactions import ABANDONED_SECONDS

SETTLE_SECONDS = 120.0
PER_TIMER_SECONDS = 0.002
BACKLOG_BATCH = 1000
SAMPLE = 100
_ID_MARGIN_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """One fault on one engine."""

    fault: Fault
    engine: str
    seed: str
    lease_seconds: float
    strikes: list[Strike]
    verdict: Verdict
    seconds: float
    problems: list[str] = field(default_factory=list)
    """What else broke a promise."""
    rescue_margin_seconds: float = 1.0

    @property
    def rescue_seconds(self) -> float | None:
        """The longest from a kill until all claims were taken back."""
        return max((s.rescue_seconds for s in self.strikes if s.rescue_seconds is not None), default=None)

    @property
    def broken(self) -> list[str]:
        """Every promise that was broken, in words; none when all was well."""
        lines = [f"timer {v.number}: {v.kind.value}: {v.detail}" for v in self.verdict.violations]
        slowest = self.rescue_seconds
        wait_seconds = max(self.lease_seconds, ABANDONED_SECONDS if self.fault.keeps_locks else 0.0)
        if slowest is not None and slowest > wait_seconds + self.rescue_margin_seconds:
            lines.append(f"a rescue took {slowest:.2f} s with a lease of {self.lease_seconds:g} s")
        return lines + self.problems

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        verdict = self.verdict
        kills = [strike for strike in self.strikes if strike.in_hand is not None]
        return {
            "fault": self.fault.name,
            "title": self.fault.title,
            "engine": self.engine,
            "seed": self.seed,
            "lease_seconds": self.lease_seconds,
            "times": len(self.strikes),
            "timers": verdict.timers,
            "in_doubt": verdict.in_doubt,
            "called": verdict.called,
            "cancelled": verdict.cancelled,
            **{kind.name: verdict.count(kind) for kind in Broken},
            "repeats": verdict.repeats,
            "repeats_per_kill": verdict.repeats / len(kills) if kills else None,
            "marked": verdict.marked,
            "undecided": verdict.undecided,
            "late_p99_ms": verdict.late_p99_ms,
            "rescue_seconds": [strike.rescue_seconds for strike in kills],
            "in_hand": [strike.in_hand for strike in kills],
            "unknown": [strike.unknown for strike in kills],
            "whole_seconds": verdict.whole_seconds,
            "strikes": [asdict(strike) for strike in self.strikes],
            "seconds": self.seconds,
            "broken": self.broken,
        }


async def play(fault: Fault, stage: Stage, scale: Scale, seed: str) -> Result:
    """The same seed makes the same load and the same blows, as far as the machine does."""
    began, began_at_us = time.monotonic(), now_us()
    draw = random.Random(f"{seed} {fault.name} {stage.server.engine.kind}")
    times = fault.times_in(scale)
    if fault.is_backlog:
        plan = Plan(scale.timers or scale.overdue, 0, clients=4, batch=BACKLOG_BATCH)
    else:
        seconds = fault.seconds * times * scale.pace
        seconds += times * scale.away_seconds * fault.stays_away
        plan = Plan(scale.timers or round(scale.rate * seconds), seconds, scale.ahead_seconds)
    load = Load(plan, draw, [api.url for api in stage.apis], stage.recorder.urls)
    scenes = [Scene(stage, draw, scale, load, index) for index in range(times)]
    problems = []
    try:
        strikes = await (_on_backlog if fault.is_backlog else _under_load)(fault, load, plan, scenes)
        if not await stage.settled(SETTLE_SECONDS + plan.timers * PER_TIMER_SECONDS):
            problems.append("not everything ended in time")
    except BaseException:
        # Nothing of this run may come into the next one.
        await stage.heal()
        await stage.settled(SETTLE_SECONDS)
        stage.recorder.arrivals()
        raise
    await stage.heal()
    # What a client gave up waiting for may have been stored since; it is called as well.
    if not await stage.settled(SETTLE_SECONDS):
        problems.append("what was stored late did not end in time")
    states = await stage.states(began_at_us - _ID_MARGIN_US)
    sample = draw.sample(sorted(states), min(SAMPLE, len(states)))
    shown = await stage.state_of(sample)
    problems += [
        f"{i} is listed as {states[i]}, and shown as {shown.get(i)}" for i in sample if shown.get(i) != states[i]
    ]
    verdict = check(Record(load.asked, stage.recorder.arrivals(), states, strikes), fault.may_repeat)
    return Result(
        fault, stage.server.engine.kind, seed, stage.lease_seconds, strikes, verdict,
        time.monotonic() - began, problems, scale.rescue_margin_seconds,
    )  # fmt: skip


async def _under_load(fault: Fault, load: Load, plan: Plan, scenes: list[Scene]) -> list[Strike]:
    began = time.monotonic()
    draw = scenes[0].draw
    lull_seconds = plan.seconds - len(scenes) * scenes[0].scale.away_seconds * fault.stays_away
    moments = sorted(draw.uniform(0.1, 0.8) * lull_seconds for _ in scenes)
    strikes = []
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        for scene, moment in zip(scenes, moments, strict=True):
            await asyncio.sleep(began + moment - time.monotonic())
            strikes.append(await fault.strike(scene))
        load.finish()
    return strikes


async def _on_backlog(fault: Fault, load: Load, _: Plan, scenes: list[Scene]) -> list[Strike]:
    load.finish()
    for controller in scenes[0].stage.controllers:
        assert await controller.terminate() == 0
    await load.run()
    return [await fault.strike(scene) for scene in scenes]


@contextlib.asynccontextmanager
async def staged(fault: Fault, engine: Engine, folder: Path, lease_seconds: float) -> AsyncIterator[Stage]:
    """A stage of its own for this fault, on a server of its own."""
    with contextlib.ExitStack() as stack:
        if fault.small_disk_mb:
            folder = stack.enter_context(small_disk(folder, fault.small_disk_mb))
        size_mb = 64 if fault.small_disk_mb else 512
        server = stack.enter_context(
            EmbeddedServer(engine, folder / "db", buffer_pool_mb=size_mb, redo_log_mb=size_mb)
        )
        shards = open_shards([server.url])
        for shard in shards:
            await upgrade(shard.engine)
        await shards.close()
        async with Stage(server, lease_seconds=lease_seconds, through_proxy=fault.through_proxy) as stage:
            yield stage
