"""What pages say that something costs can be measured with their commands, which still fit the code."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.reader import Reader

PAGES = ("docs/architecture.md", "docs/security.md")
TIMED = {
    f"{page}-{number}": block.text
    for page in PAGES
    for number, block in enumerate(blocks((ROOT / page).read_text()))
    if "-m timeit" in block.text
}


def test_each_page_has_some() -> None:
    assert {name.rpartition("-")[0] for name in TIMED} == set(PAGES)


@pytest.mark.parametrize("name", TIMED)
async def test_it_is_timed(name: str) -> None:
    """Once each: this is no benchmark."""
    said = await Reader().run(TIMED[name].replace("-m timeit", "-m timeit -n 1 -r 1"))
    assert said.count("1 loop, best of 1: ") == TIMED[name].count("-m timeit")
