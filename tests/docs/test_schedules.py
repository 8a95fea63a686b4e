"""What the page about schedules tells its readers to send is taken."""

from __future__ import annotations

import json
import re

import pytest

from tests.docs.pages import ROOT, blocks
from timer_api.schedules.checking import check, check_backfill, check_preview

PAGE = (ROOT / "docs/schedules.md").read_text()
NOW_US = 1_900_000_000_000_000
CHECKS = {"PUT": check, "next?": check_preview, "backfill": lambda body, now: check_backfill(body, "UTC", now)}


@pytest.mark.parametrize("part", CHECKS)
def test_its_bodies_are_as_they_should_be(part: str) -> None:
    commands = [block.text for block in blocks(PAGE) if block.language == "sh" and part in block.text]
    assert commands
    for command in commands:
        found = re.search(r"-d '(.*)'", command, re.DOTALL)
        assert found
        assert CHECKS[part](json.loads(found[1]), NOW_US)
