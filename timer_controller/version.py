"""Which version this is."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("timer-system")
USER_AGENT = f"timer-system/{VERSION}"
