"""The tables. `docs/architecture.md` tells why they are cut this way; decision 1 has the measurements.

Times are microseconds since the epoch, UTC, by the database's clock. Ids are 16 bytes, in UUID order.
A timer's state is where its rows are; `docs/state_machine.md` shows it:

    a row in `attempts` for attempt number `attempts_made + 1`   ended, in that row's state
    `cancelled_at_us` is set                                     cancelled
    a row in `due_queue` or `deferred_queue`                     scheduled
    none of these                                                firing: a batch in `claim_batches` holds it
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    text,
)
from sqlalchemy.dialects.mysql import (
    BIGINT,
    BINARY,
    BLOB,
    INTEGER,
    MEDIUMBLOB,
    MEDIUMTEXT,
    SMALLINT,
    TINYINT,
    VARBINARY,
    VARCHAR,
)

from timer_db.domain.queue_entry import HEAD_KEY
from timer_db.domain.states import AFTER_ATTEMPT, OnUnknown, Outcome, TimerState

PRIORITY_MAX = 32_767
FOREVER_US = 253_402_300_799_999_999
"""The end of the year 9999, the last moment that a timer can be due."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_INNODB: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _word(name: str, *, nullable: bool = False) -> Column[str]:
    """A value of one of our enums, readable for people."""
    return Column(name, VARCHAR(16, charset="ascii", collation="ascii_bin"), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _id(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[bytes]:
    return Column(name, BINARY(16), primary_key=primary_key, nullable=nullable)


timers = Table(
    "timers",
    metadata,
    _id("id", primary_key=True),
    Column("collection_id", INTEGER(unsigned=True), nullable=False, server_default=text("1")),
    Column("route_id", INTEGER(unsigned=True)),
    Column("name", String(200)),
    Column("priority", SMALLINT(unsigned=True), nullable=False),
    _time("due_at_us"),
    _time("next_at_us"),  # when it may be called: its place in due_queue
    _time("created_at_us"),
    _time("cancelled_at_us", nullable=True),
    Column("attempts_made", SMALLINT(unsigned=True), nullable=False, server_default=text("0")),
    Column("possible_duplicate", TINYINT(1), nullable=False, server_default=text("0")),
    Column("url", String(2083)),  # null when a route names it
    Column("append_id", TINYINT(1), nullable=False),
    Column("method", VARCHAR(32, charset="ascii", collation="ascii_bin"), nullable=False),
    Column("headers", MEDIUMTEXT),  # JSON object; null when there are none
    Column("body", MEDIUMBLOB),  # null: the call carries the timer's own representation
    Column("body_is_json", TINYINT(1), nullable=False),
    Column("meta", MEDIUMTEXT),  # JSON; null when there is none
    Column("labels", MEDIUMTEXT),  # JSON object; null when there are none
    Column("retry", VARCHAR(500, charset="ascii", collation="ascii_bin")),  # JSON; null: the default policy
    Column("timeout_ms", INTEGER(unsigned=True), nullable=False),
    _word("on_unknown"),
    Column("on_failure_url", String(2083)),
    # The id of the key with which body, headers and meta are sealed, as one value in `body`; null: they are not.
    Column("sealed_with", VARCHAR(32, charset="ascii", collation="ascii_bin")),
    Column("schedule_id", INTEGER(unsigned=True)),
    # Attempts before it was replayed last: its retry policy counts those that came after.
    Column("attempts_before", SMALLINT(unsigned=True), nullable=False, server_default=text("0")),
    # Where its create belongs in its client's trace (W3C); null: nowhere.
    Column("traceparent", VARCHAR(55, charset="ascii", collation="ascii_bin")),
    CheckConstraint(f"priority <= {PRIORITY_MAX}", name="priority"),
    CheckConstraint(f"due_at_us BETWEEN 0 AND {FOREVER_US}", name="due_at_us"),
    CheckConstraint(f"next_at_us BETWEEN 0 AND {FOREVER_US}", name="next_at_us"),
    CheckConstraint("(url IS NULL) <> (route_id IS NULL)", name="url_or_route"),
    _one_of("on_unknown", OnUnknown),
    **_INNODB,
)

# Nothing but its key, which is its order: highest priority first (rank = 32,767 - priority), then the time, then
# the id. `due_key` is the time (8 bytes, big-endian) and the id, so that one IN list over one column names rows.
due_queue = Table(
    "due_queue",
    metadata,
    Column("priority_rank", SMALLINT(unsigned=True), primary_key=True, autoincrement=False),
    Column("due_key", BINARY(24), primary_key=True),
    # Stored nowhere; `statements.queue` tells what it is for.
    Column("is_head", TINYINT(1), Computed(f"due_key = 0x{HEAD_KEY.hex()}", persisted=False)),
    **_INNODB,
)

# Due timers of a destination that is slow, full or down wait here, so that they neither fill a controller's hands
# nor stand in the way of others. `destination` is `domain.destination.key_of`; the rest is the row of `due_queue`.
deferred_queue = Table(
    "deferred_queue",
    metadata,
    Column("destination", BINARY(16), primary_key=True),
    Column("priority_rank", SMALLINT(unsigned=True), primary_key=True, autoincrement=False),
    Column("due_key", BINARY(24), primary_key=True),
    Index(None, "priority_rank", "due_key"),
    **_INNODB,
)

# One row per batch in a controller's hands: `entries` holds, for each timer, rank (2 bytes) and due_key (24), in
# the order in which they will be sent. One is done when `attempts` has a row of its timer, controller and batch.
claim_batches = Table(
    "claim_batches",
    metadata,
    Column("controller_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False),
    Column("number", INTEGER(unsigned=True), primary_key=True, autoincrement=False),
    _time("claimed_at_us"),
    Column("entries", MEDIUMBLOB, nullable=False),
    # So many of the last entries were surely not sent; the others may have been.
    Column("unsent", INTEGER(unsigned=True), nullable=False, server_default=text("0")),
    **_INNODB,
)

# Append-only, one partition per day of `finished_at_us`; MySQL wants that column in the key then.
attempts = Table(
    "attempts",
    metadata,
    _id("timer_id", primary_key=True),
    Column("attempt", SMALLINT(unsigned=True), primary_key=True, autoincrement=False),
    Column("finished_at_us", BigInteger, primary_key=True, autoincrement=False),
    Column("controller_id", INTEGER(unsigned=True), nullable=False),
    Column("batch", INTEGER(unsigned=True), nullable=False),
    _time("started_at_us"),
    _word("outcome"),
    _word("state"),
    Column("http_status", SmallInteger),
    Column("latency_us", BIGINT(unsigned=True)),
    Column("reason", String(255), nullable=False),
    Column("answer", VARBINARY(1024), nullable=False),
    CheckConstraint("attempt >= 1", name="attempt"),
    _one_of("outcome", Outcome),
    _one_of("state", AFTER_ATTEMPT),
    **_INNODB,
)

# Timers that ended otherwise than delivered, so that those few are found among millions without a scan.
endings = Table(
    "endings",
    metadata,
    Column("state", VARCHAR(16, charset="ascii", collation="ascii_bin"), primary_key=True),
    _id("timer_id", primary_key=True),
    _time("ended_at_us"),
    _one_of("state", {TimerState.failed, TimerState.unknown, TimerState.cancelled}),
    Index(None, "ended_at_us"),
    **_INNODB,
)

# One row per membership: a controller that lost its place joins again under a new id, so the id is the
# fencing token ("epoch"). Live while `gone_at_us` is null.
controllers = Table(
    "controllers",
    metadata,
    Column("id", INTEGER(unsigned=True), primary_key=True, autoincrement=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(32), nullable=False),
    _time("joined_at_us"),
    _time("beat_at_us"),
    _time("gone_at_us", nullable=True),
    Column("gone_because", VARCHAR(16, charset="ascii", collation="ascii_bin")),
    # It keeps to its share of all limits among the members of this time; null: it knows of no limits.
    _time("settled_at_us", nullable=True),
    CheckConstraint("(gone_at_us IS NULL) = (gone_because IS NULL)", name="gone"),
    CheckConstraint("gone_because IN ('fenced', 'left')", name="gone_because"),
    Index(None, "gone_at_us"),
    **_INNODB,
)

# A name belongs to the timer that took it while that timer lives; later creates take it over.
timer_names = Table(
    "timer_names",
    metadata,
    Column("collection_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False),
    Column("name", String(200), primary_key=True),
    _id("timer_id"),
    Column("content_sha256", BINARY(32), nullable=False),
    **_INNODB,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_sha256", BINARY(32), primary_key=True),
    Column("content_sha256", BINARY(32), nullable=False),
    _id("timer_id", nullable=True),  # nothing uses it
    Column("answer", MEDIUMBLOB),  # what was answered; null until then
    _time("created_at_us"),
    Index(None, "created_at_us"),
    **_INNODB,
)

# Collections, routes and schedules are on the first server only. Deleted ones stay, under another name, as long as
# timers may name their numbers.
collections = Table(
    "collections",
    metadata,
    Column("id", INTEGER(unsigned=True), primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("is_paused", TINYINT(1), nullable=False, server_default=text("0")),
    Column("defaults", MEDIUMTEXT),  # JSON: retry, timeout_seconds, priority, on_unknown
    _time("created_at_us"),
    Column("retention_days", SMALLINT(unsigned=True)),
    Column("waiting_max", BigInteger),
    Column("egress_allow", MEDIUMTEXT),  # JSON list of ranges
    Column("changed_at_us", BigInteger, nullable=False, server_default=text("0")),
    _time("deleted_at_us", nullable=True),
    Index("uq_collections_name", "name", unique=True),
    **_INNODB,
)

routes = Table(
    "routes",
    metadata,
    Column("id", INTEGER(unsigned=True), primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("url", String(2083), nullable=False),
    Column("method", VARCHAR(32, charset="ascii", collation="ascii_bin"), nullable=False),
    Column("headers", MEDIUMTEXT),
    Column("settings", MEDIUMTEXT),  # JSON: secrets, limits, retry policy
    Column("is_disabled", TINYINT(1), nullable=False, server_default=text("0")),  # nothing uses it
    _time("created_at_us"),
    Column("is_paused", TINYINT(1), nullable=False, server_default=text("0")),
    Column("secrets", BLOB),  # JSON, sealed when `sealed_with` names a key
    Column("sealed_with", VARCHAR(32, charset="ascii", collation="ascii_bin")),
    _time("disabled_at_us", nullable=True),
    Column("disabled_because", String(255)),
    Column("changed_at_us", BigInteger, nullable=False, server_default=text("0")),
    _time("deleted_at_us", nullable=True),
    _time("succeeded_at_us", nullable=True),  # when a call of it succeeded; noted now and then
    Index("uq_routes_name", "name", unique=True),
    **_INNODB,
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", INTEGER(unsigned=True), primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("settings", MEDIUMTEXT, nullable=False),  # JSON: when, and what its timers are like
    Column("is_paused", TINYINT(1), nullable=False, server_default=text("0")),
    _time("next_run_at_us", nullable=True),
    _time("last_run_at_us", nullable=True),
    _id("last_timer_id", nullable=True),
    _time("created_at_us"),
    _time("changed_at_us"),
    _time("deleted_at_us", nullable=True),
    Index("uq_schedules_name", "name", unique=True),
    Index(None, "next_run_at_us"),
    **_INNODB,
)

# Which timers have a label, or belong to a group: 8 bytes of `domain.marks`, then the timer's id. One column, so
# that one IN list names rows.
label_index = Table("label_index", metadata, Column("entry", BINARY(24), primary_key=True), **_INNODB)

# How many timers there are (`made`), and how many of them are in each state in which they ended. A count is the
# sum of its slots: each connection has its own, so that no transaction waits for another one's.
timer_counts = Table(
    "timer_counts",
    metadata,
    Column("collection_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False),
    Column("route_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False),  # 0: none
    Column("schedule_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False, server_default=text("0")),
    Column("state", VARCHAR(16, charset="ascii", collation="ascii_bin"), primary_key=True),
    Column("slot", SMALLINT(unsigned=True), primary_key=True, autoincrement=False),
    Column("timers", BigInteger, nullable=False),
    Index(None, "route_id"),
    Index(None, "schedule_id"),
    **_INNODB,
)

# How far the deletion of ended timers has come, for collections with a retention of their own and, as 0, for all
# others: what ended before that is gone. Only while there are collections of that kind.
retention_progress = Table(
    "retention_progress",
    metadata,
    Column("collection_id", INTEGER(unsigned=True), primary_key=True, autoincrement=False),
    _time("until_us"),
    **_INNODB,
)

# What operators should know of: a route that was disabled, for one.
events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    _time("at_us"),
    Column("kind", VARCHAR(64, charset="ascii", collation="ascii_bin"), nullable=False),
    Column("subject", String(220), nullable=False),
    Column("detail", String(1000), nullable=False),
    **_INNODB,
)

# On the first server only. Rows are revoked, never deleted: once a key was made, calls without one are refused.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", VARCHAR(8, charset="ascii", collation="ascii_bin"), primary_key=True),
    Column("key_sha256", BINARY(32), nullable=False),
    Column("name", String(200), nullable=False),
    Column("scopes", VARCHAR(100, charset="ascii", collation="ascii_bin"), nullable=False),  # with commas
    Column("collections", MEDIUMTEXT),  # JSON list of names; null: every collection
    Column("rate_per_second", INTEGER(unsigned=True)),  # null: no limit
    Column("burst", INTEGER(unsigned=True)),
    _time("created_at_us"),
    _time("last_used_at_us", nullable=True),
    _time("revoked_at_us", nullable=True),
    CheckConstraint("(rate_per_second IS NULL) = (burst IS NULL)", name="rate"),
    **_INNODB,
)

# The start-up probe locks rows here from two connections; it puts them in and takes them out itself.
lock_probes = Table(
    "lock_probes",
    metadata,
    _id("probe", primary_key=True),
    Column("number", TINYINT(unsigned=True), primary_key=True, autoincrement=False),
    **_INNODB,
)
