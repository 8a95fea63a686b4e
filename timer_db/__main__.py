"""`python -m timer_db upgrade | check | recount | restored | encryption | keys | embedded | engines`: look after
the database."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from timer_db import key_commands, migrate
from timer_db.configuration import read_or_exit
from timer_db.domain.errors import DatabaseError, DatabaseUnavailable
from timer_db.domain.states import TimerState
from timer_db.embedded import EngineKind
from timer_db.embedded.cli import install_engines, run_embedded
from timer_db.engine import open_shards
from timer_db.logs import log_to_stderr
from timer_db.operations import doctor, restored
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.encryption import count_by_key, count_route_keys, count_schedule_keys
from timer_db.operations.recount import recount
from timer_db.operations.watch import ConnectRetry, reach
from timer_db.settings import DatabaseSettings
from timer_db.shards import Shard, Shards

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> int:
    """The exit code: 0 well, 1 not well, 2 wrong settings or arguments."""
    options = _parser().parse_args()
    if options.verb in ("embedded", "engines"):
        log_to_stderr("INFO", "timer_db")
        if options.verb == "embedded":
            return run_embedded(options.data_dir, options.engine, options.port)
        return install_engines(options.kinds)
    settings = read_or_exit(DatabaseSettings)
    log_to_stderr("INFO", "timer_db", settings.log_format)
    return asyncio.run(_with_database(options, settings))


async def _with_database(options: argparse.Namespace, settings: DatabaseSettings) -> int:
    shards = open_shards(settings.db_urls, keyring=settings.keyring)
    retry = ConnectRetry(
        settings.db_connect_attempts,
        settings.db_connect_wait_seconds,
        settings.db_connect_wait_max_seconds,
    )
    try:
        if options.verb == "upgrade":
            return await _upgrade(shards, retry)
        if options.verb == "recount":
            return await _recount(shards)
        if options.verb == "restored":
            return await _restored(shards, options.until, hold=options.hold)
        if options.verb == "encryption":
            return await _encryption(shards)
        if options.verb == "keys":
            return await key_commands.run(options, shards)
        return await _check(shards)
    except DatabaseError as error:
        _say(f"fault: {error}")
        return 1
    finally:
        await shards.close()


async def _upgrade(shards: Shards, retry: ConnectRetry) -> int:
    await reach(shards, retry)
    for shard in shards:
        before, after = await migrate.upgrade(shard.engine)
        _say(f"database {shard.number}: schema {before or 'empty'} -> {after}")
    return 0


async def _recount(shards: Shards) -> int:
    for shard in shards:
        wrong = await recount(shard.engine)
        for counted, more in wrong.items():
            group = f"collection {counted.collection_id}, route {counted.route_id}, {counted.state}"
            _say(f"database {shard.number}: {group}: corrected by {more:+}")
        if not wrong:
            _say(f"database {shard.number}: every count is right")
    return 0


async def _check(shards: Shards) -> int:
    faults = 0
    for shard in shards:
        try:
            report = await doctor.examine(shard)
        except DatabaseUnavailable as error:
            _say(f"database {shard.number}: fault: {error}")
            faults += 1
            continue
        _say(f"database {shard.number}: {report.version}, schema {report.schema_version}")
        for fault in report.faults:
            _say(f"database {shard.number}: fault: {fault}")
        for warning in report.warnings:
            _say(f"database {shard.number}: warning: {warning}")
        faults += len(report.faults)
    _say("fit" if not faults else f"{faults} fault{'s' if faults > 1 else ''}")
    return 1 if faults else 0


async def _restored(shards: Shards, until: datetime | None, *, hold: bool) -> int:
    until_us = None if until is None else (until - _EPOCH) // timedelta(microseconds=1)
    host, pid = socket.gethostname(), os.getpid()
    directory = DirectoryKeeper(shards)
    await directory.refresh()
    for shard in shards:
        report = await restored.put_in_order(
            shard, directory.current, host=host, pid=pid, until_us=until_us, hold=hold
        )
        moment = (_EPOCH + timedelta(microseconds=report.until_us)).isoformat()
        became = report.doubtful
        _say(
            f"database {shard.number}: {became.total()} timers may have been called since the backup,"
            f" until {moment}: {became[TimerState.scheduled]} are called again and say so,"
            f" {became[TimerState.unknown]} are held as unknown, {became[TimerState.failed]} failed"
        )
        if report.runs:
            _say(f"database {shard.number}: {report.runs} of them are runs of schedules, made now")
        for name, reason in sorted(report.faults.items()):
            _say(f"database {shard.number}: warning: no run of schedule {name} was made: {reason}")
        _say(
            f"database {shard.number}: {report.unsent} claims stand in the queue again,"
            f" {report.memberships} memberships of controllers ended, the next has number {report.next_controller}"
        )
    return 0


async def _encryption(shards: Shards) -> int:
    """1 when a key that is in use is not among the settings."""
    used: set[str | None] = set()
    for shard in shards:
        counts = await count_by_key(shard.engine)
        bare, plain = counts.pop(None, 0), counts.pop("", 0)
        used |= counts.keys()
        for key_id, count in sorted(counts.items(), key=str):
            known = _known(key_id, shard)
            _say(f"database {shard.number}: {count} timers encrypted with the key {key_id}{known}")
        _say(f"database {shard.number}: {plain} timers not encrypted, {bare} without headers, body and meta")
    for what, counting in (("routes", count_route_keys), ("schedules", count_schedule_keys)):
        for key_id, count in sorted((await counting(shards.home.engine)).items()):
            used.add(key_id)
            _say(f"{count} {what} encrypted with the key {key_id}{_known(key_id, shards.home)}")
    return 0 if all(key_id in shards.home.keyring for key_id in used) else 1


def _known(key_id: str | None, shard: Shard) -> str:
    return "" if key_id in shard.keyring else ", which is not in TIMER_ENCRYPTION_KEYS"


def _moment(text: str) -> datetime:
    """A time with its offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m timer_db", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("upgrade", help="bring the tables of TIMER_DB_URL to this version")
    verbs.add_parser("check", help="tell whether TIMER_DB_URL can keep the promises")
    verbs.add_parser("recount", help="put the counts of timers right, after an upgrade during which old code ran")
    after = verbs.add_parser("restored", help="put TIMER_DB_URL in order after it was restored to an older state")
    after.add_argument(
        "--until",
        type=_moment,
        metavar="TIME",
        help="when the last controller of the lost database stopped, as 2026-11-20T16:00:00Z; default: now",
    )
    after.add_argument("--hold", action="store_true", help="call nothing again: end as unknown instead")
    verbs.add_parser("encryption", help="count the timers of TIMER_DB_URL by the key that encrypts them")
    key_commands.add_to(verbs)
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
