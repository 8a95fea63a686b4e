"""What the parts of the smoke test share: running programs, and the one way to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class SmokeError(Exception):
    """Something that should hold does not; the message is the one line that is shown."""


def say(text: str) -> None:
    sys.stdout.write(f"smoke: {text}\n")
    sys.stdout.flush()


def run(*command: str, timeout_seconds: float = 120, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except FileNotFoundError:
        raise SmokeError(f"{command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise SmokeError(f"{' '.join(command)}: no end after {timeout_seconds:g} s") from None
    if done.returncode:
        raise SmokeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()
