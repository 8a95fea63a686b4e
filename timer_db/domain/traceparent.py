"""Where a request belongs in its client's trace: the header `traceparent` (W3C Trace Context, level 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEADER = "traceparent"
_NAME = HEADER.encode()
# Later versions may have more behind these fields, which are read as those of this one (3.2.4 there).
_FIELDS = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_VERSION = b"00"


def traceparent_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """That of a request, as this version writes it. None when there is none, or none that can be read: then the
    request belongs to no trace, and nothing else is wrong with it."""
    for name, value in headers:
        if name == _NAME:
            found = _FIELDS.fullmatch(value)
            # Of a later version nothing behind the fields is known; of this one there is nothing.
            if found is None or (value.startswith(_VERSION) and len(value) != 55):
                return None
            return b"-".join((_VERSION, *found.groups())).decode()
    return None
