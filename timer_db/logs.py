"""The log of every program, on standard error: one JSON object per line, or text for people.

JSON: `time` (RFC 3339, UTC, milliseconds), `level`, `logger`, `service`, `pid`, `event` (the text), `exception` (a
traceback), and the fields of that event, such as `timer_id`. The text says all that the fields say.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
import structlog

LINES_PER_SECOND_MAX = 10
"""Of one kind of event. What is more is counted, and the count is a line of its own."""

Fields = MutableMapping[str, Any]
# A server that refuses a statement quotes a piece of it, or a value, and those are what clients keep here.
_QUOTED = re.compile(r"""(?<=near )'.*?'(?= at line)|(?<=value: )'.*?'(?= for |"|$)|x'[0-9a-f]{8,}'?""", re.DOTALL)
# What could move a terminal's cursor or begin a line: controls, and what Unicode has to end a line or turn it.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNLIMITED = ("uvicorn.access",)  # whoever turns it on wants each request


def log_to_stderr(level: str, service: str, log_format: str = "auto") -> None:
    """The same lines from every program, also about what nobody caught; libraries that tell of each step are kept
    short. `log_format`: auto (text on a terminal, else JSON), json or text."""
    is_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = BoundedHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.ExtraAdder(),
                _origin(service),
                structlog.processors.format_exc_info,
                _hide_values,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _text if is_text else _json],
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    for name in ("alembic", "httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


class BoundedHandler(logging.StreamHandler[Any]):
    """Writes at most LINES_PER_SECOND_MAX lines a second of one kind of event, and how many more there were.

    A kind is a logger and the text of an event without its values. Debugging is not bounded.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._seen: dict[tuple[str, object], int] = {}
        self._first: dict[tuple[str, object], logging.LogRecord] = {}
        self._window: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        if record.levelno <= logging.DEBUG or record.name in _UNLIMITED:
            super().emit(record)
            return
        if self._window is None:
            self._window = threading.Timer(1.0, self._end_window)
            self._window.daemon = True
            self._window.start()
        kind = (record.name, record.msg)
        self._seen[kind] = seen = self._seen.get(kind, 0) + 1
        if seen <= LINES_PER_SECOND_MAX:
            super().emit(record)
        else:
            self._first.setdefault(kind, record)

    def close(self) -> None:
        """Tells what was not told yet."""
        if self._window is not None:
            self._window.cancel()
            self._end_window()
        super().close()

    def _end_window(self) -> None:
        assert self.lock
        with self.lock:
            for kind, first in self._first.items():
                left_out = self._seen[kind] - LINES_PER_SECOND_MAX
                more = logging.makeLogRecord(
                    {
                        "name": first.name,
                        "levelno": first.levelno,
                        "levelname": first.levelname,
                        "msg": "%d more of: %s",
                        "args": (left_out, first.msg),
                        "left_out": left_out,
                    }
                )
                super().emit(more)
            self._seen.clear()
            self._first.clear()
            self._window = None


def _origin(service: str) -> Callable[[Any, str, Fields], Fields]:
    def add(_: Any, __: str, fields: Fields) -> Fields:
        record: logging.LogRecord = fields["_record"]
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields["time"] = f"{when.removesuffix('+00:00')}Z"
        fields.update(level=record.levelname.lower(), logger=record.name, service=service, pid=os.getpid())
        return fields

    return add


def _hide_values(_: Any, __: str, fields: Fields) -> Fields:
    """Shows no values of statements, whoever quotes them."""
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = _QUOTED.sub("'…'", value)
    return fields


_ORDER = ("time", "level", "logger", "service", "pid", "event")


def _json(_: Any, __: str, fields: Mapping[str, Any]) -> str:
    ordered = {**{name: fields[name] for name in _ORDER}, **fields}
    # A lone half of a surrogate pair is no UTF-8.
    clean = {k: v.encode(errors="replace").decode() if isinstance(v, str) else v for k, v in ordered.items()}
    return orjson.dumps(clean, default=str).decode()


def _text(_: Any, __: str, fields: Mapping[str, Any]) -> str:
    """One line; the lines of a traceback are set in, so that none of them can pass for another event."""
    head = f"{fields['time']} {fields['level'].upper()} {fields['logger']}: {_escaped(str(fields['event']))}"
    trace = str(fields.get("exception", "")).split("\n") if "exception" in fields else []
    return "\n".join([head, *(f"  | {_escaped(line)}" for line in trace)])


def _escaped(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("timer").critical("ended by a fault", exc_info=(kind, error, trace))
