"""What the page about schedules tells its readers to type works, and gives what it says."""

from __future__ import annotations

import json

from tests.docs.pages import ROOT, blocks
from tests.docs.reader import Reader
from tests.system import System

PAGE = (ROOT / "docs/schedules.md").read_text()
WORKING_DAYS = 20
"""Of November 2025."""


async def test_its_commands_run(system: System) -> None:
    reader = Reader((await system.start_api()).url)
    make, preview, backfill = [block.text for block in blocks(PAGE) if block.language == "sh"]
    made = json.loads(await reader.run(make))
    assert (made["name"], made["overlap"], made["timer"]["labels"]) == ("daily-report", "skip", {"env": "prod"})
    shown = json.loads(await reader.run(preview))
    # In the night between the second and the third, Berlin has no 2:30.
    assert shown["runs"] == [
        "2035-03-24T01:30:00.000000Z", "2035-03-25T01:00:00.000000Z", "2035-03-26T00:30:00.000000Z",
    ]  # fmt: skip
    done = json.loads(await reader.run(backfill))
    assert (done["made"], done["next_from"]) == (WORKING_DAYS, None)
