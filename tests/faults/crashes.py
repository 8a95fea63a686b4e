"""Processes and the database server die, freeze, are restarted, or stay away."""

from __future__ import annotations

import asyncio
import os
import re
import signal

import httpx

from tests.db.proxy import When
from tests.faults.record import Strike
from tests.faults.scene import Scene, now_us
from tests.faults.stage import Stage
from tests.system import Service

_HELD = (b"UPDATE controllers SET beat_at_us", b"INSERT INTO attempts", b"INSERT INTO claim_batches")
"""What the transaction has written, and holds locks on."""
_MEMBER = re.compile(
    rb"(?:controller_id|FROM controllers WHERE id|SET beat_at_us = \d+, settled_at_us = \d+ WHERE id) = (\d+)"
)
FREEZES_MAX = 100
"""Until one is at the wanted place."""


async def kill_controller(scene: Scene) -> Strike:
    """As `kill -9`, with another one started soon after; over when the others have taken its claims back."""
    return await _kill(scene.stage, scene.draw.choice(scene.stage.controllers), scene.draw.uniform(0.2, 1.5))


async def _kill(stage: Stage, victim: Service, away_seconds: float) -> Strike:
    member = await stage.member_of(victim)
    await victim.kill()
    began_at_us = now_us()
    rescue = asyncio.create_task(stage.rescue_of(member, began_at_us))
    await asyncio.sleep(away_seconds)
    await victim.start()
    await victim.wait_until(httpx.codes.OK)
    found = await rescue
    return Strike(began_at_us, began_at_us, found.seconds, found.in_hand, found.unknown)


async def pause_controller(scene: Scene) -> Strike:
    """SIGSTOP between two transactions until others have taken its claims over, then SIGCONT."""
    stage, sleeper = scene.stage, scene.draw.choice(scene.stage.controllers)
    member = await stage.member_of(sleeper)
    for _ in range(FREEZES_MAX):
        sleeper.send(signal.SIGSTOP)
        began_at_us = now_us()
        if not await stage.keeps_locks():
            return await _thaw(scene, sleeper, member, began_at_us)
        sleeper.send(signal.SIGCONT)
        await asyncio.sleep(scene.draw.uniform(0, 0.1))
    raise AssertionError(f"all of {FREEZES_MAX} freezes were inside a transaction")


async def _thaw(scene: Scene, sleeper: Service, member: int, began_at_us: int) -> Strike:
    """When its claims were taken over, and a moment later."""
    stage = scene.stage
    try:
        found = await stage.rescue_of(member, began_at_us)
        await asyncio.sleep(scene.draw.uniform(0, 1))
    finally:
        sleeper.send(signal.SIGCONT)
    await sleeper.wait_until(httpx.codes.OK)
    return Strike(began_at_us, began_at_us, found.seconds, found.in_hand, found.unknown)


async def vanish(scene: Scene) -> Strike:
    """As a machine does that loses its power, or its network: frozen inside a transaction, and no connection is
    closed. The server keeps the locks, and hears nothing."""
    stage, proxy = scene.stage, scene.stage.proxy
    proxy.cut(When.silent, behind=scene.draw.choice(_HELD))
    async with asyncio.timeout(30):
        await proxy.was_cut.wait()
    member = int(_MEMBER.findall(proxy.met)[-1])
    [[pid]] = await stage.rows(f"SELECT pid FROM controllers WHERE id = {member}")
    [victim] = [service for service in stage.controllers if service.process and service.process.pid == pid]
    victim.send(signal.SIGSTOP)
    return await _thaw(scene, victim, member, now_us())


async def kill_api(scene: Scene) -> Strike:
    """As `kill -9`, with requests under way."""
    victim = scene.draw.choice(scene.stage.apis)
    began_at_us = now_us()
    await victim.kill()
    await asyncio.sleep(scene.draw.uniform(0.1, 1))
    await victim.start()
    await victim.wait_until(httpx.codes.OK)
    return Strike(began_at_us, now_us())


async def kill_database(scene: Scene) -> Strike:
    """As `kill -9`; it recovers from its log."""
    server = scene.stage.server
    began_at_us = now_us()
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(scene.draw.uniform(0.1, 1))
    await asyncio.to_thread(server.start)
    return Strike(began_at_us, now_us())


async def stop_database(scene: Scene) -> Strike:
    """Away for longer than any lease."""
    server = scene.stage.server
    began_at_us = now_us()
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(scene.scale.away_seconds)
    await asyncio.to_thread(server.start)
    return Strike(began_at_us, now_us())


async def stall_database(scene: Scene) -> Strike:
    """Frozen past every lease: no connection breaks, no statement fails, each only lasts. Nobody was silent."""
    server = scene.stage.server
    began_at_us = now_us()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(scene.stage.lease_seconds * scene.draw.uniform(1.3, 1.7))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    return Strike(began_at_us, now_us())


async def restart_all(scene: Scene) -> Strike:
    """SIGTERM for each service, one after the other, as an update does it."""
    stage = scene.stage
    began_at_us = now_us()
    everyone = [*stage.apis, *stage.controllers]
    for service in scene.draw.sample(everyone, len(everyone)):
        await stage.restart(service)
    return Strike(began_at_us, now_us())


async def start_controllers(scene: Scene) -> Strike:
    """All at once, on what has piled up."""
    began_at_us = now_us()
    await _start_all(scene.stage)
    return Strike(began_at_us, began_at_us)


async def kill_while_many_wait(scene: Scene) -> Strike:
    """The same, and then one of them is killed in the middle of it, with its hands full."""
    await _start_all(scene.stage)
    await asyncio.sleep(scene.draw.uniform(1, 5))
    return await kill_controller(scene)


async def _start_all(stage: Stage) -> None:
    idle = [controller for controller in stage.controllers if not controller.is_running]
    await asyncio.gather(*(controller.start() for controller in idle))
    await asyncio.gather(*(controller.wait_until(httpx.codes.OK) for controller in idle))
