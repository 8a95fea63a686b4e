"""Timers that are moved, cancelled and replayed in bulk, through one API process, while a controller looks for due
ones."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.figures import BenchmarkError, Result, per_timer_us, spread_of
from benchmarks.ground import Ground
from benchmarks.labelled import load_labelled
from benchmarks.meter import Meter
from timer_db.domain.ids import bytes_to_text

_LEAD_SECONDS = 86_400
_PER_CALL = 10_000


def run(ground: Ground) -> Iterator[Result]:
    """One case: half of the timers are moved and then cancelled by their label, the other half by ids; of as many
    that failed before, all are replayed."""
    timers = ground.options.bulk_timers
    result = ground.result("bulk", timers=timers, timers_per_call=_PER_CALL)
    ground.observer.empty()
    load_labelled(ground, timers, _LEAD_SECONDS)
    ground.calm()
    prod: dict[str, Any] = {"selector": "env=prod"}
    with ground.controllers(1), ground.api() as (api, port):
        calls = _Calls(port)
        moved = calls.all("reschedule", {**prod, "shift": "+1h"})
        meter = Meter(ground.observer, {"api": [api.pid], "database": [ground.server_pid]})
        cancelled = calls.all("cancel", prod)
        spent = meter.spent()
        others = [_text(row[0]) for row in ground.observer.rows(_WAITING)]
        by_ids = calls.by_ids("cancel", others)
        _fail(ground, timers)
        replayed = calls.all("replay", {"status": "failed"})
        calls.close()
    half = timers // 2
    for done in (moved, cancelled, by_ids, replayed):
        if done.changed != half:
            raise BenchmarkError(f"{done.changed} of {half} timers were changed")
    result.figures = {
        "cancelled_per_second": round(cancelled.per_second),
        "cancelled_by_ids_per_second": round(by_ids.per_second),
        "moved_per_second": round(moved.per_second),
        "replayed_per_second": round(replayed.per_second),
        "api_us": per_timer_us(spent.cpu["api"], half),
        "database_us": per_timer_us(spent.cpu["database"], half),
        **{f"{name}_ms": spread_of(cancelled.milliseconds)[name] for name in ("p50", "max")},
        "row_lock_waits": spent.status["Innodb_row_lock_waits"],
        "others_cores": spent.others_cores,
    }
    ground.observer.empty()
    yield result


class _Done:
    """What a row of calls did."""

    def __init__(self) -> None:
        self.changed = 0
        self.milliseconds: list[float] = []

    @property
    def per_second(self) -> float:
        return self.changed / sum(self.milliseconds) * 1000


class _Calls:
    """One connection to the API."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def close(self) -> None:
        self._connection.close()

    def all(self, verb: str, asked: Mapping[str, Any]) -> _Done:
        """Call after call, until everything that is meant is done."""
        done = _Done()
        cursor: dict[str, str] = {}
        while True:
            answer = self._call(done, verb, {**asked, **cursor})
            if answer["next_cursor"] is None:
                return done
            cursor = {"cursor": answer["next_cursor"]}

    def by_ids(self, verb: str, ids: list[str]) -> _Done:
        """So many in each call."""
        done = _Done()
        for first in range(0, len(ids), _PER_CALL):
            self._call(done, verb, {"ids": ids[first : first + _PER_CALL]})
        return done

    def _call(self, done: _Done, verb: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        self._connection.request(
            "POST", f"/timers/{verb}", json.dumps(asked), {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        body = answer.read()
        done.milliseconds.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise BenchmarkError(f"a bulk call was answered {answer.status}: {body.decode()}")
        shown: dict[str, Any] = json.loads(body)
        done.changed += shown["changed"]
        return shown


_WAITING = "SELECT SUBSTR(due_key, 9) AS id FROM due_queue WHERE is_head = 0"


def _text(timer_id: bytes) -> str:
    return bytes_to_text(bytes(timer_id))


def _fail(ground: Ground, timers: int) -> None:
    """Half as many new timers have failed, as if they had been called."""
    load_labelled(ground, timers // 2, _LEAD_SECONDS)
    now_us = round(time.time() * 1e6)
    ground.observer.run(
        "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, outcome,"
        f" state, reason, answer) SELECT w.id, 1, {now_us}, 1, 1, {now_us}, 'rejected', 'failed', '', ''"
        f" FROM ({_WAITING}) w",
        f"INSERT INTO endings (state, timer_id, ended_at_us) SELECT 'failed', w.id, {now_us} FROM ({_WAITING}) w",
        "DELETE FROM due_queue WHERE is_head = 0",
    )
