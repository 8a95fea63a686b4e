"""docs/sdk.md tells nothing that is not so: its code runs against the services, and it names every call."""

from __future__ import annotations

import asyncio
import inspect
import re
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from tests.client.conftest import SECRET
from tests.docs.pages import ROOT, blocks, rows, section
from tests.receive.test_verify import headers
from tests.system import System
from timer_client import Client
from timer_client.calls import Resource, call, walk

PAGE = (ROOT / "docs/sdk.md").read_text()


def code(title: str) -> list[str]:
    """The programs of a section."""
    return [block.text for block in blocks(section(PAGE, title)) if block.language == "python"]


@pytest.mark.asyncio(loop_scope="package")
@pytest.mark.parametrize("title", ["A first timer", "With asyncio", "Many", "All calls", "What goes wrong"])
async def test_the_code_of_a_section_runs(
    title: str, system: System, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = system.apis[0].url
    monkeypatch.setenv("TIMER_URL", api)
    [program] = code(title)
    for shown, ours in {"http://127.0.0.1:8000": api, "http://127.0.0.1:9000": system.receiver.url}.items():
        program = program.replace(shown, ours)
    # In a thread of its own, since it waits, or has a loop of its own.
    await asyncio.to_thread(exec, program, {"__name__": "__main__"})
    assert capsys.readouterr().out


def test_the_code_for_receivers_runs(tmp_path: Path) -> None:
    with_sql, in_memory = code("Receivers")
    here: dict[str, Any] = {}
    exec(with_sql.replace("sqlite:///", f"sqlite:///{tmp_path}/"), here)
    exec(in_memory, here)
    secret = b64decode(SECRET.removeprefix("whsec_"))
    for body, expected in [(b"x", 204), (b"x", 204), (b"y", 401)]:
        assert here["on_call"](headers(b"x", secret), body) == expected
    with here["engine"].connect() as connection:
        assert len(connection.execute(select(here["seen"])).all()) == 1
    one = SimpleNamespace(id="a")
    assert here["take"](one) == 204
    with here["memory"].begin() as at_work:
        assert not at_work.add("a")
        at_work.add("b")
        assert here["take"](SimpleNamespace(id="b")) == 503


def test_it_names_every_call() -> None:
    named = {}
    for resource, calls in rows(section(PAGE, "All calls")):
        named[resource.strip("`")] = set(re.findall(r"`(\w+)`", calls))
    with Client() as client:
        resources = {name: value for name, value in vars(client).items() if isinstance(value, Resource)}
    members = {name: inspect.getmembers_static(type(resource)) for name, resource in resources.items()}
    assert named == {
        name: {method for method, value in found if isinstance(value, call | walk)}
        for name, found in members.items()
    }
