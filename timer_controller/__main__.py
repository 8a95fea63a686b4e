"""`python -m timer_controller`: claims due timers and delivers them."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvloop

from timer_controller.egress import EgressGuard, parse_ports
from timer_controller.health import serve_health
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.protocol import Sender
from timer_controller.service import Controller
from timer_controller.settings import ControllerSettings
from timer_controller.version import VERSION
from timer_db.configuration import collect_garbage_rarely, listen_or_exit, read_or_exit, tracing_or_exit
from timer_db.domain.address_ranges import parse_ranges
from timer_db.domain.errors import DatabaseError
from timer_db.logs import log_to_stderr

if TYPE_CHECKING:
    from timer_controller.traces import Traces


def main() -> int:
    """The exit code: 0 after an orderly stop, 1 when the database or the port cannot be used."""
    settings = read_or_exit(ControllerSettings)
    log_to_stderr(settings.log_level, "timer_controller", settings.log_format)
    tracing = tracing_or_exit(settings.traces, "timer-controller", VERSION)
    traces = None
    if tracing is not None:
        from timer_controller.traces import Traces

        traces = Traces(tracing)
    listening = None
    if port := settings.controller_port:
        listening = listen_or_exit("TIMER_CONTROLLER_PORT", settings.controller_host, port)
    collect_garbage_rarely()
    _open_as_many_as_allowed()
    try:
        return uvloop.run(_run(settings, listening, traces))
    except DatabaseError as error:
        sys.stderr.write(f"timer_controller: {error}\n")
        return 1
    finally:
        if traces is not None:
            traces.close()


def _open_as_many_as_allowed() -> None:
    """A connection is an open file, and the usual limit, 1,024, is less than the calls that there may be. Many
    systems allow more to who asks."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _sender(settings: ControllerSettings) -> Sender:
    guard = EgressGuard(parse_ranges(settings.egress_allow), parse_ports(settings.egress_deny_ports))
    if settings.egress_proxy:
        # Only here: it brings a client library of 6 MB with it.
        from timer_controller.sender.general import HttpxSender

        return HttpxSender(guard=guard, proxy=settings.egress_proxy, max_connections=settings.calls_max)
    return Http1Sender(guard=guard, max_connections_per_destination=settings.calls_max)


async def _run(settings: ControllerSettings, listening: socket.socket | None, traces: Traces | None) -> int:
    controller = Controller(settings, _sender(settings), traces)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, controller.stop)
    async with serve_health(controller, listening):
        await controller.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
