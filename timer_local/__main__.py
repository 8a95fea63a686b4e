"""`make run`: the embedded database, one API and some controllers in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from contextlib import AsyncExitStack

import httpx

from timer_db.configuration import read_or_exit
from timer_db.domain.errors import DatabaseError
from timer_db.embedded import EmbeddedError, EmbeddedServer, find_engine
from timer_db.embedded.datadir import remembered_kind
from timer_db.engine import open_shards
from timer_db.logs import log_to_stderr
from timer_db.migrate import upgrade
from timer_db.operations.watch import ConnectRetry, reach
from timer_local.parts import Database, Part, Program
from timer_local.settings import LocalSettings

log = logging.getLogger("timer_local")

_LOOK_SECONDS = 0.1


def main() -> int:
    """The exit code: 0 after Ctrl-C, 1 when a part cannot start."""
    settings = read_or_exit(LocalSettings)
    log_to_stderr(settings.log_level, "timer_local", settings.log_format)
    return_code = 0
    try:
        asyncio.run(_run(settings))
    except* (EmbeddedError, DatabaseError, ValueError) as group:
        for error in group.exceptions:
            sys.stderr.write(f"make run: {error}\n")
        return_code = 1
    return return_code


async def _run(settings: LocalSettings) -> None:
    _check_port(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # What runs is stopped in reverse: controllers first, then the API, the database last.
    async with asyncio.TaskGroup() as group, AsyncExitStack() as running:
        url = settings.db_url or await _start_database(settings, running, group)
        await _migrate(url)
        for part in _programs(settings, url):
            await _start(part, running, group)
        await _announce(settings, stop)
        await stop.wait()
        log.info("stopping")


def _check_port(settings: LocalSettings) -> None:
    """Before anything starts: an API that cannot listen would be started again and again."""
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.api_host, settings.api_port))
        except OSError as error:
            where = f"{settings.api_host}:{settings.api_port}"
            if error.errno == errno.EADDRINUSE:
                raise ValueError(f"{where} is taken; set TIMER_API_PORT to another port") from None
            raise ValueError(f"cannot listen on {where}: {error.strerror}; see TIMER_API_HOST") from None


async def _start_database(settings: LocalSettings, running: AsyncExitStack, group: asyncio.TaskGroup) -> str:
    folder = settings.data_dir / "db"
    kind = settings.embedded_engine or remembered_kind(folder)
    engine = await asyncio.to_thread(find_engine, kind, progress=log.info)
    server = EmbeddedServer(engine, folder)
    await _start(Database(server), running, group)
    log.info("%s %s serves %s", engine.kind, engine.version, folder)
    return server.url


async def _start(part: Part, running: AsyncExitStack, group: asyncio.TaskGroup) -> None:
    await part.start()
    running.push_async_callback(part.stop)
    group.create_task(part.supervise())


async def _migrate(url: str) -> None:
    shards = open_shards(url.split(","))
    try:
        await reach(shards, ConnectRetry(attempts=10))
        for shard in shards:
            await upgrade(shard.engine)
    finally:
        await shards.close()


def _programs(settings: LocalSettings, url: str) -> list[Part]:
    environment = {"TIMER_EGRESS_ALLOW": settings.egress_allow}
    if not settings.db_url:
        # Else the parts read it where we did: there may be a TIMER_DB_URL_FILE instead.
        environment["TIMER_DB_URL"] = url
    api = Program("the API", "timer_api", environment)
    return [
        api,
        *(Program(f"controller {n}", "timer_controller", environment) for n in range(1, settings.controllers + 1)),
    ]


def _url(host: str, port: int) -> str:
    """Where the API is called from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


async def _announce(settings: LocalSettings, stop: asyncio.Event) -> None:
    base = _url(settings.api_host, settings.api_port)
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        while not stop.is_set():
            try:
                if (await client.get("/health/ready")).status_code == httpx.codes.OK:
                    sys.stdout.write(f"ready: {base}/docs\n")
                    sys.stdout.flush()
                    return
            except httpx.TransportError:
                pass
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue


if __name__ == "__main__":
    sys.exit(main())
