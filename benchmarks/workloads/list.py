"""Lists of many timers, by label and otherwise, and the console's first page: how long is it on its way?"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from benchmarks.figures import BenchmarkError, Result, Value, spread_of
from benchmarks.ground import Ground
from benchmarks.labelled import ORDERS_PER_CUSTOMER, TIERS, load_labelled
from timer_api.console.servers import LOOK_SECONDS
from timer_db.domain.representation import rfc3339

_LEAD_SECONDS = 86_400
_WARM_UP = 5
_OVERVIEWS = 15
_MINUTE_US = 60_000_000


class Kinds:
    """What is asked for, by name; most of it differs from call to call."""

    def __init__(self, timers: int, first_due_us: int) -> None:
        self._timers = timers
        self._first_due_us = first_due_us
        self._dice = random.Random(4711)

    def queries(self) -> dict[str, dict[str, str]]:
        """One query of each kind."""
        customer = self._dice.randrange(self._timers // ORDERS_PER_CUSTOMER)
        tier = self._dice.randrange(TIERS)
        due_us = self._first_due_us + self._dice.randrange(self._timers) * 1000
        return {
            "all": {},
            "scheduled": {"status": "scheduled"},
            "failed": {"status": "failed"},
            "rare": {"selector": f"customer={customer}"},
            "common": {"selector": "env=prod"},
            "both": {"selector": f"env=prod,tier={tier}"},
            "few_of_many": {"selector": f"env=test,customer in ({customer},{customer + 1}),!canary"},
            "none_of_many": {"selector": "env=prod,env=test"},
            "absent": {"selector": "!customer"},
            "due": {"due_after": rfc3339(due_us), "due_before": rfc3339(due_us + _MINUTE_US)},
            "due_and_label": {
                "status": "scheduled",
                "selector": "env=prod",
                "due_before": rfc3339(due_us),
            },
            "failed_and_label": {"status": "failed", "selector": "env=prod"},
            "delivered_and_label": {"status": "delivered", "selector": "env=prod"},
        }


def run(ground: Ground) -> Iterator[Result]:
    """One case."""
    timers, calls = ground.options.list_timers, ground.options.list_calls
    result = ground.result("list", timers=timers, calls_of_each_kind=calls)
    ground.observer.empty()
    load = load_labelled(ground, timers, _LEAD_SECONDS)
    ground.calm()
    kinds = Kinds(timers, load.first_due_us)
    with ground.api() as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        milliseconds: dict[str, list[float]] = {kind: [] for kind in kinds.queries()}
        for number in range(_WARM_UP + calls):
            for kind, query in kinds.queries().items():
                took = list(_pages(connection, query))
                if number >= _WARM_UP:
                    milliseconds[kind] += took
        overview = list(_overviews(connection))
        connection.close()
    result.figures = _figures(milliseconds) | {
        f"overview_{name}_ms": spread_of(overview)[name] for name in ("p50", "max")
    }
    ground.observer.empty()
    yield result


def _pages(connection: http.client.HTTPConnection, query: dict[str, str]) -> Iterator[float]:
    """The milliseconds that the first page took, and the second, if there is one."""
    body, took = _get(connection, f"/timers?{urlencode(query)}")
    yield took
    if cursor := json.loads(body)["next_cursor"]:
        yield _get(connection, f"/timers?{urlencode({**query, 'cursor': cursor})}")[1]


def _overviews(connection: http.client.HTTPConnection) -> Iterator[float]:
    """The milliseconds of the console's first page, each time with a look at the database of its own."""
    for _ in range(_OVERVIEWS):
        time.sleep(1.1 * LOOK_SECONDS)
        yield _get(connection, "/console")[1]


def _get(connection: http.client.HTTPConnection, target: str) -> tuple[bytes, float]:
    began = time.perf_counter()
    connection.request("GET", target)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise BenchmarkError(f"{target} was answered {answer.status}: {body.decode()}")
    return body, took


def _figures(milliseconds: dict[str, list[float]]) -> dict[str, Value]:
    spreads = {kind: spread_of(values) for kind, values in milliseconds.items()}
    worst = max(spread["p99"] for spread in spreads.values() if isinstance(spread["p99"], float))
    return {
        "worst_p99_ms": worst,
        **{f"{kind}_{name}_ms": spread[name] for kind, spread in spreads.items() for name in ("p50", "p99")},
    }
