"""The keys that are valid now, in memory: no call waits for the database to be let in.

They are read again every second, so a key that was revoked anywhere is refused everywhere within two. While the
database is away, those known last stay valid.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from hmac import compare_digest

from timer_api.api_keys.caller import EVERYBODY, Caller, missing, not_allowed, not_valid
from timer_api.api_keys.rate import TokenBucket
from timer_api.errors import Kind, Problem
from timer_db.domain.api_key import ApiKey, Scope, allowed_by, sha256_of
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.operations.api_keys import Stamp, note_uses, read_valid_keys
from timer_db.shards import Shards

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
USES_SECONDS = 60.0
"""How often at most it is written down that a key was used."""

_OPEN = (
    "no API key is set: whoever reaches this API can make, see and cancel timers. Set TIMER_API_KEYS, or make a"
    " key: python -m timer_db keys create --name admin --scope admin"
)
_NOT_READ = "the keys could not be read yet; try again soon"


class Gate:
    """Lets callers in. `from_settings` are keys that may do everything and are in no table."""

    def __init__(
        self, shards: Shards, from_settings: Sequence[str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._shards = shards
        self._monotonic = monotonic
        self._fixed = [
            Caller(frozenset(Scope), key_sha256=sha256_of(key.encode())) for key in dict.fromkeys(from_settings)
        ]
        self._by_hash = _by_hash(self._fixed)
        self._stamp: Stamp | None = None
        self._refreshing = asyncio.Lock()
        self._is_reading = True
        self._uses_noted_at = monotonic()
        self.is_open = False
        """Whether no keys are checked, since none was ever made. Once one is there, this stays False."""

    @property
    def is_known(self) -> bool:
        """Whether the keys have been read; until then only those of the settings are let in."""
        return self._stamp is not None

    def admit(self, headers: Iterable[tuple[bytes, bytes]], needed: frozenset[Scope]) -> Caller:
        """Who calls; counts the call. Raises 401, 403, 429, or 503 while nobody can tell."""
        if self.is_open:
            return EVERYBODY
        key = _bearer(headers)
        if key is None:
            raise missing() if self._fixed or self.is_known else _unknown()
        caller = self.holder_of(key)
        caller.was_used = True
        if caller.bucket is not None:
            caller.charge()
        if not needed <= caller.scopes:
            raise not_allowed(needed - caller.scopes)
        return caller

    def holder_of(self, key: bytes) -> Caller:
        """Whose key this is; counts nothing. Raises 401, or 503 while nobody can tell."""
        key_sha256 = sha256_of(key)
        caller = self._by_hash.get(key_sha256)
        if caller is None or not compare_digest(caller.key_sha256, key_sha256):
            raise not_valid() if self.is_known else _unknown()
        return caller

    def hashes_from(self, beginning: bytes) -> list[bytes]:
        """The hashes of valid keys that begin so."""
        return [key_sha256 for key_sha256 in self._by_hash if key_sha256.startswith(beginning)]

    async def wait_until_known(self) -> None:
        """Until the keys have been read for the first time. Says so when there are none."""
        while not await self._try_to_refresh():  # noqa: ASYNC110 - the database sends no event when it is back
            await asyncio.sleep(REFRESH_SECONDS)
        if self.is_open:
            log.warning(_OPEN)

    async def run(self) -> None:
        """Read the keys again for ever. Cancel it to stop."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if await self._try_to_refresh() and self._monotonic() - self._uses_noted_at >= USES_SECONDS:
                await self.note_uses()

    async def refresh(self) -> None:
        """Read the keys, if they have changed. Raises DatabaseUnavailable."""
        # One at a time: an older answer must not come last.
        async with self._refreshing:
            found = await read_valid_keys(self._shards, self._stamp)
            if found is None:
                return
            known = {caller.key_id: caller for caller in self._by_hash.values()}
            # A caller keeps what it has used up of its rate.
            callers = [known.get(key.id) or self._caller_of(key) for key in found.keys]
            self._by_hash = _by_hash([*callers, *self._fixed])
            was_open, self.is_open = self.is_open, self._may_be_open(found.stamp)
            self._stamp = found.stamp
            if was_open and not self.is_open:
                log.info("an API key was made: from now on every call needs one")

    async def after_change(self) -> None:
        """Read the keys right after this process changed one, so that its next call meets the change."""
        await self._try_to_refresh()

    async def note_uses(self) -> None:
        """Write down which keys were used."""
        self._uses_noted_at = self._monotonic()
        used = {caller.key_id: caller for caller in self._by_hash.values() if caller.was_used and caller.key_id}
        for caller in used.values():
            caller.was_used = False
        try:
            if used:
                await note_uses(self._shards, list(filter(None, used)), int(USES_SECONDS * 1_000_000))
        except DatabaseUnavailable as error:
            log.warning("which API keys were used could not be written down: %s", error)
            for caller in used.values():
                caller.was_used = True

    def _may_be_open(self, stamp: Stamp) -> bool:
        is_first = self._stamp is None
        # Keys that vanish from the table must not open what was closed.
        return not self._fixed and not stamp.keys and (is_first or self.is_open)

    def _caller_of(self, key: ApiKey) -> Caller:
        bucket = None
        if key.rate_per_second is not None and key.burst is not None:
            bucket = TokenBucket(key.rate_per_second, key.burst, self._monotonic)
        return Caller(allowed_by(key.scopes), key.collections, bucket, key.id, key.key_sha256)

    async def _try_to_refresh(self) -> bool:
        try:
            await self.refresh()
        except DatabaseUnavailable as error:
            if self._is_reading:
                log.warning("the API keys cannot be read; those known last stay valid: %s", error)
            self._is_reading = False
        else:
            if not self._is_reading:
                log.info("the API keys are read again")
            self._is_reading = True
        return self._is_reading


def _by_hash(callers: Iterable[Caller]) -> dict[bytes, Caller]:
    return {caller.key_sha256: caller for caller in callers}


def _unknown() -> Problem:
    return Problem(Kind.database_unavailable, _NOT_READ)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key of a request (RFC 6750, 2.1), None without one. 401 for a header that holds none."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                # Somebody before us may have looked at the other one.
                raise missing("there are two Authorization headers; send one")
            found = value
    if found is None:
        return None
    scheme, _, key = found.partition(b" ")
    if scheme != b"Bearer" and scheme.lower() != b"bearer":
        raise missing()
    return key.strip(b" ")
