"""What the page for operators tells them to run can be run, on each engine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client_tools import PROGRAMS, ClientTools
from tests.db import scratch
from tests.db.desk import SECOND_US, Desk, new_timer
from tests.docs.pages import ROOT, blocks, section
from tests.docs.reader import Reader
from tests.system import poll
from timer_db.__main__ import _parser
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
from timer_db.embedded.errors import EmbeddedError
from timer_db.shards import Shards

PAGE = (ROOT / "docs/operations.md").read_text()
STATEMENTS = [block.text for block in blocks(section(PAGE, "Alerts")) if block.language == "sql"]
BACKUP = blocks(section(PAGE, "Backup"))
RESTORE_WITH_LOG = blocks(section(PAGE, "Restore with the log"))
TITLES = {EngineKind.mysql: "MySQL", EngineKind.mariadb: "MariaDB"}
LOGGED_IN = """#!/bin/sh
MYSQL_PWD='…' exec {program} --no-defaults --socket={socket} --user=backup "$@"
"""


def _of(kind: EngineKind, script: str) -> str:
    """The part of a block that is for one engine: what stands below, or before, a comment with its name."""
    lines = script.splitlines()
    [mark] = [number for number, line in enumerate(lines) if line.endswith(f"# {TITLES[kind]}")]
    return lines[mark].partition("# ")[0] or lines[mark + 1]


@pytest.fixture
def tools(engine_kind: EngineKind) -> ClientTools:
    """The engine's own programs."""
    try:
        return ClientTools(find_engine(engine_kind))
    except EmbeddedError as fault:
        pytest.skip(f"no client programs for {engine_kind}: {fault}")


@pytest.fixture
def backup_reader(
    tools: ClientTools, server: EmbeddedServer, database_url: str, tmp_path: Path
) -> Iterator[Reader]:
    """Somebody whose programs are logged in as the user that the page makes for backups."""
    statements = next(block.text for block in BACKUP if block.language == "sql")
    if tools.kind is EngineKind.mariadb:
        statements = re.sub(r"^.*MySQL 9\.7:.*$", "", statements, flags=re.MULTILINE)
    _as_root(tools, server, tmp_path, "DROP USER IF EXISTS 'backup'@'%';\n" + statements)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, argv in zip(PROGRAMS[tools.kind], (tools.client, tools.dump, tools.binlog), strict=True):
        script = LOGGED_IN.format(program=shlex.join(argv), socket=shlex.quote(str(server.socket)))
        # The page says `mysql` for either engine's client.
        for path in {folder / name, folder / name.replace("mariadb", "mysql")}:
            path.write_text(script)
            path.chmod(0o755)
    yield Reader(bin_folders=[folder])
    _as_root(tools, server, tmp_path, "DROP USER 'backup'@'%';")


def _as_root(tools: ClientTools, server: EmbeddedServer, folder: Path, statements: str) -> str:
    source = folder / "statements.sql"
    source.write_text(statements)
    return tools.run(tools.client, "--batch", "--skip-column-names", server=server, source=source).decode()


@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
def test_every_statement_runs(database_url: str, statement: str) -> None:
    scratch.run(database_url, statement)


async def test_the_first_statement_counts_what_is_overdue(database_url: str, shards: Shards) -> None:
    desk = Desk(shards)
    now_us = await desk.now_us()
    for priority, due_in_seconds in ((7, -60), (7, -90), (0, -30), (0, 30), (0, -1)):
        await desk.add(new_timer(now_us + due_in_seconds * SECOND_US, priority=priority))
    counts = {priority: overdue for priority, overdue, _ in scratch.run(database_url, STATEMENTS[0])}
    assert counts == {7: 2, 0: 1}


async def test_the_user_for_backups_can_take_the_copy_and_the_log(
    backup_reader: Reader, tools: ClientTools, server: EmbeddedServer, database_url: str, tmp_path: Path
) -> None:
    shell = [block.text for block in BACKUP if block.language == "sh"]
    # Without the rights that it needs, mysqldump says so and ends with 0 all the same.
    await backup_reader.run(f"{_of(tools.kind, shell[0])} 2>complaints", folder=tmp_path)
    assert (tmp_path / "complaints").read_text() == ""
    [find] = re.findall(r"`(grep [^`]+ timer\.sql)`", PAGE)
    place = re.search(r"FILE='(\S+)', \w+_POS=(\d+)", await backup_reader.run(find, folder=tmp_path))
    assert place
    scratch.run(database_url, "INSERT INTO collections (name, created_at_us) VALUES ('after-the-copy', 1)")

    continuous = shell[1].replace("--host=…", "--host=localhost").replace("binlog.000001", place[1])
    if tools.kind is EngineKind.mariadb:
        continuous = continuous.replace("mysqlbinlog", "mariadb-binlog")
    taken = tmp_path / "continuous"
    taken.mkdir()

    async def has_come() -> bool:
        return b"after-the-copy" in b"".join(path.read_bytes() for path in taken.iterdir())

    async with backup_reader.running(continuous, tmp_path / "log", folder=taken):
        await poll(has_come, 20, "the log to come")
    restore, *_ = RESTORE_WITH_LOG
    replay = _of(tools.kind, restore.text).replace("POSITION", place[2])
    replay = re.sub(r"FILE … \| .*", f"{taken / place[1]} > replay.sql", replay)
    await backup_reader.run(replay, folder=tmp_path)
    assert b"\nBINLOG '" in (tmp_path / "replay.sql").read_bytes(), "no row was written"


async def test_the_databases_clock_can_be_compared(backup_reader: Reader) -> None:
    [compare] = [block.text for block in blocks(section(PAGE, "Clocks differ"))]
    before, between, after = map(float, (await backup_reader.run(compare)).split())
    assert before <= between <= after


def test_the_databases_password_can_be_changed(tools: ClientTools, server: EmbeddedServer, tmp_path: Path) -> None:
    [statement] = [block.text for block in blocks(section(PAGE, "Containers")) if block.language == "sql"]
    user = "timer@'%'"
    assert user in statement
    # Not the account that the tests have, which is timer@'127.0.0.1'.
    _as_root(tools, server, tmp_path, f"CREATE USER {user};\n{statement}\nDROP USER {user};")


def test_each_alert_says_how_to_see_it_and_what_to_do() -> None:
    alerts = re.findall(r"^\| \[(.+?)\]", section(PAGE, "Alerts"), re.MULTILINE)
    assert len(alerts) >= 8
    for alert in alerts:
        text = section(PAGE, alert)
        assert "**See it.**" in text, alert
        assert "**Why, and what to do.**" in text, alert


def test_the_commands_of_timer_db_are_known() -> None:
    commands = set(re.findall(r"python -m timer_db (\w+[^`\n]*)", PAGE))
    assert {"check", "upgrade"} <= commands
    for command in commands:
        _parser().parse_args(command.split())
