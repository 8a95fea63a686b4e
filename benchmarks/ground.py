"""What every workload stands on: a real server, a sink, our own processes, and timers for them."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.database import Observer
from benchmarks.figures import BenchmarkError, Result
from benchmarks.loading import Load, load
from benchmarks.options import Options
from benchmarks.programs import Program, free_ports, wait_until
from benchmarks.sink import Sink
from timer_db.domain.timer import NewTimer
from timer_db.embedded import EmbeddedServer, EngineKind, install_engine
from timer_db.engine import open_shards
from timer_db.migrate import upgrade

CONTROLLER = "timer_controller"
RECEIVERS = 10
READY_SECONDS = 60.0
PURGE_SECONDS = 1.0
"""What was deleted is purged a little later, and belongs to the cost."""
_FIRST_GUESS_SECONDS_PER_TIMER = 30e-6
_BEFORE_DUE_SECONDS = 3.0
"""Between the end of a load and its instant: controllers start, and the server becomes quiet."""
_CALM_SECONDS_MAX = 60.0
_CALM_LOOK_SECONDS = 2.0
_CALM_DIRTY_SHARE = 0.1
_tags = itertools.count()


@dataclass(slots=True)
class Ground:
    """One engine's server and one sink, shared by all workloads; tables are emptied between them."""

    engine: EngineKind
    options: Options
    server: EmbeddedServer
    observer: Observer
    sink: Sink
    folder: Path
    seconds_per_timer: float = _FIRST_GUESS_SECONDS_PER_TIMER

    def result(self, workload: str, **case: Any) -> Result:
        """An empty result for one case."""
        return Result(self.engine.value, workload, case)

    def tag(self, workload: str) -> str:
        """A path for the timers of one run."""
        return f"{workload}{next(_tags)}"

    @property
    def server_pid(self) -> int:
        """The database's process id."""
        pid = self.server.pid
        if pid is None:
            raise BenchmarkError(f"the database has ended: {self.server.last_words()}")
        return pid

    # Timers

    def load(
        self,
        timer: NewTimer,
        count: int,
        first_due_us: int,
        step_us: int = 0,
        columns: Mapping[str, str] | None = None,
    ) -> Load:
        """Store timers like this one, and remember how long it took."""
        done = load(self.server.url, timer, count, first_due_us, step_us, columns)
        self.seconds_per_timer = max(done.seconds / count, self.seconds_per_timer / 2)
        return done

    def load_ahead(self, timers: Sequence[NewTimer], count: int, step_us: int = 0) -> list[Load]:
        """Store `count` timers, like each of these in turn; the first is due some seconds after the last is
        stored. When the server took longer than it did before, once more with a later instant."""
        each, step = count // len(timers), step_us * len(timers)
        lead = _BEFORE_DUE_SECONDS + 2 * self.seconds_per_timer * count
        for _ in range(3):
            first_due_us = round((time.time() + lead) * 1e6)
            loads = [self.load(timer, each, first_due_us + n * step_us, step) for n, timer in enumerate(timers)]
            if time.time() + _BEFORE_DUE_SECONDS <= first_due_us / 1e6:
                return loads
            lead *= 2
            self.observer.take_back(loads)
        raise BenchmarkError(f"loading {count:,} timers takes longer than {lead:.0f} s")

    # Processes

    @contextmanager
    def controllers(
        self, count: int, *, module: str = CONTROLLER, ports: Sequence[int] = (), **settings: object
    ) -> Iterator[list[Program]]:
        """So many controllers, all of them joined; settings without their TIMER_. They listen on these ports."""
        with ExitStack() as stack:
            programs = []
            for n in range(1, count + 1):
                port = {"controller_port": ports[n - 1]} if ports else {}
                programs.append(
                    stack.enter_context(self._service(f"controller {n}", module, {**settings, **port}))
                )
            wait_until("controllers", lambda: self.observer.controllers() == count, READY_SECONDS, programs)
            yield programs

    @contextmanager
    def api(self, module: str = "timer_api", **settings: object) -> Iterator[tuple[Program, int]]:
        """An API process that is ready, and its port."""
        port = free_ports(1)[0]
        with self._service("the API", module, {"api_port": port, **settings}) as program:
            wait_until("the API", lambda: _is_ready(port), READY_SECONDS, [program])
            yield program, port

    def generator(self, port: int, request: bytes, **options: object) -> Program:
        """The load generator on a port; its report comes when it ends."""
        path = self.folder / f"request-{next(_tags)}"
        path.write_bytes(request)
        arguments: list[object] = ["--port", port, "--request", path]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        return Program.of_module("benchmarks.load_generator", self.folder / "generator.log", arguments)

    def late_receiver(self, seconds: float) -> tuple[Program, int]:
        """A receiver that answers after so many seconds, and its port."""
        port = free_ports(1)[0]
        program = Program.of_module("benchmarks.late_receiver", self.folder / "late.log", [port, seconds])
        return program, port

    def _service(self, name: str, module: str, settings: dict[str, Any]) -> Program:
        chosen = {"egress_allow": "127.0.0.0/8", **dict(self.options.settings), **settings}
        environment = {f"TIMER_{key.upper()}": str(value) for key, value in chosen.items()}
        environment["TIMER_DB_URL"] = self.server.url
        log = self.folder / f"{module}.log"
        return Program.of_module(module, log, environment=environment)

    # Waiting

    def wait_written(self, programs: Sequence[Program], timeout_seconds: float = 60) -> None:
        """Until no outcome is outstanding."""
        wait_until("the last outcome", self.observer.is_all_written, timeout_seconds, programs)

    def calm(self) -> None:
        """Until the server writes no more of what a load left dirty, or a minute is over."""
        patience_ends = time.monotonic() + _CALM_SECONDS_MAX
        dirty, before = self.observer.dirty_share(), math.inf
        while _CALM_DIRTY_SHARE < dirty < before and time.monotonic() < patience_ends:
            time.sleep(_CALM_LOOK_SECONDS)
            dirty, before = self.observer.dirty_share(), dirty


@contextmanager
def ground(engine: EngineKind, options: Options, folder: Path) -> Iterator[Ground]:
    """A server of this engine with our tables in it, and a sink."""
    folder.mkdir()
    with ExitStack() as stack:
        server = EmbeddedServer(install_engine(engine), folder / "db", buffer_pool_mb=options.buffer_pool_mb)
        stack.enter_context(server)
        asyncio.run(_upgrade(server.url))
        observer = Observer(server.url)
        stack.callback(observer.close)
        sink_folder = folder / "sink"
        sink_folder.mkdir()
        sink = Sink(sink_folder, RECEIVERS)
        stack.callback(sink.program.stop)
        yield Ground(engine, options, server, observer, sink, folder)


async def _upgrade(url: str) -> None:
    shards = open_shards([url])
    for shard in shards:
        await upgrade(shard.engine)
    await shards.close()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
