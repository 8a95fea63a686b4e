"""One test body for both clients: what a call gives is awaited where it has to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from inspect import isawaitable
from typing import Any

from timer_client import AsyncClient, Client, Retries

KINDS = (Client, AsyncClient)
AT_ONCE = Retries(initial_seconds=0)


async def got(result: Any) -> Any:
    """What a call gives."""
    return await result if isawaitable(result) else result


async def every(items: Iterator[Any] | AsyncIterator[Any]) -> list[Any]:
    """All items of an iterator."""
    return list(items) if isinstance(items, Iterator) else [item async for item in items]
