"""Our Markdown, as far as tests read it: sections, code blocks, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SETTINGS = ROOT / "docs/settings.md"
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    text: str


def section(text: str, title: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    marks = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert marks, f"no section {title!r}"
    rest = text[marks.end() :]
    # A line of code that begins with # is no heading.
    for mark in re.finditer(r"^(#+) |^```", rest, re.MULTILINE):
        is_code = rest[: mark.start()].count("\n```") % 2
        if mark[1] and not is_code and len(mark[1]) <= len(marks[1]):
            return rest[: mark.start()]
    return rest


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [Block(*found.groups()) for found in _FENCED.finditer(text)]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of every table, without their heads; each a list of cells."""
    lines = [line.strip() for line in text.splitlines()]
    for before, line in pairwise(lines):
        is_rule = re.fullmatch(r"\|[\s|:-]+\|", line)
        if line.startswith("|") and before.startswith("|") and not is_rule:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def links(text: str) -> list[str]:
    """The targets of links, code left out."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """What `#…` of a link can name, by the rules that GitHub has for headings."""
    titles = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
