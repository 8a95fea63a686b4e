"""The compose system of one run: started under a project name of its own, asked over HTTP, removed at the end."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

from commands import SmokeError, run

PROJECT = f"timer-smoke-{os.getpid()}"
RECEIVER_URL = "http://receiver:9000"
APIS, CONTROLLERS = 2, 3
PORTS = 20
"""For the containers of the API, of which each takes another one."""
FILES = ("docker-compose.yml", "deploy/compose/balanced.yml", "tests/compose/receiver.yml")


def wait_for(what: str, is_true: Callable[[], object], timeout_seconds: float) -> float:
    """Asks until it is true; returns the seconds that took. A service that does not answer is 'not true'."""
    started = time.monotonic()
    while True:
        try:
            if is_true():
                return time.monotonic() - started
        except (OSError, HTTPException, ValueError):
            pass
        if time.monotonic() - started > timeout_seconds:
            raise SmokeError(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(0.2)


def free_ports(count: int) -> int:
    """The first of so many in a row. Above them are those that the system gives to connections: one that is free
    now may not be a minute later, when another container wants it."""
    while True:
        first = random.randrange(20_000, 32_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


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
    """Two APIs behind the proxy, controllers, the database, and a receiver that remembers."""

    def __init__(self, version: str) -> None:
        proxy = free_ports(1 + PORTS)
        self.api_url = f"http://127.0.0.1:{proxy}"
        # The system as a newcomer has it: with no settings of this shell, and with none of a .env in the tree.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("TIMER_")}
        self.env |= {
            "TIMER_VERSION": version,
            "TIMER_PROXY_PORT": self.api_url.removeprefix("http://"),
            "TIMER_HTTP_PORT": f"127.0.0.1:{proxy + 1}-{proxy + PORTS}",
            "TIMER_CONTROLLERS": str(CONTROLLERS),
            "TIMER_APIS": str(APIS),
        }
        self.receiver_host_url = ""
        try:
            run("docker", "compose", "version")
            command = ["docker", "compose"]
        except SmokeError:
            command = ["docker-compose"]
        files = [word for file in FILES for word in ("-f", file)]
        self.command = [*command, "--env-file", ".env.example", "-p", PROJECT, *files]

    def compose(self, *arguments: str, timeout_seconds: float = 180) -> str:
        return run(*self.command, *arguments, timeout_seconds=timeout_seconds, env=self.env)

    def start(self) -> None:
        # A first start may build the images.
        self.compose("up", "-d", timeout_seconds=400)
        self.receiver_host_url = "http://" + self.compose("port", "receiver", "9000")
        wait_for("the receiver answers", lambda: self.calls() == [], 20)
        self.wait_until_at_work()

    def wait_until_at_work(self, apis: int = APIS, controllers: int = CONTROLLERS) -> None:
        """Until so many of both are there, and healthy."""
        for service, count in (("timer-api", apis), ("timer-controller", controllers)):
            wait_for(
                f"{count} of {service} are at work",
                lambda service=service, count=count: len(self.healthy(service)) == count,  # type: ignore[misc]
                90,
            )
        wait_for("the API answers through the proxy", lambda: http("GET", f"{self.api_url}/health/ready"), 30)

    def upgrade(self, version: str) -> None:
        """To the images of this version, as the documentation says: the schema first, then the services."""
        self.env["TIMER_VERSION"] = version
        self.compose("up", "-d", timeout_seconds=300)

    def scale(self, **counts: int) -> None:
        # --no-recreate: what runs is left alone, also when an image was built meanwhile.
        words = [word for name, count in counts.items() for word in ("--scale", f"timer-{name}={count}")]
        self.compose("up", "-d", "--no-recreate", *words)

    def containers(self, service: str, *filters: str) -> list[str]:
        """Those that run, without compose, which takes a second of a core to be asked."""
        of = (f"project={PROJECT}", f"service={service}", "oneoff=False")
        labels = [f"label=com.docker.compose.{label}" for label in of]
        words = [word for each in (*labels, *filters) for word in ("--filter", each)]
        return run("docker", "ps", "--quiet", "--no-trunc", *words).split()

    def healthy(self, service: str) -> list[str]:
        return self.containers(service, "health=healthy")

    def calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = http("GET", f"{self.receiver_host_url}/calls")
        return calls

    def calls_to(self, path: str) -> list[dict[str, Any]]:
        return [call for call in self.calls() if call["path"].startswith(f"/{path}/")]

    def called_ids(self, path: str) -> set[str]:
        return {id_of(call) for call in self.calls_to(path)}

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
                # A 502 or 503, a time-out, a lost connection, an answer that was cut: the same key again.
                except (OSError, HTTPException, ValueError):
                    self.refused += 1
                    self.stopped.wait(0.2)
            self.stopped.wait(0.05)
