"""Who gets a connection when there are not enough."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from tests.sender.conftest import Receive
from tests.sender.hostile import PlainPeer
from timer_controller.sender.http1.pool import Limits, Pool
from timer_controller.sender.http1.resolver import Resolver, system_look_up
from timer_controller.sender.target import parse_destination


async def listen(peer: PlainPeer) -> None:
    """Until the sender goes."""
    await peer.gone()


@pytest_asyncio.fixture
async def pool(receive: Receive) -> AsyncIterator[Pool]:
    """A pool of at most one connection."""
    receiver = await receive(listen)
    made = Pool(
        parse_destination(receiver.url),
        Limits(connections_per_destination=1, idle_seconds=9.0, connect_timeout_seconds=5.0),
        Resolver(system_look_up, keep_seconds=1.0),
        lambda address: None,
        cast(ssl.SSLContext, None),
    )
    yield made
    for connection in made.connections:
        connection.abort()


async def test_the_first_in_line_is_served_first(pool: Pool) -> None:
    connection = await pool.acquire()
    line = [asyncio.create_task(pool.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    for waiting in line:
        assert not waiting.done()
        pool.release(connection, time.monotonic())
        assert await waiting is connection


@pytest.mark.parametrize("gift", ["connection", "place"])
async def test_what_one_who_left_was_given_goes_to_the_next(gift: str, pool: Pool) -> None:
    connection = await pool.acquire()
    leaving, staying = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    if gift == "connection":
        pool.release(connection, time.monotonic())
    else:
        connection.abort()
        pool.lost(connection, unannounced=False)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await staying is connection) is (gift == "connection")
