"""What tests of schedules have in common: calls whose answers are checked, and moments as the API writes them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import TypeAdapter

from timer_api.schedules.schemas import ScheduleShown
from timer_db.domain.representation import microseconds, rfc3339

SHOWN = TypeAdapter(ScheduleShown)
URL = "https://example.com/hook"
TIMER = {"url": URL}
NONE = {"scheduled": 0, "firing": 0, "delivered": 0, "failed": 0, "unknown": 0, "cancelled": 0}
HOURLY = {"cron": "0 * * * *", "timer": TIMER}


def new_name() -> str:
    return f"s-{uuid.uuid4().hex}"


async def put(client: httpx.AsyncClient, name: str, status: int = 201, **settings: Any) -> dict[str, Any]:
    answer = await client.put(f"/schedules/{name}", json=settings)
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    SHOWN.validate_python(shown, strict=False)
    return shown


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body) if body else await client.post(path)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def at(moment: datetime) -> str:
    return rfc3339(microseconds(moment))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
