"""`python -m timer_api`: the REST service until SIGTERM or Ctrl-C, then an orderly end.

Ends with 0 when it was told to stop, 1 when it could not do its work, 2 when its settings are wrong.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from importlib import metadata

import uvicorn

from timer_api.app import create_app
from timer_api.http_bounds import bounded
from timer_api.settings import ApiSettings
from timer_db.configuration import collect_garbage_rarely, listen_or_exit, read_or_exit, tracing_or_exit
from timer_db.logs import log_to_stderr

_KEEP_ALIVE_SECONDS = 75


def main() -> int:
    """Run the service; gives the exit code."""
    settings = read_or_exit(ApiSettings)
    log_to_stderr(settings.log_level, "timer_api", settings.log_format)
    return _serve(settings, listen_or_exit("TIMER_API_PORT", settings.api_host, settings.api_port))


def _serve(settings: ApiSettings, listening: socket.socket) -> int:
    failures: list[str] = []

    def on_fatal(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    tracing = tracing_or_exit(settings.traces, "timer-api", metadata.version("timer-system"))
    app = create_app(settings, on_fatal, tracing=tracing)
    server = _Server(
        app.console.streams.end,
        uvicorn.Config(
            app,
            loop="uvloop",
            http=bounded(settings.api_request_seconds),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=settings.api_access_log,
            server_header=False,
            # No one looks at a client's address, and each look costs.
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.api_stop_seconds,
        ),
    )
    # uvicorn raises the signal that stopped it once more at the end; that end is a good one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    collect_garbage_rarely()
    server.run([listening])
    if tracing is not None:
        tracing.close()
    for reason in failures:
        sys.stderr.write(f"timer_api: {reason}\n")
    return 1 if failures else 0


class _Server(uvicorn.Server):
    """Ends what would go on for ever before it waits for the rest."""

    def __init__(self, end_streams: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As in uvicorn's Server."""
        self._end_streams()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(main())
