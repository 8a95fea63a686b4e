"""Selectors as Kubernetes writes them: `env=prod,tier!=free,zone in (a,b),phase notin (x),canary,!old`.

The grammar and its meaning are Kubernetes' ("Labels and Selectors", set-based requirements): commas mean and; and
`!=` and `notin` also match timers that have no label of that key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from timer_db.domain.labels import (
    KEY_CHARACTERS_MAX,
    KEY_IN_WORDS,
    KEY_PATTERN,
    VALUE_CHARACTERS_MAX,
    VALUE_IN_WORDS,
    VALUE_PATTERN,
)

CHARACTERS_MAX = 4096
REQUIREMENTS_MAX = 32
VALUES_MAX = 64
"""In all of a selector's requirements together: each costs a look."""

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z0-9_./-]+)|(?P<sign>==|!=|[=!(),]))")
_KEY, _VALUE = re.compile(KEY_PATTERN), re.compile(VALUE_PATTERN)
_END = "its end"


class SelectorError(ValueError):
    """It is no selector. The message says why and where; `position` counts characters from 1."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason}, at position {position}")
        self.position = position


class Operator(StrEnum):
    """What a requirement asks of the value."""

    is_in = "in"
    is_not_in = "notin"
    exists = "exists"
    is_absent = "!"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of the conditions of a selector; `values` are sorted, and empty where none are compared."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it."""
        match self.operator:
            case Operator.is_in:
                return labels.get(self.key) in self.values
            case Operator.is_not_in:
                return labels.get(self.key) not in self.values
            case Operator.exists:
                return self.key in labels
            case Operator.is_absent:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that all must be fulfilled; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = Selector()


def parse(text: str) -> Selector:
    """The selector of a text. Raises SelectorError."""
    if len(text) > CHARACTERS_MAX:
        raise SelectorError(f"it has more than {CHARACTERS_MAX:,} characters", CHARACTERS_MAX + 1)
    return _Parser(text).selector()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_word: bool
    position: int


class _Parser:
    """Reads one text, token by token."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def selector(self) -> Selector:
        """Everything up to the end."""
        if len(self._tokens) == 1:
            return EVERYTHING
        found: list[Requirement] = []
        values = 0
        while True:
            position = self._peek().position
            found.append(self._requirement())
            values += len(found[-1].values)
            if len(found) > REQUIREMENTS_MAX:
                raise SelectorError(f"it has more than {REQUIREMENTS_MAX} requirements", position)
            if values > VALUES_MAX:
                raise SelectorError(f"it has more than {VALUES_MAX} values", position)
            if self._peek().text == "":
                return Selector(tuple(found))
            self._expect(",", "a comma or the end")

    def _requirement(self) -> Requirement:
        if self._peek().text == "!":
            self._take()
            return Requirement(self._key(), Operator.is_absent)
        key = self._key()
        operator = self._peek()
        match operator.text:
            case "=" | "==":
                self._take()
                return Requirement(key, Operator.is_in, (self._value(),))
            case "!=":
                self._take()
                return Requirement(key, Operator.is_not_in, (self._value(),))
            case "in" | "notin":
                self._take()
                return Requirement(key, Operator(operator.text), self._values())
            case "" | ",":
                return Requirement(key, Operator.exists)
            case _:
                raise self._unexpected("an operator (=, ==, !=, in, notin), a comma or the end")

    def _key(self) -> str:
        token = self._peek()
        if not token.is_word:
            raise self._unexpected("a label's key")
        if len(token.text) > KEY_CHARACTERS_MAX or not _KEY.fullmatch(token.text):
            raise SelectorError(f"{_quoted(token.text)} is no key: {KEY_IN_WORDS}", token.position)
        return self._take().text

    def _value(self) -> str:
        """A word, or nothing at all, which is the empty value."""
        token = self._peek()
        if not token.is_word:
            if token.text in ("", ",", ")"):
                return ""
            raise self._unexpected("a value")
        if len(token.text) > VALUE_CHARACTERS_MAX or not _VALUE.fullmatch(token.text):
            raise SelectorError(f"{_quoted(token.text)} is no value: {VALUE_IN_WORDS}", token.position)
        return self._take().text

    def _values(self) -> tuple[str, ...]:
        self._expect("(", "a list in parentheses")
        values = {self._value()}
        while self._peek().text == ",":
            self._take()
            values.add(self._value())
        self._expect(")", "a comma or a closing parenthesis")
        return tuple(sorted(values))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str, in_words: str) -> None:
        if self._peek().text != text:
            raise self._unexpected(in_words)
        self._take()

    def _unexpected(self, wanted: str) -> SelectorError:
        token = self._peek()
        found = _quoted(token.text) if token.text else _END
        return SelectorError(f"{found} stands where {wanted} should be", token.position)


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens of a text, and an empty one at the end."""
    end = len(text.rstrip())
    place = 0
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            raise SelectorError(f"{_quoted(text[place])} cannot stand in a selector", place + 1)
        kind = "word" if match["word"] else "sign"
        yield _Token(match[kind], kind == "word", match.start(kind) + 1)
        place = match.end()
    yield _Token("", False, end + 1)


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return f"'{shown}'"
