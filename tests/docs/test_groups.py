"""What the page about collections and routes tells its readers to type works."""

from __future__ import annotations

import asyncio
import json

from tests.docs.pages import ROOT, blocks
from tests.system import System

PAGE = (ROOT / "docs/groups.md").read_text()


async def test_its_first_timer_is_called_by_its_route(system: System) -> None:
    api = await system.start_api()
    await system.start_controller()
    [block] = [block for block in blocks(PAGE) if block.language == "sh"]
    script = block.text.replace("http://127.0.0.1:8000", api.url).replace(
        "http://127.0.0.1:9000", system.receiver.url
    )
    shell = await asyncio.create_subprocess_exec("sh", "-ec", script, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0
    collection, route, timer = [json.loads(answer) for answer in said.decode().replace("}{", "}\n{").splitlines()]
    assert (collection["name"], route["name"]) == ("newsletters", "billing")
    assert (timer["priority"], timer["route"], timer["url"]) == (5, "billing", None)
    await system.receiver.wait_for_ids(1)
    [arrival] = system.receiver.arrivals
    assert arrival.target == f"/billing/{timer['id']}"
