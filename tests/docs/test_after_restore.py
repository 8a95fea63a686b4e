"""The commands that follow a restore say what docs/operations.md shows. What they do with real backups is
seen in tests/integration."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.db.scratch import scratch_database
from tests.docs.pages import ROOT, blocks, section
from tests.docs.reader import Reader

PAGE = (ROOT / "docs/operations.md").read_text()


def _alike(text: str) -> str:
    return re.sub(r"\d+", "0", text)


async def test_they_say_what_is_shown(database_url: str) -> None:
    command, shown = (block.text for block in blocks(section(PAGE, "Restore without the log")))
    [check] = [block.text for block in blocks(section(PAGE, "The database endangers the promises"))]
    reader = Reader()
    # Controllers get other numbers afterwards, so not in the database that other tests have.
    with scratch_database(database_url) as url:
        await reader.run("python -m timer_db upgrade", TIMER_DB_URL=url)
        assert (await reader.run(check, TIMER_DB_URL=url)).endswith("fit\n")
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z"
        said = await reader.run(re.sub(r"--until \S+", f"--until {now}", command), TIMER_DB_URL=url)
    assert _alike(said) == _alike(shown)
