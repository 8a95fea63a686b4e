"""`timerctl dev`: the whole system on this machine, to try things out, with a clock that can be moved forward."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import httpx
import typer

from timer_client.ctl.devserver import CONTROL_PATH, DevServer, check_services
from timer_client.ctl.durations import seconds_of
from timer_client.ctl.faketime import MovableClock, find_library
from timer_client.ctl.faults import Exit, Fault

app = typer.Typer(
    invoke_without_command=True,
    help="Run the whole system here, with a receiver that prints what arrives and a clock that can be moved.",
)
_LOOK_SECONDS = 0.2


@app.callback()
def dev(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Of the API.")] = 8000,
    receiver_port: Annotated[int, typer.Option(help="Of the receiver; 0 takes a free one.")] = 9000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keeps the data; without it they go with the program.")
    ] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Print the headers of what arrives too.")] = False,
) -> None:
    """Run the whole system here, with a receiver that prints what arrives and a clock that can be moved."""
    if context.invoked_subcommand is not None:
        return
    check_services()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Who started it with nohup wants it to outlive the terminal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        folder = _run(data_dir, port, receiver_port, shows_headers=headers)
    except KeyboardInterrupt:
        return
    raise Fault(f"a part of the system has ended; its log is in {folder}")


def _run(data_dir: Path | None, port: int, receiver_port: int, *, shows_headers: bool) -> Path:
    """Until a part of the system has ended; gives where its log is."""
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="timerctl-dev-")))
        folder.mkdir(parents=True, exist_ok=True)
        clock = MovableClock(find_library(_cache()), folder / "clock")
        try:
            server = DevServer(folder, port, receiver_port, clock, _say, shows_headers=shows_headers)
        except OSError as error:
            raise Fault(f"--receiver-port {receiver_port}: {error.strerror}") from None
        stack.enter_context(server.running())
        _state().parent.mkdir(parents=True, exist_ok=True)
        _state().write_text(json.dumps({"control": server.receiver_url + CONTROL_PATH, "url": server.url}))
        stack.callback(_state().unlink, missing_ok=True)
        _say(f"ready: {server.url}/docs")
        _say(f"what is called at {server.receiver_url}/… is printed here; in a second terminal:")
        _say(f"  timerctl --url {server.url} timer create --set delay=1h --set url={server.receiver_url}/hook")
        _say("  timerctl dev advance 1h")
        while server.is_alive():
            time.sleep(_LOOK_SECONDS)
        return folder


def _interrupt(_number: int, _frame: object) -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


@app.command()
def advance(duration: Annotated[str, typer.Argument(help="How far: 90, 2h, 1d12h, 104w.")]) -> None:
    """Move the clock of the running `timerctl dev` forward; over when everything that fell due was called."""
    seconds = seconds_of(duration)
    try:
        control = json.loads(_state().read_text())["control"]
        answer = httpx.post(control, json={"seconds": seconds}, timeout=None, trust_env=False)
    except (FileNotFoundError, httpx.TransportError):
        raise Fault("no timerctl dev runs here: start it in another terminal") from None
    answer.raise_for_status()
    told = answer.json()
    sys.stdout.write(f"it is {told['now']} now\n")
    for timer in told["retrying"]:
        sys.stdout.write(
            f"{timer['id']} was not delivered in {timer['attempts']} attempts; it is tried again later\n"
        )
    for timer in told["uncalled"]:
        sys.stdout.write(f"{timer['id']} was not called yet; its receiver may be in trouble\n")
    for timer in told["held"]:
        sys.stdout.write(f"{timer['id']} waits: its collection or its route is paused, or its route disabled\n")
    if told["retrying"] or told["uncalled"]:
        raise typer.Exit(Exit.failed)


def _say(line: str) -> None:
    # The terminal may be closed; what runs goes on to its end in order.
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _home(variable: str, usual: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / usual) / "timerctl"


def _cache() -> Path:
    return _home("XDG_CACHE_HOME", ".cache") / "faketime"


def _state() -> Path:
    return _home("XDG_STATE_HOME", ".local/state") / "dev.json"
