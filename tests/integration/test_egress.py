"""A real controller whose name server lies to it: a process with an /etc/resolv.conf of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from tests.history import schedule_many, wait_for_states
from tests.sender.hostile import Bystander, Receiver, answer_all
from tests.sender.name_server import NameServer
from tests.system import Service, free_port
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.inspect import list_attempts
from timer_db.shards import Shards

PERMITTED = "127.0.0.2"
"""Stands for a public address: the only one that the controller may call."""
INSIDE = "127.0.0.1"
NAME_SERVER = "127.77.0.53"
NOT_PUBLIC = "is not a public address; TIMER_EGRESS_ALLOW can open its range"
TWICE = RetryPolicy(max_attempts=2, initial_seconds=0.1, factor=1.0, max_seconds=1.0, jitter=0.0)

# Only in the mount namespace that `unshare` made; the machine's own files are not touched.
_SCRIPT = """
mount --bind "$1" /etc/resolv.conf || exit 70
if [ -e /etc/nsswitch.conf ]; then mount --bind "$2" /etc/nsswitch.conf || exit 70; fi
shift 2
exec "$@"
"""
_UNSHARES = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))


class Apart:
    """Runs programs that look names up at `NAME_SERVER`."""

    def __init__(self, folder: Path) -> None:
        """Skips the test where this is not possible."""
        resolv, nsswitch = folder / "resolv.conf", folder / "nsswitch.conf"
        resolv.write_text(f"nameserver {NAME_SERVER}\noptions timeout:2 attempts:2\n")
        nsswitch.write_text("hosts: dns\n")
        if shutil.which("unshare") is None:
            pytest.skip("there is no unshare(1) here, so no process gets a resolv.conf of its own")
        refusal = ""
        for unshare in _UNSHARES:
            self._command = [*unshare, "sh", "-c", _SCRIPT, "sh", str(resolv), str(nsswitch)]
            tried = subprocess.run([*self._command, "true"], capture_output=True, text=True, check=False)
            if tried.returncode == 0:
                return
            refusal = tried.stderr.strip()
        pytest.skip(f"no mount namespace may be made here: {refusal}")

    def command(self, *program: str) -> Sequence[str]:
        return [*self._command, *program]


class ApartController(Service):
    """A controller in there."""

    def __init__(self, apart: Apart, environment: dict[str, str], log: Path, port: int) -> None:
        super().__init__("timer_controller", environment, log, port)
        self._apart = apart

    async def start(self, **extra: str) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self._apart.command(sys.executable, "-m", self.module),
                env={**os.environ, **self.environment, **extra}, stdout=output, stderr=output,
            )  # fmt: skip


@pytest.fixture
def names() -> Iterator[NameServer]:
    """Where the C library asks: at port 53."""
    try:
        server = NameServer(NAME_SERVER, 53)
    except OSError as error:
        pytest.skip(f"no name server can listen on {NAME_SERVER}:53 here: {error}")
    with server:
        yield server


@pytest_asyncio.fixture
async def controller(names: NameServer, database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Ready. One failed call would open a breaker."""
    port = free_port()
    environment = {
        "TIMER_DB_URL": database_url,
        "TIMER_CONTROLLER_PORT": str(port),
        "TIMER_EGRESS_ALLOW": PERMITTED,
        "TIMER_BREAKER_FAILURES": "1",
        "TIMER_POLL_SECONDS": "0.05",
    }
    made = ApartController(Apart(tmp_path), environment, tmp_path / "controller.log", port)
    await made.start()
    try:
        await made.wait_until(httpx.codes.OK)
        yield made
    finally:
        await made.kill()


async def test_no_answer_of_a_name_server_leads_a_controller_inside(
    names: NameServer, controller: Service, shards: Shards
) -> None:
    names.say("rebind.test", [PERMITTED], [INSIDE])
    names.say("mixed.test", [INSIDE, PERMITTED])
    names.say("dual.test", [PERMITTED, "::1"])
    names.say("moved.test", [INSIDE])
    names.say("six.test", ["::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
    names.say("alias.test", ["edge.test"])
    names.say("edge.test", ["inner.test"])
    names.say("inner.test", [INSIDE])
    names.say("cloud.test", ["169.254.169.254"])
    names.say("many.test", [f"127.0.4.{n}" for n in range(200)])
    # A reason tells one address of several: which one comes first, the C library decides.
    refused = {
        "moved.test": {f"{INSIDE} {NOT_PUBLIC}"},
        "six.test": {
            f"::1 {NOT_PUBLIC}",
            f"{INSIDE} {NOT_PUBLIC}",
            f"64:ff9b::7f00:1 leads to {INSIDE}, which {NOT_PUBLIC}",
        },
        "alias.test": {f"{INSIDE} {NOT_PUBLIC}"},
        "cloud.test": {
            "169.254.169.254 serves metadata (most clouds); only itself as a range in TIMER_EGRESS_ALLOW opens it"
        },
        "many.test": {f"127.0.4.{n} {NOT_PUBLIC}" for n in range(200)},
        "127.0.0.1": {f"{INSIDE} {NOT_PUBLIC}"},
    }
    called = ("rebind.test", "mixed.test", "dual.test")
    async with Receiver(answer_all, PERMITTED) as receiver:
        with ExitStack() as stack:
            inside = [stack.enter_context(Bystander(host, receiver.port)) for host in (INSIDE, "::1")]
            ids = {
                host: await schedule_many(shards, 3, f"http://{host}:{receiver.port}/", retry=TWICE)
                for host in (*called, *refused)
            }
            ids["port"] = await schedule_many(shards, 1, "http://rebind.test:6379/", retry=TWICE)
            wanted = {TimerState.delivered: 3 * len(called), TimerState.failed: 3 * len(refused) + 1}
            await wait_for_states(shards, wanted)
            assert all(listener.saw_nobody() for listener in inside)
    for host, reasons in refused.items():
        for timer_id in ids[host]:
            attempts = await list_attempts(shards, UUID(timer_id))
            assert [attempt.outcome for attempt in attempts] == [Outcome.not_sent] * 2
            # Two attempts each, and the breaker of none: it would say "not tried", or let them wait.
            assert {attempt.reason for attempt in attempts} <= reasons
    [first, second] = await list_attempts(shards, UUID(ids["port"][0]))
    assert first.reason == second.reason == "port 6379 is not called: it is one of TIMER_EGRESS_DENY_PORTS"
    assert names.asked["rebind.test", "A"] == 1, "kept for ten seconds"
    assert names.asked_over_tcp > 0
    assert "is not called for now" not in controller.log_text()
