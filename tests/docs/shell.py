"""Our shell code, as far as tests read it: which programs it calls, and with what."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_BETWEEN = "();<>|&\n"
"""What ends a word and, but for redirections, a command."""


class Command(NamedTuple):
    """One program that is called."""

    variables: dict[str, str]
    """What is set for it, or for what follows when there are no words."""
    words: list[str]


def commands(script: str) -> Iterator[Command]:
    """Every command, also those in pipes and in `$(…)`; names of files that output goes to are left out."""
    script = re.sub(r"(?m)(^|\s)#\s.*$", "", script.replace("\\\n", " "))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    is_file = False
    for token in [*lexer, "\n"]:
        if token.strip(_BETWEEN):
            if not is_file:
                words.append(token)
                for inner in re.findall(r"\$\((.*)\)", token, re.DOTALL):
                    yield from commands(inner)
            is_file = False
        elif set(token) <= {"<", ">"}:
            is_file = True
        else:
            words = words[bool(words) and words[0] in ("{", "}") :]
            if words:
                yield _command(words)
            words = []


def _command(words: list[str]) -> Command:
    found = takewhile(bool, map(_ASSIGNMENT.fullmatch, words))
    variables = {each[1]: each[2] for each in found if each}
    return Command(variables, words[len(variables) :])
