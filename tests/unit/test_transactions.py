"""Which errors mean that the database is away, and which that a transaction gave way to another."""

from __future__ import annotations

import pymysql.err
import pytest
from pymysql.constants import CR, ER
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from timer_db.domain.errors import DatabaseUnavailable
from timer_db.transactions import _named, code_of, is_deadlock


def _wrapped(code: int, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    return kind("SELECT 1", None, pymysql.err.OperationalError(code, "says the server"))


@pytest.mark.parametrize(
    "code",
    [
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        ER.SERVER_SHUTDOWN,
        ER.CON_COUNT_ERROR,
        ER.OPTION_PREVENTS_STATEMENT,
        ER.DISK_FULL,
        ER.RECORD_FILE_FULL,
        ER.QUERY_INTERRUPTED,
        1927,
        3100,
        4031,
    ],
)
def test_codes_of_an_absent_server(code: int) -> None:
    error = _wrapped(code)
    named = _named(error)
    assert isinstance(named, DatabaseUnavailable)
    assert "says the server" in str(named)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
        PoolTimeout("QueuePool limit"),
        InterfaceError("SELECT 1", None, pymysql.err.InterfaceError(0, "")),
        OperationalError("COMMIT", None, pymysql.err.OperationalError(9999, "?"), connection_invalidated=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_kinds_of_an_absent_server(error: Exception) -> None:
    named = _named(error)
    assert isinstance(named, DatabaseUnavailable)
    assert str(named)


@pytest.mark.parametrize(
    "error",
    [
        _wrapped(ER.DUP_ENTRY, IntegrityError),
        _wrapped(ER.NO_SUCH_TABLE, ProgrammingError),
        _wrapped(ER.LOCK_DEADLOCK),
        _wrapped(ER.DATA_TOO_LONG, DBAPIError),
        _wrapped(ER.ACCESS_DENIED_ERROR),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_ours_keeps_its_name(error: Exception) -> None:
    assert _named(error) is error


def test_what_gave_way_is_tried_again() -> None:
    assert is_deadlock(_wrapped(ER.LOCK_DEADLOCK))
    assert is_deadlock(_wrapped(ER.LOCK_WAIT_TIMEOUT))
    assert not is_deadlock(_wrapped(CR.CR_SERVER_LOST))
    assert not is_deadlock(_wrapped(ER.DUP_ENTRY, IntegrityError))
    assert not is_deadlock(ValueError("1213"))


def test_the_code_of_an_error() -> None:
    assert code_of(_wrapped(1213)) == 1213
    assert code_of(OperationalError("SELECT 1", None, pymysql.err.OperationalError())) is None
    assert code_of(OperationalError("SELECT 1", None, pymysql.err.OperationalError("text"))) is None
