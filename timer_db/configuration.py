"""What every program does first: read its settings (all faults at once, each in a line that names the
variable), and set up its log."""

from __future__ import annotations

import gc
import logging
import sys
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

Settings = TypeVar("Settings", bound=BaseSettings)
EXIT_CODE = 2


def read_or_exit(kind: type[Settings]) -> Settings:
    """The settings from the environment; or one line per fault on standard error, and exit code 2."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        for fault in error.errors(include_input=False, include_url=False):
            name = prefix + ".".join(str(part) for part in fault["loc"])
            sys.stderr.write(f"setting {name.upper()}: {fault['msg']}\n")
        sys.exit(EXIT_CODE)


def log_to_stderr(level: str) -> None:
    """The same lines from every program; libraries that tell of each step are kept short."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in ("alembic", "httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def collect_garbage_rarely() -> None:
    """For a service that makes many short-lived objects and hardly a cycle: looking for cycles costs a burst an
    eighth of its Python (`docs/performance.md`). What is loaded by now lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
