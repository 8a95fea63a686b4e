"""Runs the compose system under a project name of its own, breaks it, and checks what arrives.

    python3 tests/compose/smoke.py

It needs docker, docker compose (or docker-compose 1.29) and the images (bash .cicd/.cicd.sh), and nothing but
Python's own library. It ends within ten minutes, with 0 when everything held, and removes what it started.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from commands import SmokeError, run, say
from confinement import check_confinement

PROJECT = f"timer-smoke-{os.getpid()}"
RECEIVER_URL = "http://receiver:9000"
LIMIT_SECONDS = 540


def wait_for(what: str, is_true: Callable[[], object], timeout_seconds: float) -> float:
    """Asks until it is true; returns the seconds that took. A service that does not answer is 'not true'."""
    started = time.monotonic()
    while True:
        try:
            if is_true():
                return time.monotonic() - started
        except (OSError, ValueError):
            pass
        if time.monotonic() - started > timeout_seconds:
            raise SmokeError(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def http(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=15) as answer:
        content = answer.read()
    return json.loads(content) if content[:1] in (b"{", b"[") else content


class System:
    """The compose system of this run, its API and its receiver."""

    def __init__(self) -> None:
        self.api_url = f"http://127.0.0.1:{free_port()}"
        # The system as a newcomer has it: with no settings of this shell, and with none of a .env in the tree.
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TIMER_") or name == "TIMER_VERSION"
        }
        self.env["TIMER_HTTP_PORT"] = self.api_url.removeprefix("http://")
        self.receiver_host_url = ""
        try:
            run("docker", "compose", "version")
            command = ["docker", "compose"]
        except SmokeError:
            command = ["docker-compose"]
        files = ["-f", "docker-compose.yml", "-f", "tests/compose/receiver.yml"]
        self.command = [*command, "--env-file", ".env.example", "-p", PROJECT, *files]

    def compose(self, *arguments: str, timeout_seconds: float = 180) -> str:
        return run(*self.command, *arguments, timeout_seconds=timeout_seconds, env=self.env)

    def start(self) -> None:
        # A first start may build the images.
        self.compose("up", "-d", timeout_seconds=400)
        self.receiver_host_url = "http://" + self.compose("port", "receiver", "9000")
        wait_for("the API is ready", lambda: http("GET", f"{self.api_url}/health/ready"), 60)
        wait_for("the receiver answers", lambda: self.calls() == [], 20)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = http("GET", f"{self.receiver_host_url}/calls")
        return calls

    def called_ids(self, path: str) -> set[str]:
        return {id_of(call) for call in self.calls() if call["path"].startswith(f"/{path}/")}

    def status(self, timer_id: str) -> str:
        return str(http("GET", f"{self.api_url}/timers/{timer_id}")["status"])

    def create(self, path: str, count: int, spread_seconds: int, **fields: object) -> list[str]:
        """Creates `count` timers that fall due within `spread_seconds`; returns their ids."""
        fields["url"] = f"{RECEIVER_URL}/{path}"
        timers = [{"seconds": 1 + n % spread_seconds, **fields} for n in range(count)]
        with ThreadPoolExecutor(16) as clients:
            made = clients.map(lambda timer: http("POST", f"{self.api_url}/timers", timer), timers)
            return [str(timer["id"]) for timer in made]


def id_of(call: dict[str, Any]) -> str:
    return str(call["path"]).rsplit("/", 1)[1]


class Creator(threading.Thread):
    """Goes on creating timers, one by one, whatever happens to the system; `ids` are those answered 2xx."""

    def __init__(self, api_url: str) -> None:
        super().__init__(daemon=True)
        self.api_url = api_url
        self.ids: list[str] = []
        self.refused = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            key = {"Idempotency-Key": str(uuid.uuid4())}
            while not self.stopped.is_set():
                try:
                    body = {"seconds": 1, "url": f"{RECEIVER_URL}/steady"}
                    self.ids.append(http("POST", f"{self.api_url}/timers", body, key)["id"])
                    break
                except OSError:  # a 503, a time-out or a lost connection: the same key again
                    self.refused += 1
                    self.stopped.wait(0.2)
            self.stopped.wait(0.05)


def check_exactly_once(system: System, path: str, ids: list[str]) -> None:
    calls = [call for call in system.calls() if call["path"].startswith(f"/{path}/")]
    if sorted(map(id_of, calls)) != sorted(ids):
        marked = sum(call["possible_duplicate"] for call in calls)
        raise SmokeError(
            f"/{path}: {len(calls)} calls for {len(ids)} timers, {marked} of them marked as possible repeats; "
            "want one for each"
        )


def check_repeats_are_marked(calls: list[dict[str, Any]]) -> int:
    """Every call carries its id, and a timer's calls but one say that they may be repeats; counts those."""
    unmarked: set[str] = set()
    for call in calls:
        if call["webhook_id"] != id_of(call):
            raise SmokeError(f"{call['path']} came with webhook-id {call['webhook_id']}")
        if not call["possible_duplicate"]:
            if call["path"] in unmarked:
                raise SmokeError(f"{call['path']} was called twice, and the second call does not say so")
            unmarked.add(call["path"])
    return len(calls) - len({call["path"] for call in calls})


def say_memory(system: System) -> None:
    """What each container uses at the end, for whoever sets the limits."""
    for service in ("timer-api", "timer-controller", "timer-db"):
        for container in system.containers(service):
            used = run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", container)
            say(f"memory of {service}: {used}")


def calm(system: System) -> None:
    ids = system.create("calm", 300, 3)
    wait_for("300 timers are called", lambda: len(system.called_ids("calm")) == 300, 30)
    wait_for("they say so", lambda: all(system.status(i) == "delivered" for i in ids[::50]), 10)
    check_exactly_once(system, "calm", ids)
    say("calm: 300 timers, 300 calls, one each")


def scaled(system: System) -> None:
    # --no-recreate: what runs is left alone, also when an image was built meanwhile.
    system.compose("up", "-d", "--no-recreate", "--scale", "timer-controller=3")
    wait_for("three controllers are at work", lambda: len(working_controllers(system)) == 3, 60)
    ids = system.create("scaled", 900, 3)
    wait_for("900 timers are called", lambda: len(system.called_ids("scaled")) == 900, 60)
    check_exactly_once(system, "scaled", ids)
    peers = {call["peer"] for call in system.calls() if call["path"].startswith("/scaled/")}
    say(f"three controllers: 900 timers, 900 calls, one each, from {len(peers)} of them")


def working_controllers(system: System) -> list[str]:
    health = [
        run("docker", "inspect", "-f", "{{.State.Health.Status}}", container)
        for container in system.containers("timer-controller")
    ]
    return [status for status in health if status == "healthy"]


def database_restarted(system: System) -> None:
    ids = system.create("outage", 600, 20)
    system.compose("restart", "timer-db")
    took = wait_for("all are called after the restart", lambda: len(system.called_ids("outage")) == 600, 90)
    calls = [call for call in system.calls() if call["path"].startswith("/outage/")]
    repeats = check_repeats_are_marked(calls)
    if {id_of(call) for call in calls} != set(ids):
        raise SmokeError("/outage: other ids were called than were made")
    say(f"database restarted: 600 timers called ({took:.0f} s), {repeats} marked repeats")


def busy_controller(system: System, path: str) -> str:
    """The container of a controller that has calls to this path in flight, once there are enough of them."""
    wait_for("calls are in flight", lambda: len(system.called_ids(path)) >= 20, 30)
    peer = next(call["peer"] for call in system.calls() if call["path"].startswith(f"/{path}/"))
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    for container in system.containers("timer-controller"):
        if peer in run("docker", "inspect", "-f", address, container).split():
            return container
    raise SmokeError(f"a call to /{path} came from {peer}, which is no controller of ours")


def controller_stopped(system: System) -> None:
    ids = system.create("slow-stop", 60, 1)
    # The time is the compose file's stop_grace_period, which docker stop does not know.
    run("docker", "stop", "--time", "30", busy_controller(system, "slow-stop"))
    wait_for("the others go on", lambda: len(system.called_ids("slow-stop")) == 60, 30)
    wait_for("all are delivered", lambda: all(system.status(i) == "delivered" for i in ids), 30)
    check_exactly_once(system, "slow-stop", ids)
    say("controller stopped while it had calls in flight: 60 timers, 60 calls, one each")


def controller_killed(system: System) -> None:
    """SIGKILL for the one that has calls in flight."""
    at_least_once = system.create("slow", 60, 1)
    at_most_once = system.create("slow", 60, 1, on_unknown="fail")
    run("docker", "kill", "--signal", "KILL", busy_controller(system, "slow"))
    took = wait_for(
        "the others take over what the killed one held",
        lambda: (
            set(at_least_once) <= system.called_ids("slow")
            and all(system.status(i) not in ("scheduled", "firing") for i in at_least_once + at_most_once)
        ),
        90,
    )
    calls = [call for call in system.calls() if call["path"].startswith("/slow/")]
    repeats = check_repeats_are_marked(calls)
    once = [id_of(call) for call in calls if id_of(call) in set(at_most_once)]
    if len(once) != len(set(once)):
        raise SmokeError("a timer with on_unknown=fail was called twice")
    undelivered = [i for i in at_least_once if system.status(i) != "delivered"]
    if undelivered:
        raise SmokeError(f"{len(undelivered)} timers were not delivered, the first is {undelivered[0]}")
    say(
        f"controller killed: taken over ({took:.0f} s), {repeats} marked repeats; "
        f"{len(once)} of 60 called of those that allow no repeat"
    )


def give_up(signal_number: int, _: object) -> None:
    """Ends the run where it stands, but in order: what was started is removed."""
    late = signal_number == signal.SIGALRM
    raise SmokeError(f"not done after {LIMIT_SECONDS} s" if late else "told to stop")


@contextmanager
def running_system() -> Iterator[System]:
    system = System()
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


def main() -> int:
    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, give_up)
    signal.alarm(LIMIT_SECONDS)
    try:
        with running_system() as system:
            say(f"project {PROJECT} is up at {system.api_url}")
            if b"swagger" not in http("GET", f"{system.api_url}/docs").lower():
                raise SmokeError("no Swagger UI at /docs")
            check_confinement(system.containers)
            calm(system)
            creator = Creator(system.api_url)
            creator.start()
            scaled(system)
            database_restarted(system)
            controller_stopped(system)
            controller_killed(system)
            creator.stopped.set()
            creator.join(timeout=20)
            made = set(creator.ids)
            wait_for("all timers made meanwhile are called", lambda: made <= system.called_ids("steady"), 60)
            steady = [call for call in system.calls() if call["path"].startswith("/steady/")]
            repeats = check_repeats_are_marked(steady)
            say_memory(system)
            say(f"meanwhile: {len(made)} made singly, {repeats} marked repeats, {creator.refused} refusals")
    except (SmokeError, urllib.error.URLError, TimeoutError) as fault:
        say(f"FAILED: {fault}")
        return 1
    say("ok: everything arrived")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
