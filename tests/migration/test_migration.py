"""From nothing to the tables of this version, and back."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect

from tests.db import scratch
from timer_db import migrate, schema
from timer_db.domain.errors import DatabaseUnavailable, SchemaMismatch
from timer_db.engine import Engine, Pool, open_engine, parse_url
from timer_db.models import metadata


def _tables(url: str) -> set[str]:
    return {str(row[0]) for row in scratch.run(url, "SHOW TABLES")}


async def test_from_empty_to_this_version(bare: Engine, bare_url: str) -> None:
    assert await migrate.upgrade(bare) == (None, schema.wanted_version())
    await schema.check(bare)
    assert _tables(bare_url) == {*metadata.tables, "alembic_version", "timers_readable"}
    assert scratch.run(bare_url, "SELECT id, name FROM collections") == [(1, "default")]


def test_the_version_is_alembics() -> None:
    scripts = ScriptDirectory.from_config(migrate.config())
    assert [schema.wanted_version()] == scripts.get_heads()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


async def test_the_migrations_make_the_models(bare: Engine) -> None:
    """Table by table, column by column: alembic finds nothing that it would change."""
    await migrate.upgrade(bare)

    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with bare.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_what_alembic_does_not_compare_agrees_too(bare: Engine) -> None:
    """Primary keys in their order, CHECKs by name, collations and the engine."""
    await migrate.upgrade(bare)

    def look(connection: Connection) -> None:
        found = inspect(connection)
        for table in metadata.sorted_tables:
            key = found.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key.columns], table.name
            options = found.get_table_options(table.name)
            assert options["mysql_engine"] == "InnoDB"
            collation = str(options.get("mysql_collate") or options.get("mariadb_collate"))
            assert collation == "utf8mb4_bin", table.name
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            for column in table.columns:
                wanted = getattr(column.type, "collation", None)
                if wanted:
                    assert columns[column.name]["type"].collation == wanted, column  # type: ignore[attr-defined]

    async with bare.connect() as connection:
        await connection.run_sync(look)
        names = {
            str(row[0])
            for row in await connection.exec_driver_sql(
                "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS"
                " WHERE CONSTRAINT_SCHEMA = DATABASE() AND LEFT(CONSTRAINT_NAME, 3) = 'ck_'"
            )
        }
    modelled = [c for table in metadata.sorted_tables for c in table.constraints if isinstance(c, CheckConstraint)]
    assert len(names) == len(modelled)


async def test_the_tables_of_the_models_and_of_the_migrations_are_the_same(bare: Engine, bare_url: str) -> None:
    """Made both ways and written out by the server."""
    await migrate.upgrade(bare)
    with scratch.scratch_database(bare_url) as other_url:
        other = open_engine(parse_url(other_url), Pool(size=1))
        async with other.connect() as connection:
            await connection.run_sync(metadata.create_all)
        await other.dispose()
        for table in metadata.sorted_tables:
            assert _shown(bare_url, table.name) == _shown(other_url, table.name)


def _shown(url: str, table: str) -> set[str]:
    """The lines of its definition. Of the CHECKs only the names: their clauses are compared in `tests/db`."""
    definition = str(scratch.run(url, f"SHOW CREATE TABLE {table}")[0][1])
    # The models know nothing of partitions, which are written below the last bracket.
    lines = [line.strip().rstrip(",") for line in definition.splitlines()]
    lines = lines[: [line.startswith(")") for line in lines].index(True) + 1]
    return {re.sub(r" CHECK .*| AUTO_INCREMENT=\d+", "", line) for line in lines}


async def test_upgrading_again_changes_nothing(bare: Engine, bare_url: str) -> None:
    await migrate.upgrade(bare)
    scratch.run(bare_url, "INSERT INTO collections (name, created_at_us) VALUES ('kept', 1)")
    before = {table: _shown(bare_url, table) for table in metadata.tables}
    assert await migrate.upgrade(bare) == (schema.wanted_version(), schema.wanted_version())
    assert {table: _shown(bare_url, table) for table in metadata.tables} == before
    assert len(scratch.run(bare_url, "SELECT * FROM collections")) == 2


async def test_of_many_upgrades_at_once_one_does_the_work(bare: Engine) -> None:
    wanted = schema.wanted_version()
    results = await asyncio.gather(*(migrate.upgrade(bare) for _ in range(3)))
    assert sorted(results, key=str) == sorted([(None, wanted), (wanted, wanted), (wanted, wanted)], key=str)


async def test_two_processes_upgrade_at_once(bare_url: str) -> None:
    """As when several containers start together."""
    results = await asyncio.gather(*(_timer_db("upgrade", bare_url) for _ in range(2)))
    assert [code for code, _ in results] == [0, 0]
    wanted = schema.wanted_version()
    lines = {text for _, text in results}
    assert lines == {f"database 0: schema empty -> {wanted}\n", f"database 0: schema {wanted} -> {wanted}\n"}
    nobody = "database 0: warning: no controller is at work, so nothing is called: start one\n"
    assert await _timer_db("check", bare_url) == (0, f"{await _greeting(bare_url)}{nobody}fit\n")


async def _greeting(url: str) -> str:
    [(version,)] = scratch.run(url, "SELECT VERSION()")
    return f"database 0: {version}, schema {schema.wanted_version()}\n"


async def test_check_names_a_database_without_tables(bare_url: str) -> None:
    code, text = await _timer_db("check", bare_url)
    assert code == 1
    assert "run 'python -m timer_db upgrade'" in text
    assert text.endswith("1 fault\n")


async def _timer_db(verb: str, url: str) -> tuple[int | None, str]:
    """`python -m timer_db`: its exit code, and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "timer_db", verb,
        env={**os.environ, "TIMER_DB_URL": url}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_down_to_nothing_and_up_again(bare: Engine, bare_url: str) -> None:
    await migrate.upgrade(bare)

    def downgrade(connection: Connection) -> None:
        config = migrate.config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()

    async with bare.connect() as connection:
        await connection.run_sync(downgrade)
    assert _tables(bare_url) == {"alembic_version"}
    with pytest.raises(SchemaMismatch, match="missing"):
        await schema.check(bare)
    await migrate.upgrade(bare)
    await schema.check(bare)


async def test_missing_tables_are_named(bare: Engine) -> None:
    with pytest.raises(SchemaMismatch, match=r"missing.*run 'python -m timer_db upgrade'") as mismatch:
        await schema.check(bare)
    assert (mismatch.value.found, mismatch.value.wanted) == (None, schema.wanted_version())


async def test_tables_of_an_older_version_are_named(bare: Engine, bare_url: str) -> None:
    await migrate.upgrade(bare)
    scratch.run(bare_url, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaMismatch, match="0000") as mismatch:
        await schema.check(bare)
    assert mismatch.value.found == "0000"


async def test_tables_of_a_newer_version_will_do(
    bare: Engine, bare_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While services are replaced one by one, those of the version before start again too."""
    await migrate.upgrade(bare)
    scratch.run(bare_url, "UPDATE alembic_version SET version_num = '9999'")
    assert await schema.check(bare) == "9999"
    assert "the database's schema is 9999, and this version's is" in caplog.text
    assert await migrate.upgrade(bare) == ("9999", "9999")


async def test_an_absent_server_is_no_mismatch() -> None:
    engine = open_engine(parse_url("mysql://timer:x@127.0.0.1:1/timer"), Pool(size=1))
    with pytest.raises(DatabaseUnavailable):
        await schema.check(engine)
    await engine.dispose()
