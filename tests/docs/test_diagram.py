"""system_scheme.drawio is a file that diagrams.net opens: whole, connected, and nothing on top of anything."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree as Xml

import pytest

from tests.docs.pages import ROOT

FILE = ROOT / "system_scheme.drawio"
PAGES = ["System", "One timer's way", "Horizontal scaling"]


class Box(NamedTuple):
    """Where a shape stands, in the coordinates of what it stands in."""

    left: float
    top: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )

    def fits_into(self, room: Box) -> bool:
        """Where the room's own corner is at 0, 0."""
        return (
            min(self.left, self.top) >= 0
            and self.left + self.width <= room.width
            and self.top + self.height <= room.height
        )


def _diagrams() -> dict[str, Xml.Element]:
    return {str(diagram.get("name")): diagram for diagram in Xml.parse(FILE).getroot().findall("diagram")}


def _cells(page: str) -> dict[str, Xml.Element]:
    cells = list(_diagrams()[page].iter("mxCell"))
    by_id = {str(cell.get("id")): cell for cell in cells}
    assert len(by_id) == len(cells), "an id is there twice"
    return by_id


def _box(cell: Xml.Element) -> Box:
    geometry = cell.find("mxGeometry")
    assert geometry is not None
    return Box(*(float(geometry.get(name, "0")) for name in ("x", "y", "width", "height")))


def test_it_is_an_uncompressed_file_with_the_three_pages() -> None:
    assert Xml.parse(FILE).getroot().tag == "mxfile"
    assert list(_diagrams()) == PAGES
    assert all(diagram.find("mxGraphModel/root") is not None for diagram in _diagrams().values())


@pytest.mark.parametrize("page", PAGES)
def test_every_edge_joins_two_shapes(page: str) -> None:
    cells = _cells(page)
    shapes = {number for number, cell in cells.items() if cell.get("vertex")}
    edges = [cell for cell in cells.values() if cell.get("edge")]
    assert edges
    loose = [edge.get("id") for edge in edges if not {edge.get("source"), edge.get("target")} <= shapes]
    assert loose == []


@pytest.mark.parametrize("page", PAGES)
def test_every_shape_stands_in_something_and_says_something(page: str) -> None:
    cells = _cells(page)
    shapes = [cell for cell in cells.values() if cell.get("vertex")]
    assert [cell.get("id") for cell in shapes if cell.get("parent") not in cells] == []
    assert [cell.get("id") for cell in shapes if not cell.get("value")] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_two_shapes_overlap(page: str) -> None:
    cells = _cells(page)
    shapes = [cell for cell in cells.values() if cell.get("vertex")]
    beside = [(a, b) for a, b in combinations(shapes, 2) if a.get("parent") == b.get("parent")]
    assert [(a.get("id"), b.get("id")) for a, b in beside if _box(a).overlaps(_box(b))] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_shape_is_inside_what_it_stands_in(page: str) -> None:
    cells = _cells(page)
    model = _diagrams()[page].find("mxGraphModel")
    assert model is not None
    sheet = Box(0, 0, float(model.get("pageWidth", "0")), float(model.get("pageHeight", "0")))
    outside = []
    for cell in cells.values():
        if cell.get("vertex"):
            holder = cells[str(cell.get("parent"))]
            room = _box(holder) if holder.get("vertex") else sheet
            if not _box(cell).fits_into(room):
                outside.append(cell.get("id"))
    assert outside == []
