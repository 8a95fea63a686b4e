"""A real API does what its OpenAPI document says, whatever the document allows and forbids is sent to it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.api.keyed import BOOTSTRAP, KEY_ID, bearing
from tests.profiles import examples, is_long
from tests.system import Api, System

TOOL = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
ROOT = Path(__file__).parents[2]
EXAMPLES = 3


async def explore(api: Api, document: dict[str, Any], folder: Path, *options: str, **environment: str) -> None:
    """Every phase and every check of schemathesis; the same cases in every run."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        TOOL, "--config-file", CONFIG, "run", path, "--url", api.url,
        *("--max-examples", str(examples(EXAMPLES)), "--no-color"),
        *(("--generation-database", "none") if is_long() else ("--seed", "1", "--generation-deterministic")),
        *options, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert "Traceback" not in api.service.log_text()


async def document_of(api: Api) -> dict[str, Any]:
    document: dict[str, Any] = (await api.client.get("/openapi.json")).json()
    return document


async def test_an_open_api_keeps_its_word(system: System, tmp_path: Path) -> None:
    api = await system.start_api()
    document = await document_of(api)
    # Keys are needed from the first one on, as the document says, and here is none.
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["security"] = []
    # The first key would close it in the middle.
    await explore(api, document, tmp_path, "--exclude-tag", "api keys", "--phases", "fuzzing,stateful")


async def test_an_api_with_keys_keeps_its_word(system: System, tmp_path: Path) -> None:
    api = await system.start_api(api_keys=BOOTSTRAP)
    document = await document_of(api)
    made = await api.client.post(
        "/api-keys", json={"name": "first", "scopes": ["timers:read"]}, headers=bearing(BOOTSTRAP)
    )
    key_id = made.json()["id"]
    # Bodies that are examples are sent by tests/api; here the examples of single fields would be put together, and
    # fields that exclude each other are refused.
    phases = ("--phases", "coverage,fuzzing,stateful")
    key = ("--header", f"Authorization: Bearer {BOOTSTRAP}")
    await explore(api, document, tmp_path, *phases, *key, **{KEY_ID: key_id})
