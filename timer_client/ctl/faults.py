"""What goes wrong, in one line, and the exit code that says which kind it was."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from timer_client.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotReached,
    Unauthorized,
    Unavailable,
)


class Exit(IntEnum):
    """Exit codes. Those of a shell, from 126 on, are never ours."""

    well = 0
    failed = 1
    """Whatever has no code of its own; a watched timer that did not end as delivered."""
    usage = 2
    """The command line, a file or the configuration is wrong."""
    not_found = 3
    conflict = 4
    """It stands otherwise than the call needs."""
    not_allowed = 5
    """The API key is missing, unknown, or not for this."""
    not_reached = 6
    invalid = 7
    """The service says which field is wrong."""


class Fault(Exception):
    """A mistake of the one who typed."""


def exit_of(error: Exception) -> Exit:
    """The exit code for an error."""
    match error:
        case Fault():
            return Exit.usage
        case NotReached():
            return Exit.not_reached
        case NotFound():
            return Exit.not_found
        case Conflict():
            return Exit.conflict
        case Unauthorized() | Forbidden():
            return Exit.not_allowed
        case Invalid():
            return Exit.invalid
        case _:
            return Exit.failed


def exit_of_all(errors: Iterable[Exception]) -> Exit:
    """That of all of them, if they have one."""
    codes = {exit_of(error) for error in errors}
    return codes.pop() if len(codes) == 1 else Exit.failed


def may_be_done(error: Exception) -> bool:
    """Whether the call may have done its work, though nobody said so."""
    return isinstance(error, (NotReached, Unavailable))


def in_words(error: Exception) -> str:
    """One line; what a service says of fields comes with their names."""
    hint = ""
    if isinstance(error, Unauthorized):
        hint = " (--key, TIMER_API_KEY or a profile gives one)"
    elif isinstance(error, NotReached):
        hint = " (is it running there? --url, TIMER_URL or a profile says where)"
    elif isinstance(error, ApiError) and error.retry_after_seconds:
        hint = f" (try again in {error.retry_after_seconds:g} s)"
    return f"{error}{hint}".replace("\n", " ")
