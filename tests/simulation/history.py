"""What happened, in order, to be read by a person."""

from __future__ import annotations

from typing import Any


class History:
    """Cheap to write: what nobody reads is never put into words."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str, tuple[Any, ...]]] = []

    def note(self, at: float, who: str, what: str, *values: Any) -> None:
        """`what` is a template of `%`."""
        self._lines.append((at, who, what, values))

    def lines(self) -> list[str]:
        """One per event, with the seconds since the beginning."""
        return [
            f"{at - 1000:9.4f}  {who:8} {what % tuple(_in_words(value) for value in values) if values else what}"
            for at, who, what, values in self._lines
        ]

    def kinds(self) -> set[str]:
        """The templates of everything that happened."""
        return {what for _, _, what, _ in self._lines}


def name_of(timer_id: bytes) -> str:
    """Ids of the simulation end in the timer's number."""
    return f"t{int.from_bytes(timer_id[-4:], 'big')}"


def _in_words(value: Any) -> Any:
    if isinstance(value, bytes):
        return name_of(value) if len(value) == 16 else value.hex()
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(str(_in_words(one)) for one in value) or "-"
    return value
