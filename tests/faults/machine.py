"""The machine is at fault: a wrong clock, a full disk; and everything is started twice."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

from tests.faults.record import Strike
from tests.faults.scene import Scene, now_us
from tests.system import Service, free_port, poll

HOUR_SECONDS = 3600
_SOURCE = Path(__file__).with_name("wrong_clock.c")
_FULL_SECONDS = 5.0


def no_wrong_clock() -> str | None:
    """Why no process can have a wrong clock here."""
    return None if sys.platform == "linux" and shutil.which("gcc") else "gcc is needed to make a clock wrong"


def wrong_clock(folder: Path, seconds: int) -> dict[str, str]:
    """What a process needs in its environment for its wall clock to be wrong by so much."""
    library = folder / "wrong_clock.so"
    if not library.exists():
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "WRONG_CLOCK_SECONDS": str(seconds)}


async def make_clocks_wrong(scene: Scene) -> Strike:
    """One controller is an hour ahead, one an hour behind, and an API too; the others are right."""
    stage = scene.stage
    began_at_us = now_us()
    wrong = [
        (stage.controllers[0], HOUR_SECONDS),
        (stage.controllers[1], -HOUR_SECONDS),
        (stage.apis[0], HOUR_SECONDS),
    ]
    await asyncio.gather(
        *(stage.restart(service, **wrong_clock(stage.folder, seconds)) for service, seconds in wrong)
    )
    for service, seconds in wrong:
        said = _clock_of(service) - time.time()
        assert abs(said - seconds) < 60, f"the clock of {service.module} is off by {said:.0f} s, not {seconds}"
    return Strike(began_at_us, now_us())


def _clock_of(service: Service) -> float:
    """The time of the last line that it logged."""
    last = [line for line in service.log_text().splitlines() if line[:4].isdigit()][-1]
    return datetime.fromisoformat(last.split(" ")[0]).timestamp()


def no_small_disk() -> str | None:
    """Why no small disk can be mounted here."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "only root can mount a small disk"


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A file system of this size; raises CalledProcessError where mounting is forbidden to root, too."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "timers", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def fill_disk(scene: Scene) -> Strike:
    """Nothing more can be written for some seconds."""
    filler = scene.stage.server.data_dir / "filler"
    began_at_us = now_us()
    try:
        await asyncio.to_thread(_fill, filler)

        async def is_refused() -> bool:
            return any(asked.refused for asked in scene.load.asked)

        await poll(is_refused, 60, "a create to be refused")
        await asyncio.sleep(_FULL_SECONDS)
    finally:
        filler.unlink()
    return Strike(began_at_us, now_us())


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


async def start_controller_twice(scene: Scene) -> Strike:
    """Two processes with one and the same environment, port and all, do the work of all three."""
    stage = scene.stage
    began_at_us = now_us()
    chosen = scene.draw.choice(stage.controllers)
    for service in stage.services:
        # Of two that were started at once before, one has ended by itself.
        if service.module == chosen.module and service.is_running:
            assert await service.terminate() == 0
    twin = Service(chosen.module, chosen.environment, chosen.log.with_suffix(".twin"))
    stage.services.append(twin)
    await asyncio.gather(chosen.start(), twin.start())

    async def is_ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"{chosen.url}/health/ready")).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

    async def has_one_ended() -> bool:
        return not (chosen.is_running and twin.is_running)

    await poll(is_ready, 30, "one of the two to be ready")
    # On a busy machine long after the other one is ready.
    await poll(has_one_ended, 30, "the one that finds the port taken to end")
    return Strike(began_at_us, now_us())


async def run_twice(scene: Scene) -> Strike:
    """`make run`, twice at once, on the data directory that is in use already: both have to refuse."""
    folder = scene.stage.server.data_dir.parent
    began_at_us = now_us()

    async def run() -> tuple[int | None, str]:
        environment = {**os.environ, "TIMER_DATA_DIR": str(folder), "TIMER_API_PORT": str(free_port())}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "timer_local", env=environment, stdout=PIPE, stderr=PIPE
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, told = await process.communicate()
        return process.returncode, told.decode()

    for code, told in await asyncio.gather(run(), run()):
        assert code == 1, told
        assert "is in use by" in told, told
    return Strike(began_at_us, now_us())
