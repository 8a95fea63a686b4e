"""Real servers of both engines, small, and killed when a test is over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from timer_db.embedded import EmbeddedServer, Engine, EngineKind, find_engine

from .helpers import ServerMaker


@pytest.fixture(scope="session", params=list(EngineKind))
def engine(request: pytest.FixtureRequest) -> Engine:
    return find_engine(request.param)


@pytest.fixture
def make_server(engine: Engine) -> Iterator[ServerMaker]:
    servers = []

    def make(data_dir: Path, **options: Any) -> EmbeddedServer:
        options = {"engine": engine, "buffer_pool_mb": 32, "redo_log_mb": 16, **options}
        servers.append(EmbeddedServer(data_dir=data_dir, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def start_server(make_server: ServerMaker) -> ServerMaker:
    def start(data_dir: Path, **options: Any) -> EmbeddedServer:
        server = make_server(data_dir, **options)
        server.start()
        return server

    return start


@pytest.fixture(scope="session")
def pristine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose server has been started and stopped once."""
    folder = tmp_path_factory.mktemp("pristine") / "data"
    with EmbeddedServer(engine, folder, buffer_pool_mb=32, redo_log_mb=16):
        pass
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture(scope="session")
def running(engine: Engine, pristine: Path) -> Iterator[EmbeddedServer]:
    """A server that nobody stops, for tests that only look."""
    folder = pristine.with_name("running")
    shutil.copytree(pristine, folder)
    server = EmbeddedServer(engine, folder, buffer_pool_mb=32, redo_log_mb=16)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def data_dir(pristine: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, for tests that are not about the first start."""
    folder = tmp_path / "data"
    shutil.copytree(pristine, folder, symlinks=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
