"""The story that the page about logs tells is made of what the programs say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.pages import ROOT, blocks, section

LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \w+: (?:\d+ more of: )?(.+)")
NOTE = re.compile(r"   \(\d+ such lines\)")
"""The page's own words in between."""
LEVELS = {"debug", "info", "warning", "error"}


def _formats() -> Iterator[str]:
    for package in ("timer_controller", "timer_db"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(ast.Attribute(attr=level), [ast.Constant(str(text)), *_]) if level in LEVELS:
                        yield text


def test_every_line_is_said_somewhere() -> None:
    said = [re.compile(re.sub(r"%[sdrf]", ".+", re.escape(text))) for text in _formats()]
    assert len(said) > 20
    [story] = blocks(section((ROOT / "docs/logs.md").read_text(), "A story"))
    for line in story.text.splitlines():
        if not NOTE.fullmatch(line):
            found = LINE.fullmatch(line)
            assert found, line
            assert any(format.fullmatch(found[1]) for format in said), line
