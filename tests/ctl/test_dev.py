"""`timerctl dev`, as a user tries two years in a minute."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.client.scripted import scripted_server
from tests.system import free_port
from timer_client.ctl.settling import CALLED_SECONDS

from .conftest import TIMERCTL, Ran, environment


def _until(lines: IO[str], what: str) -> list[str]:
    """The lines up to the first with this in it."""
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if what in line:
            return seen
    raise AssertionError(f"it ended before {what!r}: {seen}")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, XDG_STATE_HOME=str(tmp_path / "state"))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def dev(home: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [TIMERCTL, "dev", "--port", str(port), "--receiver-port", "0", "--headers"],
        env=home,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests by nohup lets us ignore it, and what we start.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.stdout
    process.stdout.close()


def test_two_years_in_a_moment(dev: subprocess.Popen[str], home: dict[str, str], port: int) -> None:
    def run(*arguments: str) -> Ran:
        done = subprocess.run(
            [TIMERCTL, "--url", f"http://127.0.0.1:{port}", *arguments],
            env=home, text=True, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    assert dev.stdout
    hint = _until(dev.stdout, "timer create")[-1]
    receiver = hint.split("url=")[-1].strip()
    created = run("timer", "create", "--set", "delay=104w", "--set", f"url={receiver}", "-o", "json")
    assert created.code == 0, created.err
    [timer] = json.loads(created.out)
    moved = run("dev", "advance", "104w")
    assert (moved.code, moved.err) == (0, "")
    year = int(timer["due_at"][:4])
    assert moved.out.startswith(f"it is {year}-")
    arrived = _until(dev.stdout, timer["id"])[-1]
    assert arrived.startswith(f"{year}-")
    assert f"POST /hook/{timer['id']} attempt 1" in arrived
    shown = json.loads(run("timer", "get", timer["id"], "-o", "json").out)
    assert (shown["status"], shown["attempts"]) == ("delivered", 1)
    headers = _until(dev.stdout, "Timer-Attempt")
    assert any(f"webhook-id: {timer['id']}" in line for line in headers)
    soon = json.loads(run("timer", "create", "--set", "delay=1h", "--set", f"url={receiver}", "-o", "json").out)
    assert soon[0]["due_at"] > shown["due_at"]
    assert run("collection", "put", "paused").code == 0
    assert run("collection", "pause", "paused").code == 0
    fields = ("--set", "delay=2h", "--set", f"url={receiver.replace('/hook', '')}/status/503/hook")
    once = ("--set", "retry={max_attempts: 1}")
    [held] = json.loads(run("timer", "create", *fields, "--set", "collection=paused", "-o", "json").out)
    [failing] = json.loads(run("timer", "create", *fields, *once, "-o", "json").out)
    began = time.monotonic()
    moved = run("dev", "advance", "2h")
    assert moved.code == 0, moved.err
    assert time.monotonic() - began < CALLED_SECONDS
    assert f"{held['id']} waits: its collection or its route is paused" in moved.out
    [attempt] = json.loads(run("timer", "attempts", failing["id"], "-o", "json").out)
    assert attempt["http_status"] == 503
    [retried] = json.loads(run("timer", "create", *fields, "-o", "json").out)
    every = ("--set", "every=1h", "--set", f"timer.url={receiver}")
    assert run("schedule", "put", "hourly", *every).code == 0
    moved = run("dev", "advance", "3h")
    assert moved.code == 1, moved.err
    assert re.search(rf"{retried['id']} was not delivered in \d attempts; it is tried again later", moved.out)
    runs = json.loads(run("timer", "list", "--schedule", "hourly", "--status", "delivered", "-o", "json").out)
    assert len(runs) == 1
    _ends_with_all(dev, signal.SIGINT)


def _ends_with_all(dev: subprocess.Popen[str], number: signal.Signals) -> None:
    """Nobody is left behind."""
    started = _below(dev.pid)
    assert len(started) >= 5  # two of ours, the database server, the API and the controller
    dev.send_signal(number)
    assert dev.wait(60) == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    ends_at = time.monotonic() + 60
    while left := {pid for pid in started if Path(f"/proc/{pid}").exists()}:
        assert time.monotonic() < ends_at, left
        time.sleep(0.1)


def _below(pid: int) -> set[int]:
    """A process's children, and theirs."""
    found: set[int] = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found |= {child, *_below(child)}
    return found


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL], ids=lambda n: n.name)
def test_everything_ends_with_it(dev: subprocess.Popen[str], number: signal.Signals) -> None:
    """With its terminal closed, which is as SIGTERM, or killed; above, by Ctrl-C."""
    assert dev.stdout
    _until(dev.stdout, "dev advance")
    _ends_with_all(dev, number)


def test_what_is_left_after_an_advance_is_told(alone: Callable[..., Ran], tmp_path: Path) -> None:
    state = tmp_path / "state/timerctl/dev.json"
    state.parent.mkdir(parents=True)
    told = {
        "now": "2030-01-01T00:00:00+00:00",
        "retrying": [{"id": "a", "attempts": 2}],
        "uncalled": [{"id": "b", "attempts": 0}],
        "held": [{"id": "c", "attempts": 0}],
    }
    with scripted_server() as scripted:
        state.write_text(json.dumps({"control": f"{scripted.url}/advance"}))
        for left in (told, told | {"retrying": []}, told | {"retrying": [], "uncalled": []}):
            scripted.say(200, left)
        done, *others = [alone("dev", "advance", "1h", XDG_STATE_HOME=str(tmp_path / "state")) for _ in range(3)]
    assert done.out.splitlines() == [
        "it is 2030-01-01T00:00:00+00:00 now",
        "a was not delivered in 2 attempts; it is tried again later",
        "b was not called yet; its receiver may be in trouble",
        "c waits: its collection or its route is paused, or its route disabled",
    ]
    assert [each.code for each in (done, *others)] == [1, 1, 0]


@pytest.mark.parametrize("duration", ["", "soon", "2x", "-1h"])
def test_what_is_no_duration(alone: Callable[..., Ran], duration: str) -> None:
    done = alone("dev", "advance", "--", duration)
    assert (done.code, "it is no duration" in done.err) == (2, True)


def test_nothing_to_advance(alone: Callable[..., Ran]) -> None:
    done = alone("dev", "advance", "1h")
    assert (done.code, "no timerctl dev runs here" in done.err) == (2, True)
