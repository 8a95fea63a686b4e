"""`timerctl dev`, as a user tries two years in a minute."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.system import free_port
from timer_client.ctl.devserver import CALLED_SECONDS

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
    dev.send_signal(signal.SIGINT)
    assert dev.wait(60) == 0


@pytest.mark.parametrize("duration", ["", "soon", "2x", "-1h"])
def test_what_is_no_duration(alone: Callable[..., Ran], duration: str) -> None:
    done = alone("dev", "advance", "--", duration)
    assert (done.code, "it is no duration" in done.err) == (2, True)


def test_nothing_to_advance(alone: Callable[..., Ran]) -> None:
    done = alone("dev", "advance", "1h")
    assert (done.code, "no timerctl dev runs here" in done.err) == (2, True)
