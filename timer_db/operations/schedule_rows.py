"""Schedules as rows, and rows as schedules. With keys, what a schedule's timers are like is sealed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from timer_db.domain.errors import ContentUnreadable
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_settings import ScheduleSettings, StoredSchedule
from timer_db.domain.schedule_times import CatchUp, Overlap
from timer_db.encryption import Content, Keyring

_ID_BYTES = 16


def text_of(name: str, settings: ScheduleSettings, keyring: Keyring, held_run_at_us: int | None = None) -> str:
    """What is stored in `schedules.settings`; `held_run_at_us` is the run that a paused one goes on from."""
    stored: dict[str, Any] = {
        "cron": settings.cron,
        "every": settings.every,
        "every_us": settings.every_us,
        "timezone": settings.timezone,
        "start_us": settings.start_us,
        "end_us": settings.end_us,
        "jitter_us": settings.jitter_us,
        "overlap": settings.overlap,
        "catch_up": settings.catch_up,
        "collection_id": settings.owner.collection_id,
        "route_id": settings.owner.route_id,
        "held_run_at_us": held_run_at_us,
    }
    timer = orjson.dumps(settings.timer)
    if keyring:
        sealed = keyring.seal(_sealed_for(name), Content(None, None, timer))
        stored |= {"sealed": base64.b64encode(sealed).decode(), "sealed_with": keyring.sealing_id}
    else:
        stored["timer"] = orjson.Fragment(timer)
    return orjson.dumps({key: value for key, value in stored.items() if value is not None}).decode()


def schedule_of(row: Sequence[Any], keyring: Keyring) -> StoredSchedule:
    """A schedule from the columns `statements.schedules.COLUMNS`."""
    number, name, text, is_paused, next_us, last_us, last_timer_id, created_us = row
    stored = orjson.loads(text)
    timer, unreadable = stored.get("timer", {}), ""
    if "sealed" in stored:
        try:
            sealed = base64.b64decode(stored["sealed"])
            timer = orjson.loads(keyring.open(_sealed_for(name), stored["sealed_with"], sealed).body or b"{}")
        except ContentUnreadable as error:
            unreadable = error.reason
    settings = ScheduleSettings(
        cron=stored.get("cron"),
        every=stored.get("every"),
        every_us=stored.get("every_us"),
        timezone=stored["timezone"],
        start_us=stored.get("start_us"),
        end_us=stored.get("end_us"),
        jitter_us=stored["jitter_us"],
        overlap=Overlap(stored["overlap"]),
        catch_up=CatchUp(stored["catch_up"]),
        owner=Owner(stored["collection_id"], stored["route_id"]),
        timer=timer,
    )
    return StoredSchedule(
        number,
        name,
        settings,
        bool(is_paused),
        stored.get("held_run_at_us") if is_paused else next_us,
        last_us,
        None if last_timer_id is None else UUID(bytes=bytes(last_timer_id)),
        created_us,
        unreadable,
    )


def _sealed_for(name: str) -> bytes:
    """In the place of a timer's id: a value that was moved to another schedule cannot be opened."""
    return blake2b(name.encode(), digest_size=_ID_BYTES).digest()
