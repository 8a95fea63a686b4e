"""`python -m timer_db upgrade | check | embedded | engines`: look after the database."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from timer_db import schema
from timer_db.configuration import log_to_stderr, read_or_exit
from timer_db.domain.errors import DatabaseError, DatabaseUnavailable
from timer_db.embedded import EngineKind
from timer_db.embedded.cli import install_engines, run_embedded
from timer_db.engine import open_shards
from timer_db.operations import doctor
from timer_db.operations.watch import ConnectRetry, reach
from timer_db.settings import DatabaseSettings
from timer_db.shards import Shards


def main() -> int:
    """The exit code: 0 well, 1 not well, 2 wrong settings or arguments."""
    options = _parser().parse_args()
    log_to_stderr("INFO")
    if options.verb == "embedded":
        return run_embedded(options.data_dir, options.engine, options.port)
    if options.verb == "engines":
        return install_engines(options.kinds)
    settings = read_or_exit(DatabaseSettings)
    return asyncio.run(_with_database(options.verb, settings))


async def _with_database(verb: str, settings: DatabaseSettings) -> int:
    shards = open_shards(settings.db_urls)
    retry = ConnectRetry(
        settings.db_connect_attempts,
        settings.db_connect_wait_seconds,
        settings.db_connect_wait_max_seconds,
    )
    try:
        return await (_upgrade(shards, retry) if verb == "upgrade" else _check(shards))
    except DatabaseError as error:
        _say(f"fault: {error}")
        return 1
    finally:
        await shards.close()


async def _upgrade(shards: Shards, retry: ConnectRetry) -> int:
    await reach(shards, retry)
    for shard in shards:
        before, after = await schema.upgrade(shard.engine)
        _say(f"database {shard.number}: schema {before or 'empty'} -> {after}")
    return 0


async def _check(shards: Shards) -> int:
    faults = 0
    for shard in shards:
        try:
            report = await doctor.examine(shard.engine)
        except DatabaseUnavailable as error:
            _say(f"database {shard.number}: fault: {error}")
            faults += 1
            continue
        _say(f"database {shard.number}: {report.version}, schema {report.schema_version}")
        for fault in report.faults:
            _say(f"database {shard.number}: fault: {fault}")
        faults += len(report.faults)
    _say("fit" if not faults else f"{faults} fault{'s' if faults > 1 else ''}")
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m timer_db", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("upgrade", help="bring the tables of TIMER_DB_URL to this version")
    verbs.add_parser("check", help="tell whether TIMER_DB_URL can keep the promises")
    embedded = verbs.add_parser("embedded", help="run a private database server in the foreground")
    embedded.add_argument("--data-dir", type=Path, default=Path(".data/db"))
    embedded.add_argument("--engine", type=EngineKind, choices=list(EngineKind))
    embedded.add_argument("--port", type=int)
    engines = verbs.add_parser("engines", help="make sure that these servers are at hand")
    engines.add_argument("kinds", nargs="+", type=EngineKind, choices=list(EngineKind))
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
