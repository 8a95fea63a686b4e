"""The commands of the page about Kubernetes, typed as they stand, with the stand-in of a cluster before them: what
they would store there is what the manifests ask for and what our programs take."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.test_kubernetes import FOLDER, LIST, PODS
from tests.docs.pages import ROOT, blocks, section
from tests.docs.reader import Reader
from tests.system import System
from timer_db.settings import DatabaseSettings

PAGE = (ROOT / "docs/kubernetes.md").read_text()
STAND_IN = """#!/bin/sh
# A line for each call, its words apart; what is meant for a pod runs here.
printf '%s\\037' "$@" >>"$0.calls" && echo >>"$0.calls"
case " $* " in
    *" exec "*) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
    *" -f - "*) cat >"$0.applied" ;;
esac
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="secrets for Kubernetes were NOT made: there is no openssl"
)


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    program = tmp_path / "kubectl"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return program


def _calls(kubectl: Path) -> list[list[str]]:
    lines = Path(f"{kubectl}.calls").read_text().splitlines()
    return [line.removesuffix("\x1f").split("\x1f") for line in lines]


def _secret(kubectl: Path, name: str) -> dict[str, str]:
    """What was given for it."""
    [call] = [call for call in _calls(kubectl) if call[2:6] == ["create", "secret", "generic", name]]
    literals = [word.removeprefix("--from-literal=").partition("=") for word in call[6:]]
    return {key: value for key, _, value in literals}


def _asked_for() -> Iterator[tuple[str, str]]:
    """Secret and key of each file that a pod gets."""
    for _, pod, _ in PODS:
        secrets: list[dict[str, Any]] = [each["secret"] for each in pod["volumes"] if "secret" in each]
        yield from ((secret["secretName"], item["key"]) for secret in secrets for item in secret["items"])


async def test_its_secrets_are_those_that_pods_and_prometheus_read(
    system: System, database_url: str, kubectl: Path
) -> None:
    reader = Reader(bin_folders=[kubectl.parent])
    [start] = blocks(section(PAGE, "Start"))
    await reader.run(start.text)
    given = _secret(kubectl, "timer")
    assert set(_asked_for()) == {("timer", key) for key in given}
    assert DatabaseSettings(db_url=given["db_url"]).db_urls == [given["db_url"]]

    key_for_metrics = blocks(section(PAGE, "Prometheus"))[0].text
    await reader.run(key_for_metrics, TIMER_DB_URL=database_url)
    [key] = _secret(kubectl, "timer-metrics").values()
    api = await system.start_api(api_keys=given["api_keys"])
    for shown, status in (
        (key, httpx.codes.OK),
        (given["api_keys"], httpx.codes.OK),
        ("x", httpx.codes.UNAUTHORIZED),
    ):
        answer = await api.client.get("/metrics", headers={"Authorization": f"Bearer {shown}"})
        assert answer.status_code == status
    refused = await api.client.post("/timers", json={}, headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == httpx.codes.FORBIDDEN


async def test_every_block_runs_and_speaks_of_one_namespace(kubectl: Path, database_url: str) -> None:
    reader = Reader(bin_folders=[kubectl.parent])
    for block in blocks(PAGE):
        await reader.run(block.text, TIMER_DB_URL=database_url)
    calls = _calls(kubectl)
    folders = [call[2] for call in calls if call[:2] == ["apply", "-k"]]
    assert [ROOT / folder for folder in folders] == [FOLDER, FOLDER]
    assert ["create", "namespace", LIST["namespace"]] in calls
    # A folder says itself which namespace it is for, and that one has to be made.
    others = [call for call in calls if call[0] != "apply" and call[:2] != ["create", "namespace"]]
    assert {tuple(call[:2]) for call in others} == {("-n", LIST["namespace"])}
