"""The state machine as the database has it: the CHECKs hold exactly the states that the enums name."""

from __future__ import annotations

import re

import pytest
from pymysql.err import MySQLError
from sqlalchemy import CheckConstraint

from tests.db.desk import NOON_US, Desk, new_timer
from timer_db.domain.states import AFTER_ATTEMPT, ENDED, TRANSITIONS, OnUnknown, Outcome, TimerState
from timer_db.models import metadata

_TABLE_OF = re.compile(r"ck_(" + "|".join(metadata.tables) + r")_")


async def _checks(desk: Desk) -> dict[str, str]:
    """Name to clause, as they stand in the database."""
    rows = await desk.rows(
        "SELECT CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = DATABASE()"
    )
    return {str(name): str(clause) for name, clause in rows}


def _words(clause: str) -> set[str]:
    """The words that it lists. MySQL shows them as _utf8mb4\\'word\\'."""
    return set(re.findall(r"'(\w+)\\?'", clause))


async def test_the_checks_list_the_states(desk: Desk) -> None:
    checks = await _checks(desk)
    assert _words(checks["ck_attempts_outcome"]) == set(Outcome)
    assert _words(checks["ck_attempts_state"]) == AFTER_ATTEMPT
    assert _words(checks["ck_timers_on_unknown"]) == set(OnUnknown)
    # Of the ends, `delivered` is found by way of the log.
    assert _words(checks["ck_endings_state"]) == ENDED - {TimerState.delivered}


async def test_what_the_checks_allow_is_what_the_transitions_reach(desk: Desk) -> None:
    checks = await _checks(desk)
    from_firing = {target for source, target in TRANSITIONS if source is TimerState.firing}
    from_scheduled = {target for source, target in TRANSITIONS if source is TimerState.scheduled}
    assert _words(checks["ck_attempts_state"]) == from_firing
    assert _words(checks["ck_endings_state"]) == (from_firing | from_scheduled) & ENDED - {TimerState.delivered}


async def test_every_check_of_the_models_is_in_the_database(desk: Desk) -> None:
    modelled = {
        f"ck_{table.name}_{constraint.name}".replace(f"ck_{table.name}_ck_{table.name}_", f"ck_{table.name}_")
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert {name for name in await _checks(desk) if _TABLE_OF.match(name)} == modelled


def _column(table: str, column: str, value: str) -> str:
    values = {
        "attempts": {
            "timer_id": "x'00112233445566778899aabbccddeeff'",
            "attempt": "1",
            "finished_at_us": "1",
            "controller_id": "1",
            "batch": "1",
            "started_at_us": "1",
            "outcome": "'delivered'",
            "state": "'delivered'",
            "reason": "''",
            "answer": "''",
        },
        "endings": {
            "state": "'failed'",
            "timer_id": "x'00112233445566778899aabbccddeeff'",
            "ended_at_us": "1",
        },
    }[table]
    values[column] = value
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


@pytest.mark.parametrize(
    ("table", "column", "allowed"),
    [
        ("attempts", "outcome", set(Outcome)),
        ("attempts", "state", AFTER_ATTEMPT),
        ("endings", "state", ENDED - {TimerState.delivered}),
    ],
)
async def test_the_database_refuses_other_states(desk: Desk, table: str, column: str, allowed: set[str]) -> None:
    """The clauses are not only there: they hold."""
    for word in {*TimerState, *Outcome, "", "Delivered", "nonsense"}:
        statement = _column(table, column, f"'{word}'")
        if word in allowed:
            assert await desk.write(statement) == 1
        else:
            with pytest.raises(MySQLError):
                await desk.write(statement)
        await desk.write(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    "change",
    [
        "on_unknown = 'other'",
        "priority = 32768",
        "due_at_us = -1",
        "next_at_us = 253402300800000000",
        "url = NULL",
        "route_id = 1",
    ],
)
async def test_the_database_refuses_what_no_timer_is(desk: Desk, change: str) -> None:
    await desk.add(new_timer())
    before = await desk.rows("SELECT * FROM timers")
    with pytest.raises(MySQLError):
        await desk.write(f"UPDATE timers SET {change}")
    assert await desk.rows("SELECT * FROM timers") == before


@pytest.mark.parametrize(
    "change",
    [f"gone_at_us = {NOON_US}", "gone_because = 'left'", f"gone_at_us = {NOON_US}, gone_because = 'bored'"],
)
async def test_a_membership_ends_in_one_of_two_ways(desk: Desk, change: str) -> None:
    await desk.join()
    with pytest.raises(MySQLError):
        await desk.write(f"UPDATE controllers SET {change}")
