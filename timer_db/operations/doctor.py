"""Everything about a server and its tables that endangers the promises, each with what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from timer_db import schema, transactions
from timer_db.domain.errors import DatabaseUnfit, SchemaMismatch
from timer_db.operations import condition, probe, structure
from timer_db.shards import Shard
from timer_db.statements import probe as statements
from timer_db.transactions import Connection


@dataclass(frozen=True, slots=True)
class Report:
    """What was found on one server."""

    version: str
    schema_version: str
    faults: list[str]
    """What endangers the promises."""
    warnings: list[str] = field(default_factory=list)
    """What keeps timers from being called in time."""


async def examine(shard: Shard) -> Report:
    """Examine one server. Raises DatabaseUnavailable when it does not answer."""
    engine = shard.engine

    async def ask_version(connection: Connection) -> str:
        return str(await connection.value(statements.VERSION))

    version = await transactions.run(engine, ask_version)
    try:
        found = await schema.check(engine)
        # Tables of a newer version may have lost what this one knew.
        missing = await structure.check(engine) if found == schema.wanted_version() else []
        faults = missing + await probe.check(engine)
    except SchemaMismatch as error:
        return Report(version, error.found or "missing", [str(error)])
    except DatabaseUnfit as error:
        return Report(version, schema.wanted_version(), list(error.faults))
    if any("is missing" in fault for fault in missing):
        return Report(version, found, faults)
    return Report(version, found, faults, await condition.check(shard))
