"""Who calls, and what they may do."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from timer_api.api_keys.rate import TokenBucket
from timer_api.errors import FieldError, Kind, Problem
from timer_db.domain.api_key import Scope

_IN_SCOPE = "caller"


@dataclass(slots=True, eq=False)
class Caller:
    """The holder of a key, while it is valid; or anybody, when no keys are checked."""

    scopes: frozenset[Scope]
    """All that are allowed, those that others imply among them."""
    collections: frozenset[str] | None = None
    """None: every collection."""
    bucket: TokenBucket | None = None
    key_id: str | None = None
    """None for a key that is in no table."""
    key_sha256: bytes = field(default=b"", repr=False)
    was_used: bool = False
    """Since that was last written down."""

    def sees(self, collection: str) -> bool:
        """Whether timers of a collection are there for this caller."""
        return self.collections is None or collection in self.collections

    def check_collection(self, collection: str) -> None:
        """403 unless timers may be made in a collection."""
        if not self.sees(collection):
            wrong = FieldError("collection", "the key is bound to other collections")
            detail = f"collection: the key is not for the collection {collection!r}"
            raise Problem(Kind.forbidden, detail, errors=[wrong])

    def charge(self, count: int = 1, *, taken: int = 0) -> None:
        """429 when the key has been used too often lately; `taken` of the calls were counted before."""
        if self.bucket is not None and (wait_seconds := self.bucket.take(count, taken=taken)):
            raise too_many(math.ceil(wait_seconds))


EVERYBODY = Caller(frozenset(Scope))
"""Who calls while no keys are checked."""


def caller_of(request: Request) -> Caller:
    """Who makes this call; `app.FrontDoor` has let them in."""
    caller: Caller = request.scope[_IN_SCOPE]
    return caller


def note_caller(scope: Any, caller: Caller) -> None:
    """For `caller_of`, later on."""
    scope[_IN_SCOPE] = caller


# RFC 6750, 3 and 3.1: what the header says in each case.


def missing(detail: str = "send a key: Authorization: Bearer <key>") -> Problem:
    """401 for a call without a key."""
    return Problem(Kind.unauthorized, detail, headers={"WWW-Authenticate": "Bearer"})


def not_valid() -> Problem:
    """401 for a key that is unknown or revoked: which of them is nobody's business."""
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(Kind.unauthorized, "the key is unknown or revoked", headers=headers)


def not_allowed(lacking: Collection[Scope]) -> Problem:
    """403 for a key without a scope."""
    words = " ".join(sorted(lacking))
    headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{words}"'}
    return Problem(Kind.forbidden, f"the key lacks the scope {words}", headers=headers)


def too_many(wait_seconds: int) -> Problem:
    """429 for a key that is used too often."""
    return Problem(
        Kind.too_many_requests,
        "the key has been used more often than it may be; try again later",
        headers={"Retry-After": str(max(1, wait_seconds))},
    )
