"""Follows a timer as it goes from state to state."""

from __future__ import annotations

import sys
import time
from datetime import UTC

from rich.live import Live
from rich.text import Text

from timer_client.answers import Timer
from timer_client.client import Client
from timer_client.ctl.output import console, duration

LOOK_SECONDS = 0.25
"""How often it is looked at when something may happen; less often while it is far away."""
FAR_SECONDS = 5.0


def follow(client: Client, timer_id: str) -> Timer:
    """Tell each change until the timer has ended; gives it as it ended. On a terminal, a line counts down."""
    seen: tuple[str, int] | None = None
    is_terminal = sys.stdout.isatty()
    with Live(console=console(), auto_refresh=False, transient=True) as live:
        while True:
            timer = client.timers.get(timer_id)
            if (timer.status, timer.attempts) != seen:
                told = client.timers.attempts(timer_id)[seen[1] if seen else 0 :] if timer.attempts else ()
                for attempt in told:
                    _say(live, f"attempt {attempt.number}: {attempt.outcome}: {attempt.reason}", is_terminal)
                _say(live, _in_words(timer), is_terminal)
                seen = (timer.status, timer.attempts)
            if timer.has_ended:
                return timer
            if is_terminal:
                live.update(Text(f"{timer.status}, {_wait(timer)}"), refresh=True)
            time.sleep(LOOK_SECONDS if timer.time_left.total_seconds() < FAR_SECONDS else 1.0)


def _in_words(timer: Timer) -> str:
    name = f" {timer.name}" if timer.name else ""
    if timer.status == "scheduled":
        return f"{timer.id}{name}: scheduled, {_wait(timer)}"
    return f"{timer.id}{name}: {timer.status}"


def _wait(timer: Timer) -> str:
    # By the service's clock, which may be another than ours.
    if timer.attempts and timer.next_attempt_at:
        return f"next attempt at {timer.next_attempt_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return f"due in {duration(timer.time_left)}"


def _say(live: Live, line: str, is_terminal: bool) -> None:
    if is_terminal:
        live.console.print(Text(line))
    else:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
