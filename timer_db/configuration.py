"""What every program does first: read its settings: all faults at once, each in a line that names the variable.

A setting that is not shown (`repr=False`) is a secret. Instead of `TIMER_X`, the variable `TIMER_X_FILE` can name
a file that holds it, as container platforms hand secrets out.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

if TYPE_CHECKING:
    from timer_db.traces import Tracing

Settings = TypeVar("Settings", bound=BaseSettings)
EXIT_CODE = 2
_BACKLOG = 2048
"""Connections that wait to be accepted; the system's own limit may be lower."""
_FILE_BYTES_MAX = 65_536


def read_or_exit(kind: type[Settings]) -> Settings:
    """The settings from the environment, secrets from files too; or one line per fault on standard error, and
    exit code 2."""
    from_files, faults = _secrets_from_files(kind)
    try:
        settings = kind(**from_files)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = _variable(kind, ".".join(str(part) for part in fault["loc"]))
            faults.setdefault(name, fault["msg"])
    if faults:
        for name, message in faults.items():
            sys.stderr.write(f"setting {name}: {message}\n")
        sys.exit(EXIT_CODE)
    return settings


def listen_or_exit(setting: str, host: str, port: int) -> socket.socket:
    """The socket of a service, taken before all else, so that one whose port is in use changes nothing;
    or one line on standard error, and exit code 1."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # Python adds the address to some of them, and says what is wrong with a name in its own way.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        sys.stderr.write(f"setting {setting}: nothing can listen at {host} port {port}: {why}\n")
        sys.exit(1)


def tracing_or_exit(is_wanted: bool, service: str, version: str) -> Tracing | None:
    """What spans are made with; None when none are wanted; or one line on standard error, and exit code 2."""
    if not is_wanted:
        return None
    try:
        # Not at the top: it is an extra, and takes 20 MB.
        from timer_db.traces import Tracing
    except ImportError as error:
        sys.stderr.write(f"setting TIMER_TRACES: {error}; install timer-system[traces], or take it away\n")
        sys.exit(EXIT_CODE)
    return Tracing(service, version)


def secrets_of(kind: type[BaseSettings]) -> dict[str, str]:
    """The variable of each setting that is a secret, by its field."""
    return {name: _variable(kind, name) for name, field in kind.model_fields.items() if not field.repr}


def _variable(kind: type[BaseSettings], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _secrets_from_files(kind: type[BaseSettings]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the files hold, by field, and what is wrong, by variable. A variable that is empty is not set."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field, name in secrets_of(kind).items():
        path = environment.get(f"{name}_FILE", "")
        if path and environment.get(name):
            faults[name] = f"{name} and {name}_FILE are both set; take one of them away"
        elif path:
            try:
                found[field] = _secret_in(Path(path))
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                faults[name] = f"{name}_FILE names {path}, which cannot be used: {why}"
    return found, faults


def _secret_in(path: Path) -> str:
    """The text of the file without the line's end behind it. OSError or ValueError says why there is none."""
    with path.open("rb") as file:
        raw = file.read(_FILE_BYTES_MAX + 1)
    if len(raw) > _FILE_BYTES_MAX:
        raise ValueError(f"it has more than {_FILE_BYTES_MAX:,} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    if not text.strip():
        raise ValueError("it is empty")
    return text


def collect_garbage_rarely() -> None:
    """For a service that makes many short-lived objects and hardly a cycle: looking for cycles costs a burst an
    eighth of its Python (`docs/performance.md`). What is loaded by now lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
