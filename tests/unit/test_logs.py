"""What the log of a program looks like: real processes, their standard error read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

from timer_db.logs import LINES_PER_SECOND_MAX

_START = """
import asyncio, logging, structlog, sys
from timer_db.logs import log_to_stderr
log_to_stderr("INFO", "timer_x", sys.argv[1])
log = logging.getLogger("timer_x.part")
"""


def _said(code: str, log_format: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", _START + code, log_format], capture_output=True, text=True, check=False
    )
    assert ended.stdout == ""
    return ended.stderr.removesuffix("\n").split("\n")


def _events(code: str, log_format: str = "json") -> list[dict[str, Any]]:
    return [json.loads(line) for line in _said(code, log_format)]


def test_json_has_the_origin_the_text_and_the_fields() -> None:
    [event] = _events('log.warning("timer %s ended", "t1", extra={"timer_id": "t1", "attempt": 2})')
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
    assert datetime.fromisoformat(event.pop("time")).utcoffset() == timedelta(0)
    assert event.pop("pid") != os.getpid()
    assert event == {
        "level": "warning", "logger": "timer_x.part", "service": "timer_x", "event": "timer t1 ended",
        "timer_id": "t1", "attempt": 2,
    }  # fmt: skip


def test_auto_is_json_where_there_is_no_terminal() -> None:
    [event] = _events('log.info("a")', "auto")
    assert event["event"] == "a"


def test_auto_is_text_on_a_terminal() -> None:
    ours, theirs = os.openpty()
    code = f'{_START}log.info("a %s", "b")'
    subprocess.run([sys.executable, "-c", code, "auto"], stderr=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 4096).decode().endswith("Z INFO timer_x.part: a b\r\n")
    os.close(ours)


def test_tasks_inherit_the_controller_and_its_neighbour_does_not() -> None:
    one, two, outside = _events("""
async def serve(number):
    structlog.contextvars.bind_contextvars(controller_id=number)
    await asyncio.create_task(say())
async def say():
    log.info("a")
async def main():
    await asyncio.create_task(serve(1))
    await asyncio.create_task(serve(2))
    log.info("a")
asyncio.run(main())
""")
    assert (one["controller_id"], two["controller_id"]) == (1, 2)
    assert "controller_id" not in outside


_FORGERY = r"""
log.warning("it said %s", "a\r\n2026-01-01 forged\x1b[2J\u202e\u2028b\ud800")
try:
    raise ValueError("bad\n2026-01-01 forged\x1b[2J")
except ValueError:
    log.exception("a fault")
"""


def test_text_from_outside_cannot_forge_a_line_or_move_the_cursor() -> None:
    said = "\n".join(_said(_FORGERY, "text"))
    assert not re.search("^2026-01-01 forged", said, re.MULTILINE)
    assert not set("\x1b\r\u202e\u2028") & set(said)
    assert r"it said a\r\n2026-01-01 forged\x1b[2J" in said
    assert "  | 2026-01-01 forged" in said


def test_json_holds_all_of_it_in_one_line_each() -> None:
    first, second = _events(_FORGERY)
    assert first["event"] == "it said a\r\n2026-01-01 forged\x1b[2J\u202e\u2028b?"
    assert second["exception"].endswith("ValueError: bad\n2026-01-01 forged\x1b[2J")


def test_a_storm_is_bounded_and_its_counts_add_up() -> None:
    """10,000 of one kind, and a single other event in their midst."""
    events = _events("""
for number in range(10_000):
    log.warning("timer %d ended", number, extra={"timer_id": number})
    if number == 5_000:
        log.error("something else")
""")
    told = [event for event in events if "timer_id" in event]
    summaries = [event for event in events if "left_out" in event]
    assert len(told) + sum(event["left_out"] for event in summaries) == 10_000
    # A window of a second begins with the first event after the one before: a slow machine takes a few of them.
    assert len(told) <= LINES_PER_SECOND_MAX * (len(summaries) + 1)
    assert {event["event"] for event in summaries} == {
        f"{event['left_out']} more of: timer %d ended" for event in summaries
    }
    assert sum(event["event"] == "something else" for event in events) == 1


def test_what_was_left_out_is_told_without_another_event() -> None:
    """The process lives on and says nothing: the end of the second tells."""
    process = subprocess.Popen(
        [sys.executable, "-c", f'{_START}for n in range(50): log.info("a")\nsys.stdin.read()', "json"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    assert process.stdin
    events = [json.loads(process.stderr.readline()) for _ in range(LINES_PER_SECOND_MAX + 1)]
    assert events[-1]["left_out"] == 50 - LINES_PER_SECOND_MAX
    process.stdin.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()
