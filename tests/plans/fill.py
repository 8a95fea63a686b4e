"""A realistically filled database: timers that wait, that were delivered, and that ended otherwise.

Written with SQL that counts by itself, since going by way of the data layer would take minutes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from tests.db import scratch
from timer_db.domain.marks import of_key, of_label
from timer_db.domain.queue_entry import PRIORITY_MAX
from timer_db.operations.partitions import name_of
from timer_db.statements.partitions import split
from timer_db.statements.queue import put_heads

WAITING = 20_000
ENDED = 24_000
"""One in eight of them failed."""
KEYS = 10_000
NOON_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
PARTITIONS = 10
PRIORITIES = (0, 5, 9)
RARE = of_key("rare")
RARE_EVERY = 100

_DIGITS = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5"
_DIGITS += " UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
_NUMBERS = (
    f"(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n"
    f" FROM {_DIGITS} a, {_DIGITS} b, {_DIGITS} c, {_DIGITS} e, {_DIGITS} f)"
)
_ID = "UNHEX(CONCAT(LPAD(HEX(1800000000000 + n), 12, '0'), '7000', '8', LPAD(HEX(n * 7919), 15, '0')))"
"""As our ids are: the time, the version, the shard, noise."""


def timer_id(number: int) -> bytes:
    """The id of timer number n."""
    return bytes.fromhex(f"{1_800_000_000_000 + number:012x}70008{number * 7919:015x}")


def fill(url: str) -> None:
    """Everything, then ANALYZE, so that planners know what is there."""
    total = WAITING + ENDED
    first = datetime.fromtimestamp(NOON_US / 1e6, UTC).date()
    days = [first + timedelta(days=n) for n in range(PARTITIONS)]
    scratch.run(
        url,
        split([(name_of(day), _end_us(day)) for day in days]),
        "INSERT INTO timers (id, priority, due_at_us, next_at_us, created_at_us, url, append_id, method, headers,"
        " body_is_json, meta, labels, timeout_ms, on_unknown)"
        f" SELECT {_ID}, ELT(1 + n % 3, 0, 5, 9), {NOON_US} + n * 1000, {NOON_US} + n * 1000, {NOON_US},"
        """ CONCAT('https://example.com/hook/', n), 1, 'POST', '{"X-Shop":"berlin"}', 1,"""
        """ CONCAT('{"order":', n, '}'), '{"env":"prod"}', 10000, 'resend'"""
        f" FROM {_NUMBERS} numbers WHERE n < {total}",
        "INSERT INTO due_queue (priority_rank, due_key)"
        " SELECT 32767 - priority, CONCAT(UNHEX(LPAD(HEX(next_at_us), 16, '0')), id) FROM timers"
        f" ORDER BY id LIMIT {WAITING}",
        put_heads(PRIORITY_MAX - priority for priority in PRIORITIES),
        _attempts(),
        "INSERT INTO endings (state, timer_id, ended_at_us)"
        " SELECT state, timer_id, finished_at_us FROM attempts WHERE state = 'failed'",
        "INSERT INTO controllers (id, host, pid, version, joined_at_us, beat_at_us, gone_at_us, gone_because)"
        f" SELECT n + 1, 'host', n, 'v', {NOON_US}, {NOON_US}, IF(n < 20, NULL, {NOON_US}),"
        " IF(n < 20, NULL, 'left')"
        f" FROM {_NUMBERS} numbers WHERE n < 2000",
        "INSERT INTO claim_batches (controller_id, number, claimed_at_us, entries)"
        f" SELECT c.id, n, {NOON_US}, REPEAT('x', 2600) FROM controllers c, {_NUMBERS} numbers"
        " WHERE n < 5 AND c.gone_at_us IS NULL",
        "INSERT INTO timer_names (collection_id, name, timer_id, content_sha256)"
        f" SELECT 1, CONCAT('name-', n), {_ID}, REPEAT('x', 32) FROM {_NUMBERS} numbers WHERE n < 5000",
        "INSERT INTO idempotency_keys (key_sha256, content_sha256, created_at_us)"
        f" SELECT UNHEX(SHA2(n, 256)), REPEAT('x', 32), {NOON_US} + n FROM {_NUMBERS} numbers WHERE n < {KEYS}",
        # Each timer has the label, as it says, and every hundredth some other mark.
        f"INSERT INTO label_index SELECT CONCAT(x'{of_label('env', 'prod').hex()}', id) FROM timers ORDER BY id",
        f"INSERT INTO label_index SELECT CONCAT(x'{RARE.hex()}', {_ID}) FROM {_NUMBERS} numbers"
        f" WHERE n % {RARE_EVERY} = 0 AND n < {total}",
        "ANALYZE TABLE timers, due_queue, attempts, endings, controllers, claim_batches, timer_names, label_index,"
        " idempotency_keys",
    )


def _attempts() -> str:
    per_day = ENDED // PARTITIONS
    finished = f"{NOON_US} + ((n - {WAITING}) DIV {per_day}) * 86400000000"
    return (
        "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, outcome,"
        " state, http_status, latency_us, reason, answer)"
        f" SELECT {_ID}, 1, {finished}, 1, n DIV 900, {finished} - 5000,"
        " IF(n % 8 = 7, 'rejected', 'delivered'), IF(n % 8 = 7, 'failed', 'delivered'), 200, 5000,"
        f" '200 OK', 'ok' FROM {_NUMBERS} numbers WHERE n >= {WAITING} AND n < {WAITING + ENDED}"
    )


def _end_us(day: date) -> int:
    return ((day - date(1970, 1, 1)).days + 1) * 86_400_000_000
