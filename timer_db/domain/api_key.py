"""API keys: who may do what. A key is shown once, when it is made; what is kept is its SHA-256.

A plain hash is enough here. A slow one protects what people choose; a key is 256 random bits, which nobody finds
by trying. NIST SP 800-63B, 5.1.2.2, draws that line for look-up secrets: those with at least 112 bits of entropy
are hashed with an approved one-way function, and only weaker ones need a salt and a key derivation function.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from timer_db.domain.names import NAME_MAX, check_name

COLLECTIONS_MAX = 100
RATE_MAX = 1_000_000
_ID_BYTES = 4
_SECRET_BYTES = 32

ID_PATTERN = r"^[0-9a-f]{8}$"
KEY_PATTERN = r"^tk_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$"


class Scope(StrEnum):
    """What a key allows."""

    timers_read = "timers:read"
    timers_write = "timers:write"
    admin = "admin"
    """Keys as well, and everything that the other scopes allow."""


def allowed_by(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Every scope that these give."""
    given = frozenset(scopes)
    return frozenset(Scope) if Scope.admin in given else given


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """What a key is to be."""

    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    """Only timers of these; None: of every collection."""
    rate_per_second: int | None = None
    """Calls, a batch as many as it has timers; None: no limit."""
    burst: int | None = None
    """So many at once after a rest; None: as many as in a second."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: fields, and what to say about each."""
        yield from _name_faults("name", self.name)
        if not self.scopes:
            yield "scopes", f"at least one is needed: {', '.join(Scope)}"
        if self.collections is not None:
            yield from self._collection_faults(self.collections)
        if self.rate_per_second is not None and not 1 <= self.rate_per_second <= RATE_MAX:
            yield "rate_per_second", f"it must be 1 to {RATE_MAX:,}"
        if self.burst is not None and not 1 <= self.burst <= RATE_MAX:
            yield "burst", f"it must be 1 to {RATE_MAX:,}"
        if self.burst is not None and self.rate_per_second is None:
            yield "burst", "it goes with rate_per_second only"

    def _collection_faults(self, collections: frozenset[str]) -> Iterator[tuple[str, str]]:
        if not 1 <= len(collections) <= COLLECTIONS_MAX:
            yield "collections", f"it must name 1 to {COLLECTIONS_MAX}; leave it out for all"
        for name in sorted(collections):
            yield from _name_faults("collections", name)
        # Who may make keys could make one that is bound to nothing.
        if Scope.admin in self.scopes:
            yield "collections", "a key with the scope admin cannot be bound to collections"


def _name_faults(field_name: str, name: str) -> Iterator[tuple[str, str]]:
    if not 1 <= len(name) <= NAME_MAX:
        yield field_name, f"it must have 1 to {NAME_MAX} characters"
    try:
        check_name(name)
    except ValueError as error:
        yield field_name, str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(NewApiKey):
    """A key as it is stored."""

    id: str
    """Its public part, which may be shown and logged."""
    key_sha256: bytes = field(repr=False)
    created_at_us: int
    last_used_at_us: int | None
    """To within two minutes."""
    revoked_at_us: int | None


def new_key() -> tuple[str, str]:
    """The id of a new key, and the key: `tk_`, the id, and 256 random bits."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"tk_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def sha256_of(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()
