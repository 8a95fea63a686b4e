"""What the README tells a newcomer to do works, and shows what the README shows; and no link leads nowhere."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.db.scratch import scratch_database
from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, links, section
from tests.docs.reader import Reader
from tests.system import System, free_port, poll

MAKEFILE = ROOT / "Makefile"

# What is another each time, and what stands in for it.
VARIES = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"(?m)^date: .*$", "date: DATE"),
    (r"(?m)^webhook-timestamp: \d+$", "webhook-timestamp: SECONDS"),
    (r"(?mi)^content-length: \d+$", "content-length: BYTES"),
    (r'"latency_ms": ?[\d.]+', '"latency_ms": 0'),
    (r'"controller": ?"\d+ \([^"]*\)"', '"controller": "CONTROLLER"'),
]


class Message(NamedTuple):
    """A request or an answer: its first line, its headers in order, and its JSON."""

    first_line: str
    headers: list[str]
    document: Any


def _alike(text: str) -> str:
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    return text


def _message(text: str) -> Message:
    head, _, body = _alike(text.replace("\r\n", "\n")).partition("\n\n")
    first_line, *headers = head.splitlines()
    return Message(first_line, headers, json.loads(body))


def _document(text: str) -> Any:
    return json.loads(_alike(text))


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _is_ready(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


async def test_the_first_timer(system: System, tmp_path: Path) -> None:
    shown = blocks(section(README.read_text(), "A first timer"))
    assert " ".join(block.language for block in shown) == "sh sh http http sh sh json sh sh sh sh sh"
    (
        receiver,
        create,
        answer,
        arrival,
        look,
        attempts,
        attempts_shown,
        create_named,
        listing,
        batch,
        keyed,
        cancel,
    ) = (block.text for block in shown)
    api = await system.start_api()
    await system.start_controller()
    port = free_port()
    reader = Reader(api.url, f"http://127.0.0.1:{port}")
    log = tmp_path / "receiver.log"

    async with reader.running(receiver, log):
        await poll(lambda: _listens(port), 10, "the receiver to listen")
        created = await reader.run(create)
        assert _message(created) == _message(reader.here(answer))
        timer_id = json.loads(created.partition("\r\n\r\n")[2])["id"]
        [shown_id] = set(re.findall(VARIES[0][0].replace("(-", "(?:-"), answer))
        reader.ids[shown_id] = timer_id

        await api.wait_for_status_of(timer_id, "delivered")
        called = re.sub(r"(?m)^127\.0\.0\.1 - - .*\n?", "", log.read_text())
        assert _message(called) == _message(reader.here(arrival))
        assert called.startswith(reader.here(arrival.partition(" HTTP")[0]))

        seen = json.loads(await reader.run(look))
        assert (seen["id"], seen["status"], seen["attempts"]) == (timer_id, "delivered", 1)
        assert _document(await reader.run(attempts, id=timer_id)) == _document(attempts_shown)

        named = json.loads(await reader.run(create_named))
        assert (named["name"], named["status"]) == ("gifts", "scheduled")
        assert [timer["id"] for timer in json.loads(await reader.run(listing))["timers"]] == [named["id"]]
        cancelled = json.loads(await reader.run(cancel))
        assert (cancelled["id"], cancelled["status"]) == (named["id"], "cancelled")
        assert json.loads(await reader.run(listing))["timers"] == []

        many = json.loads(await reader.run(batch))["results"]
        assert [made["id"] for made in many] == [
            timer["id"] for timer in json.loads(await reader.run(listing))["timers"]
        ]
        once = await reader.run(keyed)
        assert json.loads(once)["status"] == "scheduled"
        assert await reader.run(keyed) == once


async def test_an_error(system: System) -> None:
    command, answer = blocks(section(README.read_text(), "Errors"))
    api = await system.start_api()
    reader = Reader(api.url)
    assert _message(await reader.run(command.text)) == _message(answer.text)


async def test_a_schedule_and_the_first_key(system: System) -> None:
    [schedule] = blocks(section(README.read_text(), "Schedules"))
    first_key, use = blocks(section(README.read_text(), "Who may do what"))
    api = await system.start_api()
    reader = Reader(api.url)
    made = json.loads(await reader.run(schedule.text))
    assert (made["name"], made["timezone"], made["paused"]) == ("daily-report", "Europe/Berlin", False)
    made = json.loads(await reader.run(first_key.text))
    assert (made["name"], made["scopes"]) == ("operations", ["admin"])
    assert json.loads(await reader.run(use.text, key=made["key"]))["timers"] == []
    assert json.loads(await reader.run(use.text, key="another"))["status"] == 401


async def test_the_parts_run_by_themselves(database_url: str, tmp_path: Path) -> None:
    _, parts = blocks(section(README.read_text(), "A database of your own"))
    upgrade, check, *services = parts.text.splitlines()
    reader = Reader()
    api_port, controller_port = free_port(), free_port()
    async with AsyncExitStack() as stack:
        url = stack.enter_context(scratch_database(database_url))
        assert "schema empty -> " in await reader.run(upgrade, TIMER_DB_URL=url)
        assert (await reader.run(check, TIMER_DB_URL=url)).endswith("fit\n")
        for number, service in enumerate(services):
            running = reader.running(
                service, tmp_path / f"{number}.log",
                TIMER_DB_URL=url, TIMER_API_PORT=str(api_port), TIMER_CONTROLLER_PORT=str(controller_port),
            )  # fmt: skip
            await stack.enter_async_context(running)
        for port in (api_port, controller_port):
            await poll(partial(_is_ready, port), 30, f"what listens at {port} to be ready")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"^([\w-]+):", MAKEFILE.read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|^|\s)make ([a-z]+)\b(?=`|$| PYTHON)", text, re.MULTILINE)) <= set(targets)
    modules = set(re.findall(r"python -m ([\w.]+)", text))
    assert [name for name in modules if find_spec(name) is None] == []
    scripts = set(re.findall(r"bash (\S+\.sh)", text))
    assert [name for name in scripts if not (ROOT / name).exists()] == []
