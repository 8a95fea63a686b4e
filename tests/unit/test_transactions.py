"""Which errors mean that the database is away, and which that a transaction gave way to another."""

from __future__ import annotations

import pytest
from pymysql.constants import CR, ER
from pymysql.err import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    MySQLError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from timer_db.domain.errors import DatabaseUnavailable
from timer_db.transactions import code_of, is_deadlock, named


def _error(code: int, kind: type[MySQLError] = OperationalError) -> MySQLError:
    return kind(code, "says the server")


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
        ER.ERROR_ON_WRITE,
        ER.GET_ERRNO,
        ER.RECORD_FILE_FULL,
        ER.ERROR_DURING_COMMIT,
        ER.UNKNOWN_COM_ERROR,
        ER.QUERY_INTERRUPTED,
        1927,
        3100,
        4031,
    ],
)
def test_codes_of_an_absent_server(code: int) -> None:
    error = _error(code)
    better = named(error)
    assert isinstance(better, DatabaseUnavailable)
    assert "says the server" in str(better)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
        PoolTimeout("QueuePool limit"),
        InterfaceError(0, ""),
        InternalError("Packet sequence number wrong - got 2 expected 1"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_kinds_of_an_absent_server(error: Exception) -> None:
    better = named(error)
    assert isinstance(better, DatabaseUnavailable)
    assert str(better)


@pytest.mark.parametrize(
    "error",
    [
        _error(ER.DUP_ENTRY, IntegrityError),
        _error(ER.NO_SUCH_TABLE, ProgrammingError),
        _error(ER.LOCK_DEADLOCK),
        _error(ER.DATA_TOO_LONG, DataError),
        _error(ER.ACCESS_DENIED_ERROR),
        _error(ER.DUP_KEY, InternalError),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_ours_keeps_its_name(error: Exception) -> None:
    assert named(error) is error


def test_what_gave_way_is_tried_again() -> None:
    assert is_deadlock(_error(ER.LOCK_DEADLOCK))
    assert is_deadlock(_error(ER.LOCK_WAIT_TIMEOUT))
    assert not is_deadlock(_error(CR.CR_SERVER_LOST))
    assert not is_deadlock(_error(ER.DUP_ENTRY, IntegrityError))
    assert not is_deadlock(ValueError("1213"))


def test_the_code_of_an_error() -> None:
    assert code_of(_error(1213)) == 1213
    assert code_of(OperationalError()) is None
    assert code_of(OperationalError("text")) is None
