"""Labelled timers by the million, for the workloads that list and select."""

from __future__ import annotations

import time
from collections.abc import Iterable

from benchmarks.database import connect
from benchmarks.ground import Ground
from benchmarks.loading import Load, template
from timer_db.domain import marks

ENVIRONMENTS = ("prod", "test")
TIERS = 10
ORDERS_PER_CUSTOMER = 100
CANARY_EVERY = 100
_STEP_US = 1000
_NUMBER = "CAST(CONV(HEX(SUBSTR(id, 13)), 16, 10) AS UNSIGNED)"
# By the timer's number.
_ENV = "ELT(1 + {number} % 2, 'prod', 'test')"
_TIER = f"({{number}} DIV 2) % {TIERS}"
_CUSTOMER = f"{{number}} DIV {ORDERS_PER_CUSTOMER}"
_CANARY = f"{{number}} % {CANARY_EVERY} = 0"
_LABELS = (
    f"""CONCAT('{{{{"env":"', {_ENV}, '","tier":"', {_TIER}, '","customer":"', {_CUSTOMER}, '"',"""
    f""" IF({_CANARY}, ',"canary":"yes"', ''), '}}}}')"""
)


def load_labelled(ground: Ground, count: int, lead_seconds: float) -> Load:
    """So many scheduled timers, a millisecond apart, the first due so many seconds from now. Half of them have
    `env=prod`, a tenth each `tier`, a hundred each `customer`, and every hundredth is a `canary`."""
    first_due_us = round((time.time() + lead_seconds) * 1e6)
    url = ground.sink.url(ground.tag("labelled"))
    done = ground.load(template(url), count, first_due_us, _STEP_US, {"labels": _LABELS})
    _mark(ground.server.url, count, done)
    return done


def _mark(server_url: str, count: int, load: Load) -> None:
    """Entries of `label_index`, mark by mark, as they stand there."""
    connection = connect(server_url)
    connection.autocommit(False)
    between = f"id BETWEEN x'{load.first_id.hex()}' AND x'{load.last_id.hex()}'"
    number = {"number": _NUMBER}
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE customers (customer INT UNSIGNED PRIMARY KEY, mark BINARY(8) NOT NULL)"
        )
        customers = range(1 + count // ORDERS_PER_CUSTOMER)
        for first in range(0, len(customers), 5000):
            rows = [
                f"({n},x'{marks.of_label('customer', str(n)).hex()}')" for n in customers[first : first + 5000]
            ]
            cursor.execute(f"INSERT INTO customers VALUES {','.join(rows)}")
        for mark, condition in sorted(_by_mark()):
            cursor.execute(
                f"INSERT INTO label_index SELECT CONCAT(x'{mark.hex()}', id) FROM timers"
                f" WHERE {between} AND {condition.format(**number)} ORDER BY id"
            )
            connection.commit()
        cursor.execute(
            "INSERT INTO label_index SELECT CONCAT(c.mark, t.id) FROM timers t JOIN customers c"
            f" ON c.customer = {_CUSTOMER.format(**number)} WHERE {between} ORDER BY c.mark, t.id"
        )
        connection.commit()
        cursor.execute("ANALYZE TABLE label_index, timers, due_queue")


def _by_mark() -> Iterable[tuple[bytes, str]]:
    for key in ("env", "tier", "customer"):
        yield marks.of_key(key), "TRUE"
    yield marks.of_key("canary"), _CANARY
    yield marks.of_label("canary", "yes"), _CANARY
    for env in ENVIRONMENTS:
        yield marks.of_label("env", env), f"{_ENV} = '{env}'"
    for tier in range(TIERS):
        yield marks.of_label("tier", str(tier)), f"{_TIER} = {tier}"
