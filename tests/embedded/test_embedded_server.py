"""The embedded server's life: made, stopped, killed, refused, orphaned."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from timer_db.embedded import EmbeddedError, EmbeddedServer, Engine, EngineKind, find_engine

from .helpers import ServerMaker, query

KEEP = ["CREATE TABLE kept (word VARCHAR(20))", " INSERT INTO kept VALUES ('kept')"]
READ = "SELECT word FROM kept"
END_SECONDS = 30.0
LAST_WORDS = {EngineKind.mysql: "MySQL Server - end.", EngineKind.mariadb: "Shutdown complete"}

# What `python -c` runs as the parent that is killed: it starts a server and says so.
PARENT = """
import sys, time
from pathlib import Path
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
server = EmbeddedServer(
    find_engine(EngineKind(sys.argv[1])), Path(sys.argv[2]), buffer_pool_mb=32, redo_log_mb=16
)
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""
FOREGROUND = """
import sys
from pathlib import Path
from timer_db.embedded import EngineKind
from timer_db.embedded.cli import run_embedded
sys.exit(run_embedded(Path(sys.argv[2]), EngineKind(sys.argv[1]), None))
"""


@contextlib.contextmanager
def python(code: str, engine: Engine, data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own group, killed at the end."""
    argv = [sys.executable, "-c", code, engine.kind, str(data_dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_first_start(engine: Engine, start_server: ServerMaker, tmp_path: Path) -> None:
    # As if an earlier first start had been cut off.
    (tmp_path / "data/db.new/mysql").mkdir(parents=True)
    server = start_server(tmp_path / "data")
    rows = query(
        server,
        "SELECT @@version, @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, @@binlog_format,"
        " @@binlog_expire_logs_seconds, @@bind_address, @@time_zone, @@max_connections,"
        " @@character_set_database, @@performance_schema, @@skip_name_resolve, DATABASE()",
    )
    version, *settings = rows[0]
    assert version.startswith(engine.version)
    assert settings == [1, 1, 1, "ROW", 3600, "127.0.0.1", "+00:00", 500, "utf8mb4", 0, 1, "timer"]
    # MariaDB took MySQL's name for it only lately.
    isolation = "SHOW VARIABLES WHERE variable_name IN ('transaction_isolation', 'tx_isolation')"
    assert {value for _, value in query(server, isolation)} == {"READ-COMMITTED"}
    assert stat.S_IMODE((tmp_path / "data/password").stat().st_mode) == 0o600


def test_timer_owns_its_databases_and_no_others(running: EmbeddedServer) -> None:
    query(running, "CREATE DATABASE timer_shard_2", "CREATE TABLE timer_shard_2.t (i INT)")
    with pytest.raises(pymysql.Error):
        query(running, "CREATE DATABASE timerless")


def test_root_comes_in_by_the_socket_only(running: EmbeddedServer) -> None:
    by_socket = {"user": "root", "unix_socket": str(running.socket)}
    assert query(running, "SELECT CURRENT_USER()", **by_socket) == [("root@localhost",)]
    with pytest.raises(pymysql.err.OperationalError):
        query(running, "SELECT 1", user="root")
    with pytest.raises(pymysql.err.OperationalError):
        query(running, "SELECT 1", password="", **by_socket)


def test_ctrl_c_in_the_terminal_does_not_reach_it(running: EmbeddedServer) -> None:
    assert running.pid
    assert os.getpgid(running.pid) == running.pid
    assert os.getsid(running.pid) != os.getsid(0)


def test_restart_keeps_data_and_url(start_server: ServerMaker, data_dir: Path) -> None:
    server = start_server(data_dir)
    query(server, *KEEP)
    url, pid = server.url, server.pid
    server.restart()
    assert server.url == url
    assert server.pid != pid
    assert query(server, READ) == [("kept",)]


def test_start_after_kill_9_finds_data_and_removes_stale_files(
    engine: Engine, start_server: ServerMaker, data_dir: Path
) -> None:
    server = start_server(data_dir)
    query(server, *KEEP)
    server.kill()
    assert not server.is_running
    with python("print(flush=True); import time; time.sleep(600)", engine, data_dir) as stranger:
        first_line(stranger)
        # The pids that the server left behind belong to another program by now.
        for stale in ("run/pid", "run/sock.lock"):
            (data_dir / stale).write_text(f"{stranger.pid}\n")
        (data_dir / "lock").write_text(f"{os.getpid()} {stranger.pid}")
        server.start()
    assert query(server, READ) == [("kept",)]


def test_two_servers_at_once(start_server: ServerMaker, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path / "other")
    first, second = start_server(data_dir), start_server(tmp_path / "other")
    for server in (first, second):
        query(server, *KEEP)
    query(first, "DELETE FROM kept")
    assert first.port != second.port
    assert query(second, READ) == [("kept",)]


def test_refuses_a_folder_in_use(running: EmbeddedServer, start_server: ServerMaker) -> None:
    user = f"in use by server process {running.pid} of process {os.getpid()}"
    with pytest.raises(EmbeddedError, match=user):
        start_server(running.data_dir)
    assert query(running, "SELECT 1") == [(1,)]


def test_refuses_the_other_kinds_data(engine: Engine, start_server: ServerMaker, pristine: Path) -> None:
    (other,) = set(EngineKind) - {engine.kind}
    with pytest.raises(EmbeddedError, match=f"holds data of {engine.kind}, not {other}"):
        start_server(pristine, engine=find_engine(other))


def test_refuses_data_of_a_newer_version(engine: Engine, start_server: ServerMaker, pristine: Path) -> None:
    older = dataclasses.replace(engine, version="1.2.3")
    with pytest.raises(EmbeddedError, match=f"newer {engine.kind} {engine.version}, not {engine.kind} 1.2.3"):
        start_server(pristine, engine=older)


def test_data_move_on_with_a_newer_version(engine: Engine, start_server: ServerMaker, data_dir: Path) -> None:
    start_server(data_dir, engine=dataclasses.replace(engine, version="99.0.0")).kill()
    with pytest.raises(EmbeddedError, match=r"newer \w+ 99\.0\.0"):
        start_server(data_dir)


def test_a_server_that_cannot_start_says_why_in_one_line(
    make_server: ServerMaker, start_server: ServerMaker, data_dir: Path
) -> None:
    server = make_server(data_dir, extra_args=["--no-such-setting=1"])
    with pytest.raises(EmbeddedError, match="no-such-setting") as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert server.pid is None
    # It holds nothing on to the folder.
    start_server(data_dir)


def test_a_taken_port_is_refused(start_server: ServerMaker, pristine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"port {port} is taken"):
            start_server(pristine, port=port)


def test_a_free_port_that_is_lost_is_replaced(
    start_server: ServerMaker, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = EmbeddedServer._choose_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lost = taken.getsockname()[1]
        ports = iter([lost])
        monkeypatch.setattr(EmbeddedServer, "_choose_port", lambda self: next(ports, None) or choose(self))
        server = start_server(data_dir)
        assert server.port != lost
        assert query(server, "SELECT 1") == [(1,)]


def test_a_long_path_gets_a_short_socket(start_server: ServerMaker, data_dir: Path) -> None:
    deep = data_dir.parent / ("d" * 90)
    data_dir.rename(deep)
    server = start_server(deep)
    folder = server.socket.parent
    assert folder.parent != deep
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.kill()
    assert not folder.exists()


def test_a_thread_may_start_it_and_end(make_server: ServerMaker, data_dir: Path) -> None:
    server = make_server(data_dir)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    # A server tied to that thread is told to end now; MySQL closes its port within this time.
    assert not server.wait(0.5)
    assert query(server, "SELECT 1") == [(1,)]


def test_it_ends_in_order_when_its_parent_is_killed(
    engine: Engine, make_server: ServerMaker, data_dir: Path
) -> None:
    with python(PARENT, engine, data_dir) as parent:
        first_line(parent)
        parent.kill()
        # At once, while the orphan is still ending; and no parent's death is refused as a folder in use.
        make_server(data_dir).start()
    assert LAST_WORDS[engine.kind] in (data_dir / "error.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_stops_in_order(engine: Engine, data_dir: Path, number: signal.Signals) -> None:
    with python(FOREGROUND, engine, data_dir) as owner:
        assert first_line(owner).startswith("ready: mysql://timer:")
        # To the whole group, as Ctrl-C in a terminal does.
        os.killpg(owner.pid, number)
        output, _ = owner.communicate(timeout=END_SECONDS)
    assert (owner.returncode, output) == (0, "")
    assert (data_dir / "error.log").read_text().rstrip().endswith(LAST_WORDS[engine.kind])


def test_in_the_foreground_a_lost_server_is_an_error(engine: Engine, data_dir: Path) -> None:
    with python(FOREGROUND, engine, data_dir) as owner:
        first_line(owner)
        os.kill(int((data_dir / "run/pid").read_text()), signal.SIGKILL)
        owner.communicate(timeout=END_SECONDS)
    assert owner.returncode == 1
