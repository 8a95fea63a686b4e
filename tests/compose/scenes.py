"""What is done to the running system, and what must arrive all the same."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import Any

from commands import SmokeError, run, say
from system import System, http, id_of, wait_for


def check_exactly_once(system: System, path: str, ids: list[str]) -> None:
    calls = system.calls_to(path)
    if sorted(map(id_of, calls)) != sorted(ids):
        marked = sum(call["possible_duplicate"] for call in calls)
        raise SmokeError(
            f"/{path}: {len(calls)} calls for {len(ids)} timers, {marked} of them marked as possible repeats; "
            "want one for each"
        )


def check_repeats_are_marked(calls: list[dict[str, Any]]) -> int:
    """Of calls with one path each but the first says that it may be a repeat; gives how many there were."""
    unmarked: set[str] = set()
    for call in calls:
        if call["webhook_id"] != id_of(call):
            raise SmokeError(f"{call['path']} came with webhook-id {call['webhook_id']}")
        if not call["possible_duplicate"]:
            if call["path"] in unmarked:
                raise SmokeError(f"{call['path']} was called twice, and the second call does not say so")
            unmarked.add(call["path"])
    return len(calls) - len({call["path"] for call in calls})


def upgraded(system: System, version: str) -> None:
    """From the images before, with timers that wait, and some that fall due while the containers are exchanged."""
    before = schema_version(system)
    waiting = system.create("upgraded", 300, 40)
    system.upgrade(version)
    system.wait_until_at_work()
    after = schema_version(system)
    took = wait_for("all are called after the upgrade", lambda: len(system.called_ids("upgraded")) == 300, 120)
    check_exactly_once(system, "upgraded", waiting)
    say(f"upgraded from schema {before} to {after}: 300 timers that waited, 300 calls, one each ({took:.0f} s)")


def schema_version(system: System) -> str:
    return str(http("GET", f"{system.api_url}/doctor")["databases"][0]["schema_version"])


def calm(system: System) -> None:
    ids = system.create("calm", 300, 3)
    wait_for("300 timers are called", lambda: len(system.called_ids("calm")) == 300, 30)
    wait_for("they say so", lambda: all(system.status(i) == "delivered" for i in ids[::50]), 10)
    check_exactly_once(system, "calm", ids)
    say("calm: 300 timers, 300 calls, one each")


def scaled(system: System) -> None:
    """Up, while timers fall due, and down again."""
    ids = system.create("scaled", 900, 20)
    system.scale(api=3, controller=5)
    system.wait_until_at_work(apis=3, controllers=5)
    system.scale(api=1, controller=2)
    system.wait_until_at_work(apis=1, controllers=2)
    wait_for("900 timers are called", lambda: len(system.called_ids("scaled")) == 900, 60)
    check_exactly_once(system, "scaled", ids)
    peers = {call["peer"] for call in system.calls_to("scaled")}
    say(
        f"scaled to 3 APIs and 5 controllers, to 1 and 2: 900 timers, 900 calls, one each, from {len(peers)} hosts"
    )
    system.scale(api=2, controller=3)
    system.wait_until_at_work()


def database_restarted(system: System) -> None:
    ids = system.create("outage", 600, 20)
    system.compose("restart", "timer-db")
    took = wait_for("all are called after the restart", lambda: len(system.called_ids("outage")) == 600, 90)
    calls = system.calls_to("outage")
    repeats = check_repeats_are_marked(calls)
    if {id_of(call) for call in calls} != set(ids):
        raise SmokeError("/outage: other ids were called than were made")
    system.wait_until_at_work()
    say(f"database restarted: 600 timers called ({took:.0f} s), {repeats} marked repeats")


def api_killed(system: System) -> None:
    """One of two, while others create: the proxy goes on with the other one."""
    victim, *_ = system.containers("timer-api")
    run("docker", "kill", "--signal", "KILL", victim)
    began = time.monotonic()
    ids = []
    while len(ids) < 200:
        try:
            body = {"seconds": 1, "url": "http://receiver:9000/api-killed"}
            ids.append(str(http("POST", f"{system.api_url}/timers", body)["id"]))
        except (OSError, HTTPException):
            if time.monotonic() - began > 30:
                raise SmokeError("one API was killed, and the other does not answer through the proxy") from None
    wait_for("all are called", lambda: set(ids) <= system.called_ids("api-killed"), 30)
    # Killed by hand, Docker does not start it again.
    run("docker", "start", victim)
    system.wait_until_at_work()
    say(
        f"one of two APIs killed: 200 timers made through the other ({time.monotonic() - began:.0f} s), all called"
    )


def busy_controller(system: System, path: str) -> str:
    """The container of a controller that has calls to this path in flight, once there are enough of them."""
    wait_for("calls are in flight", lambda: len(system.called_ids(path)) >= 20, 30)
    peer = next(call["peer"] for call in system.calls_to(path))
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    for container in system.containers("timer-controller"):
        if peer in run("docker", "inspect", "-f", address, container).split():
            return container
    raise SmokeError(f"a call to /{path} came from {peer}, which is no controller of ours")


def controller_stopped(system: System) -> None:
    ids = system.create("slow-stop", 60, 1)
    # The time is the compose file's stop_grace_period, which docker stop does not know.
    stopped = busy_controller(system, "slow-stop")
    run("docker", "stop", "--time", "30", stopped)
    wait_for("the others go on", lambda: len(system.called_ids("slow-stop")) == 60, 30)
    wait_for("all are delivered", lambda: all(system.status(i) == "delivered" for i in ids), 30)
    check_exactly_once(system, "slow-stop", ids)
    run("docker", "start", stopped)
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
    calls = system.calls_to("slow")
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


def story(system: System) -> None:
    """What the log of the controllers says of all this: JSON, a line for each event, each with its place."""
    lines = system.compose("logs", "--no-color", "timer-controller").splitlines()
    texts = [line.partition("|")[2].strip() for line in lines if "|" in line]
    told = [json.loads(text) for text in texts if text.startswith("{")]
    plain = [text for text in texts if text and not text.startswith("{")]
    if plain:
        raise SmokeError(f"the controllers' log has lines that are no JSON, such as {plain[0]}")
    for words in ("joined as controller", "has left", "was silent", "taken over"):
        if not any(words in line["event"] for line in told):
            raise SmokeError(f"no line of the controllers' log says {words!r}")
    say(f"the controllers' log: {len(told)} lines, all JSON")
