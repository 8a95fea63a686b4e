"""What the page for operators tells them to run can be run."""

from __future__ import annotations

import re

import pytest

from tests.db import scratch
from tests.db.desk import SECOND_US, Desk, new_timer
from tests.docs.pages import ROOT, blocks, section
from timer_db.__main__ import _parser
from timer_db.shards import Shards

PAGE = (ROOT / "docs/operations.md").read_text()
STATEMENTS = [block.text for block in blocks(PAGE) if block.language == "sql"]


@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
def test_every_statement_runs(database_url: str, statement: str) -> None:
    scratch.run(database_url, statement)


async def test_the_first_statement_counts_what_is_overdue(database_url: str, shards: Shards) -> None:
    desk = Desk(shards)
    now_us = await desk.now_us()
    for priority, due_in_seconds in ((7, -60), (7, -90), (0, -30), (0, 30), (0, -1)):
        await desk.add(new_timer(now_us + due_in_seconds * SECOND_US, priority=priority))
    counts = {priority: overdue for priority, overdue, _ in scratch.run(database_url, STATEMENTS[0])}
    assert counts == {7: 2, 0: 1}


def test_each_alert_says_how_to_see_it_and_what_to_do() -> None:
    alerts = re.findall(r"^\| \[(.+?)\]", section(PAGE, "Alerts"), re.MULTILINE)
    assert len(alerts) >= 8
    for alert in alerts:
        text = section(PAGE, alert)
        assert "**See it.**" in text, alert
        assert "**Why, and what to do.**" in text, alert


def test_the_commands_of_timer_db_are_known() -> None:
    commands = set(re.findall(r"python -m timer_db (\w+[^`\n]*)", PAGE))
    assert {"check", "upgrade"} <= commands
    for command in commands:
        _parser().parse_args(command.split())
