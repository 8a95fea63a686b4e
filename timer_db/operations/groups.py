"""What operations on collections and routes have in common."""

from __future__ import annotations

from typing import TypeVar

from pymysql.constants import ER
from pymysql.err import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.event import EventKind
from timer_db.statements import events
from timer_db.transactions import Connection, Work

Result = TypeVar("Result")


async def put(engine: AsyncEngine, work: Work[Result]) -> Result:
    """`work` looks whether a name is taken, and takes it: once more, when somebody else did so in between."""
    try:
        return await transactions.run(engine, work)
    except IntegrityError as error:
        if transactions.code_of(error) != ER.DUP_ENTRY:
            raise
        return await transactions.run(engine, work)


async def note_event(connection: Connection, kind: EventKind, subject: str, detail: str) -> None:
    """For the list of events, should the transaction be committed."""
    await connection.write(events.add(kind, subject, detail), count=1)
