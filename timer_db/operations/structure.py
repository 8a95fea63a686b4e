"""Do the tables have all that the statements rely on? Without an index, a claim may read a whole table."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.models import metadata
from timer_db.statements import structure as statements
from timer_db.transactions import Connection


async def check(engine: AsyncEngine) -> list[str]:
    """What is missing of this version's tables, columns, primary keys and indexes, each with what to do. More than
    that is no fault."""
    return await transactions.run(engine, _missing)


async def _missing(connection: Connection) -> list[str]:
    columns: dict[str, set[str]] = defaultdict(set)
    for table, column in await connection.rows(statements.COLUMNS):
        columns[table].add(column)
    indexes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for table, index, column in await connection.rows(statements.INDEX_COLUMNS):
        indexes[table][index].append(column)
    faults = []
    for table in metadata.sorted_tables:
        if table.name not in columns:
            faults.append(f"the table {table.name} is missing: restore it from a backup")
            continue
        lost = [column.name for column in table.columns if column.name not in columns[table.name]]
        faults += [f"the column {table.name}.{name} is missing: restore the table from a backup" for name in lost]
        faults += _missing_keys(table, list(indexes[table.name].values()))
    return faults


def _missing_keys(table: Table, present: list[list[str]]) -> list[str]:
    primary = [column.name for column in table.primary_key.columns]
    faults = []
    if primary and primary not in present:
        faults.append(f"{table.name} has no primary key ({', '.join(primary)}): restore the table from a backup")
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        wanted = [column.name for column in index.columns]
        if wanted not in present:
            kind = "UNIQUE INDEX" if index.unique else "INDEX"
            faults.append(
                f"{table.name} has no index ({', '.join(wanted)}): statements read the whole table instead."
                f" CREATE {kind} {index.name} ON {table.name} ({', '.join(wanted)})"
            )
    return faults
