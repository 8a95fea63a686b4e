"""Runs the compose system under a project name of its own, upgrades it, breaks it, and checks what arrives.

    python3 tests/compose/smoke.py [--from TAG] [--to TAG]

It needs docker, docker compose (or docker-compose 1.29) and the images, which `make deployment` makes, and nothing
but Python's own library. It ends within fifteen minutes, with 0 when everything held, and removes what it started.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import scenes
from commands import SmokeError, run, say
from confinement import check_confinement
from system import PROJECT, Creator, System, http, wait_for

LIMIT_SECONDS = 840
PREVIOUS = "previous"
"""The tag of the version before, where its images were made."""


def say_memory(system: System) -> None:
    """What each container uses at the end, for whoever sets the limits."""
    services = ("timer-api", "timer-controller", "timer-db", "proxy")
    containers = [container for service in services for container in system.containers(service)]
    form = "{{.Name}}: {{.MemUsage}}"
    for used in run("docker", "stats", "--no-stream", "--format", form, *containers).splitlines():
        say(f"memory of {used.removeprefix(PROJECT)[1:]}")


def has_images(tag: str) -> bool:
    return bool(run("docker", "image", "ls", "--quiet", f"timer_api:{tag}"))


def give_up(signal_number: int, _: object) -> None:
    """Ends the run where it stands, but in order: what was started is removed."""
    raise SmokeError(f"not done after {LIMIT_SECONDS} s" if signal_number == signal.SIGALRM else "told to stop")


@contextmanager
def running_system(version: str) -> Iterator[System]:
    system = System(version)
    try:
        system.start()
        yield system
    except SmokeError:
        logs = system.compose("logs", "--tail", "30")
        sys.stderr.write(logs + "\n")
        raise
    finally:
        signal.alarm(0)
        system.compose("down", "--volumes", "--remove-orphans", "--timeout", "40")


def play(system: System, before: str | None, version: str) -> None:
    """Every scene, while timers are made without a pause."""
    say(f"project {PROJECT} is up at {system.api_url}")
    creator = Creator(system.api_url)
    creator.start()
    if before is not None:
        scenes.upgraded(system, version)
    if b"swagger" not in http("GET", f"{system.api_url}/docs").lower():
        raise SmokeError("no Swagger UI at /docs")
    check_confinement(system.containers)
    scenes.calm(system)
    scenes.scaled(system)
    scenes.database_restarted(system)
    scenes.api_killed(system)
    scenes.controller_stopped(system)
    scenes.controller_killed(system)
    if not creator.is_alive():
        raise SmokeError("whoever made timers all the time has ended by a fault of its own")
    creator.stopped.set()
    creator.join(timeout=20)
    made = set(creator.ids)
    wait_for("all timers made meanwhile are called", lambda: made <= system.called_ids("steady"), 60)
    repeats = scenes.check_repeats_are_marked(system.calls_to("steady"))
    scenes.story(system)
    say_memory(system)
    say(f"meanwhile: {len(made)} made singly, {repeats} marked repeats, {creator.refused} refusals")


def main() -> int:
    parser = argparse.ArgumentParser(description="break the compose system, and see whether all is called")
    parser.add_argument(
        "--from",
        dest="before",
        help=f"the tag of earlier images, from which to upgrade (default: {PREVIOUS}, if any)",
    )
    parser.add_argument("--to", dest="version", default="latest", help="the tag of the images that are tried")
    options = parser.parse_args()
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, give_up)
    signal.alarm(LIMIT_SECONDS)
    try:
        before = options.before or (PREVIOUS if has_images(PREVIOUS) else None)
        with running_system(before or options.version) as system:
            play(system, before, options.version)
    except (SmokeError, OSError, HTTPException) as fault:
        say(f"FAILED: {fault}")
        return 1
    say("ok: everything arrived")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
