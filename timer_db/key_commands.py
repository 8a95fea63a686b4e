"""`python -m timer_db keys create | list | revoke`: API keys without the API, so that there can be a first one."""

from __future__ import annotations

import argparse
import re
import sys

from timer_db import schema
from timer_db.domain.api_key import ID_PATTERN, ApiKey, NewApiKey, Scope
from timer_db.domain.errors import ApiKeyNotFound
from timer_db.domain.representation import rfc3339
from timer_db.operations.api_keys import list_keys, make_key, revoke_key
from timer_db.shards import Shards

_PAGE = 500


def add_to(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments."""
    keys = verbs.add_parser("keys", help="make, list and revoke API keys")
    whats = keys.add_subparsers(dest="what", required=True)
    create = whats.add_parser("create", help="make a key, and print it: it is shown this once")
    create.add_argument("--name", required=True, help="for people: who has it")
    create.add_argument(
        "--scope", dest="scopes", action="append", required=True, choices=[scope.value for scope in Scope],
        help="what it allows; can be given several times",
    )  # fmt: skip
    create.add_argument(
        "--collection", dest="collections", action="append", help="only timers of this one; several are possible"
    )
    create.add_argument("--rate-per-second", type=int, help="calls per second, in each process of the API")
    create.add_argument("--burst", type=int, help="calls at once after a rest")
    whats.add_parser("list", help="every key, newest first, without what makes it one")
    revoke = whats.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("key_id", metavar="ID", type=_key_id, help="the 8 characters behind tk_")


def _key_id(text: str) -> str:
    if not re.fullmatch(ID_PATTERN, text):
        # A whole key, given by mistake, must not be shown.
        raise argparse.ArgumentTypeError("it must be the 8 characters behind tk_, 0-9 and a-f")
    return text


async def run(options: argparse.Namespace, shards: Shards) -> int:
    """Do what is asked; gives the exit code. Raises DatabaseError."""
    await schema.check(shards.home.engine)
    match options.what:
        case "create":
            return await _create(options, shards)
        case "list":
            return await _list(shards)
        case _:
            return await _revoke(options.key_id, shards)


async def _create(options: argparse.Namespace, shards: Shards) -> int:
    new = NewApiKey(
        name=options.name,
        scopes=frozenset(map(Scope, options.scopes)),
        collections=None if options.collections is None else frozenset(options.collections),
        rate_per_second=options.rate_per_second,
        burst=options.burst,
    )
    faults = list(new.faults())
    for field, message in faults:
        sys.stderr.write(f"{field}: {message}\n")
    if faults:
        return 2
    made, key = await make_key(shards, new)
    sys.stderr.write(f"key {made.id}, which is shown this once:\n")
    # By itself, for a script: key=$(python -m timer_db keys create …)
    sys.stdout.write(f"{key}\n")
    return 0


async def _list(shards: Shards) -> int:
    cursor: str | None = None
    while True:
        page = await list_keys(shards, _PAGE, cursor)
        for key in page.keys:
            sys.stdout.write(f"{_line(key)}\n")
        cursor = page.next_cursor
        if cursor is None:
            return 0


def _line(key: ApiKey) -> str:
    bound = "every collection" if key.collections is None else ", ".join(sorted(key.collections))
    rate = "no limit" if key.rate_per_second is None else f"{key.rate_per_second}/s, {key.burst} at once"
    used = "never used" if key.last_used_at_us is None else f"used {rfc3339(key.last_used_at_us)}"
    state = "valid" if key.revoked_at_us is None else f"revoked {rfc3339(key.revoked_at_us)}"
    parts = (key.id, key.name, ", ".join(sorted(key.scopes)), bound, rate, f"made {rfc3339(key.created_at_us)}")
    return "\t".join((*parts, used, state))


async def _revoke(key_id: str, shards: Shards) -> int:
    try:
        await revoke_key(shards, key_id)
    except ApiKeyNotFound as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"key {key_id} is revoked; each API knows within two seconds\n")
    return 0
