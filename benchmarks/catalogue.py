"""Every figure: what it is called, how it is shown, what it means, and what it should reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Result, Value


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of one figure."""

    label: str
    form: str
    text: str = ""


_RATE, _WHOLE, _ONE, _TWO, _SHARE = "{:,.0f}", "{:,d}", "{:,.1f}", "{:,.2f}", "{:.0%}"
_NOISE = Meaning("cores busy with other work", _TWO, "what else ran on the machine meanwhile: the noise")
_BATCH = "per batch of claimed timers; polls, beats and the search for lost controllers are counted with them"
_DELIVERY = {
    "deliveries_per_second": Meaning(
        "delivered/s", _RATE, "timers ÷ seconds from the instant to the last arrival"
    ),
    "share_of_floor": Meaning("… as a share of the floor", _SHARE, "the same ÷ the floor rate of the same run"),
    "seconds_to_last_arrival": Meaning("s to the last arrival", _TWO, "by the receiver's log"),
    "seconds_to_last_outcome": Meaning("s to the last outcome", _TWO, "until the last outcome is committed"),
    "missed": Meaning("missed", _WHOLE, "timers that never arrived"),
    "doubled": Meaning("doubled", _WHOLE, "arrivals beyond the first of each timer"),
    "early": Meaning("early", _WHOLE, "timers that arrived before their time"),
    "database_us": Meaning("µs CPU: database", _ONE, "CPU time per timer, a second of purge included"),
    "controllers_us": Meaning("µs CPU: controllers", _ONE, "CPU time per timer, all controllers together"),
    "nginx_us": Meaning("µs CPU: nginx", _ONE, "CPU time per timer of the receiver"),
    "all_us": Meaning("µs CPU: all three", _ONE),
    "cores_busy": Meaning("cores busy, of all", _TWO, "with anything, from the instant to the last outcome"),
    "row_lock_waits": Meaning("row lock waits", _WHOLE, "`Innodb_row_lock_waits`"),
    "controller_peak_mb": Meaning("MB of a controller, at most", _ONE, "resident memory"),
    "logged_delivered": Meaning("logged as delivered", _WHOLE, "rows in the log of attempts"),
    "batches": Meaning("batches claimed", _WHOLE),
    "statements_per_batch": Meaning("statements per batch", _ONE, f"each is a round trip; {_BATCH}"),
    "selects_per_batch": Meaning("… SELECT", _ONE),
    "inserts_per_batch": Meaning("… INSERT", _ONE),
    "deletes_per_batch": Meaning("… DELETE", _ONE),
    "updates_per_batch": Meaning("… UPDATE", _ONE),
    "commits_per_batch": Meaning("… COMMIT", _ONE),
    "rollbacks_per_batch": Meaning("… ROLLBACK", _ONE),
    "others_cores": _NOISE,
}


def _latency(prefix: str, label: str, text: str = "") -> dict[str, Meaning]:
    names = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
    return {
        f"{prefix}_{key}_ms": Meaning(f"{label} ms, {name}", _TWO, text if key == "p50" else "")
        for key, name in names.items()
    }


LISTS = {
    "all": ("no filter", ""),
    "scheduled": ("status=scheduled", ""),
    "failed": ("status=failed", "there are none"),
    "rare": ("customer=n", "100 timers have it"),
    "common": ("env=prod", "half of all"),
    "both": ("env=prod,tier=n", "a tenth of all at most"),
    "few_of_many": ("env=test,customer in (n,m),!canary", "99 timers"),
    "none_of_many": ("env=prod,env=test", "none, of two halves"),
    "absent": ("!customer", "none of all"),
    "due": ("due in one minute", "60,000 timers"),
    "due_and_label": ("scheduled, env=prod, due before", "half of what is due before"),
    "failed_and_label": ("failed, env=prod", "none"),
    "delivered_and_label": ("delivered, env=prod", "none, of half of all"),
}
"""The kinds of lists that are measured."""

MEANINGS: dict[str, dict[str, Meaning]] = {
    "floor": {
        "floor_per_second": Meaning("floor rate/s", _RATE, "cores ÷ the sum of the four costs below"),
        "cores": Meaning("cores", _WHOLE),
        "post_client_us": Meaning("µs CPU: POST, client", _ONE, "a fixed request as large as a call"),
        "post_nginx_us": Meaning("µs CPU: POST, nginx", _ONE),
        "drain_client_us": Meaning("µs CPU: claim + finish, client", _ONE, "timers are received, not decoded"),
        "drain_database_us": Meaning("µs CPU: claim + finish, database", _ONE, "a second of purge included"),
        "posts_per_second": Meaning("POSTs/s of the one loop", _RATE),
        "drained_per_second": Meaning("claimed and finished/s over one connection", _RATE),
        "claim_ms": Meaning("ms for a claim of 900, median", _TWO),
        "others_cores": _NOISE,
    },
    "create": {
        "share_of_unstored": Meaning("creates/s ÷ without a database", _SHARE, "the same app without storing"),
        "creates_per_second": Meaning("creates/s", _RATE, "single `POST /timers`, each answered 201"),
        "p50_ms": Meaning("ms to the answer, p50", _TWO),
        "p99_ms": Meaning("ms to the answer, p99", _TWO),
        "max_ms": Meaning("ms to the answer, max", _TWO),
        "commits_per_create": Meaning("commits per create", "{:.3f}", "creates that come together share one"),
        "statements_per_create": Meaning("statements per create", "{:.3f}", "each is a round trip"),
        "api_us": Meaning("µs CPU: API", _ONE, "CPU time per create"),
        "database_us": Meaning("µs CPU: database", _ONE),
        "generator_us": Meaning("µs CPU: load generator", _ONE, "on the same cores"),
        "unstored_per_second": Meaning("without a database: creates/s", _RATE),
        "unstored_p99_ms": Meaning("without a database: ms, p99", _TWO),
        "unstored_api_us": Meaning("without a database: µs CPU of the API", _ONE),
        "others_cores": _NOISE,
    },
    "batch": {
        "timers_per_second": Meaning("timers/s", _RATE, "through `POST /timers/batch`, each call answered 201"),
        "share_of_goal": Meaning("timers/s ÷ goal", _SHARE),
        "api_us": Meaning("µs CPU: API", _ONE, "CPU time per timer"),
        "database_us": Meaning("µs CPU: database", _ONE),
        "generator_us": Meaning("µs CPU: load generator", _ONE, "on the same cores"),
        "statements_per_timer": Meaning("statements per timer", "{:.4f}", "each is a round trip"),
        "commits_per_timer": Meaning("commits per timer", "{:.4f}", "one per chunk of 500"),
        "p50_ms": Meaning("ms to the answer of a call, p50", _TWO),
        "p99_ms": Meaning("ms to the answer of a call, p99", _TWO),
        "max_ms": Meaning("ms to the answer of a call, max", _TWO),
        "others_cores": _NOISE,
    },
    "burst": _DELIVERY,
    "backlog": {
        "overtaking_share": Meaning(
            "came before one of higher priority", "{:.2%}", "what is in the hands of controllers at one time"
        ),
        "places_off_p99": Meaning("places from its place in the order, p99", _WHOLE, "by priority, then by age"),
        "places_off_max": Meaning("places from its place in the order, max", _WHOLE),
        "seconds_from_start": Meaning("s from the start of the controllers", _TWO, "to the last arrival"),
        "missed": _DELIVERY["missed"],
        "doubled": _DELIVERY["doubled"],
        "logged_delivered": _DELIVERY["logged_delivered"],
    },
    "spread": {
        **_latency("lateness", "lateness by our log", "from the due time to the first byte sent"),
        **_latency("arrival", "lateness by nginx's log", "its clock has milliseconds: up to one is added"),
        "missed": _DELIVERY["missed"],
        "doubled": _DELIVERY["doubled"],
        "early": Meaning("early, by nginx's log", _WHOLE, "timers that arrived before their time"),
        "early_by_log": Meaning("early, by our log", _WHOLE, "first bytes sent before the time"),
        "controllers_cores": Meaning("cores used by controllers", _TWO),
        "database_cores": Meaning("cores used by the database", _TWO),
        "others_cores": _NOISE,
    },
    "pending": {
        "share_of_empty": Meaning("delivered/s ÷ that of an empty queue", _SHARE, "the same burst twice"),
        "claim_times_empty": Meaning("claim of a batch ÷ that of an empty queue", _TWO, "medians"),
        "empty_per_second": Meaning("delivered/s, nothing else waiting", _RATE),
        "empty_claim_ms": Meaning("ms for a claim of 900, nothing else waiting", _TWO),
        "claim_ms": Meaning("ms for a claim of 900", _TWO),
        "share_unpurged": Meaning(
            "delivered/s, others not purged ÷ that of an empty queue",
            _SHARE,
            "after as many were delivered while somebody reads an old state",
        ),
        "loaded_per_second": Meaning("others loaded/s", _RATE, "made inside the server: no figure of the product"),
        **_DELIVERY,
    },
    "after": {
        "share_of_fresh": Meaning("delivered/s ÷ that of an empty database", _SHARE, "the same burst twice"),
        "fresh_per_second": Meaning("delivered/s, empty database", _RATE),
        "fresh_all_us": Meaning("µs CPU, empty database: all three", _ONE),
        **_DELIVERY,
    },
    "mixed": {
        "p99_times_idle": Meaning("create p99 ÷ idle create p99", _TWO, "with and without the burst"),
        "row_lock_waits": Meaning("row lock waits", _WHOLE, "of inserts and claims together"),
        "create_p50_ms": Meaning("create ms, p50", _TWO, "from when the request should have left"),
        "create_p99_ms": Meaning("create ms, p99", _TWO),
        "create_max_ms": Meaning("create ms, max", _TWO),
        "idle_p50_ms": Meaning("idle create ms, p50", _TWO),
        "idle_p99_ms": Meaning("idle create ms, p99", _TWO),
        "created": Meaning("created meanwhile", _WHOLE),
        **{name: meaning for name, meaning in _DELIVERY.items() if name != "row_lock_waits"},
    },
    "list": {
        "worst_p99_ms": Meaning("slowest kind: ms, p99", _TWO, "from the question to the whole answer"),
        **{
            f"{kind}_{part}_ms": Meaning(f"{label}: ms, {part}", _TWO, text if part == "p50" else "")
            for kind, (label, text) in LISTS.items()
            for part in ("p50", "p99")
        },
        "overview_p50_ms": Meaning("the console's overview: ms, p50", _TWO, "each with a look at the database"),
        "overview_max_ms": Meaning("the console's overview: ms, max", _TWO),
    },
    "bulk": {
        "cancelled_per_second": Meaning("cancelled/s, by a selector", _RATE, "10,000 a call, one call at a time"),
        "cancelled_by_ids_per_second": Meaning("cancelled/s, by ids", _RATE),
        "moved_per_second": Meaning("moved/s, by a selector", _RATE, "`POST /timers/reschedule` with a shift"),
        "replayed_per_second": Meaning("replayed/s, by status", _RATE),
        "p50_ms": Meaning("ms to the answer of a cancel, p50", _TWO),
        "max_ms": Meaning("ms to the answer of a cancel, max", _TWO),
        "api_us": Meaning("µs CPU: API", _ONE, "CPU time per cancelled timer"),
        "database_us": Meaning("µs CPU: database", _ONE),
        "row_lock_waits": Meaning("row lock waits", _WHOLE, "a controller polls meanwhile"),
        "others_cores": _NOISE,
    },
    "slow": {
        "p99_times_healthy": Meaning("p99 of nine ÷ without the hanging one", _TWO, "by nginx's log"),
        **_latency("lateness", "one hangs: lateness"),
        **_latency("healthy", "all answer: lateness"),
        "undelivered": Meaning("of the nine, not called at all", _WHOLE, "counted as late as the run waited"),
    },
    "memory": {
        "controller_peak_mb": Meaning("controller MB, at most", _ONE, "resident, with this many calls in flight"),
        "controller_idle_mb": Meaning("controller MB, idle", _ONE),
        "in_flight_at_once": Meaning("calls in flight at once", _WHOLE, "as the receiver counted them"),
        "kb_per_call": Meaning("kB per call in flight", _ONE),
        "api_peak_mb": Meaning("API MB, at most", _ONE, "resident, under creates from all connections"),
        "api_idle_mb": Meaning("API MB, idle", _ONE),
    },
    "telemetry": {
        "share_of_burst": Meaning(
            "CPU per timer, more than without", "{:.1%}", "with metrics ÷ without, less 1: median of the pairs"
        ),
        "share_least": Meaning("… the least of the pairs", "{:.1%}"),
        "share_most": Meaning("… the most", "{:.1%}"),
        "share_of_rate": Meaning("delivered/s ÷ without", _SHARE, "medians"),
        "told_all_us": Meaning("µs CPU, all three", _ONE, "metrics counted, and scraped every second"),
        "untold_all_us": Meaning("… without", _ONE, "nothing counted, no look at the backlog"),
        "told_controllers_us": Meaning("µs CPU, controllers", _ONE),
        "untold_controllers_us": Meaning("… without", _ONE),
        "told_database_us": Meaning("µs CPU, database", _ONE),
        "untold_database_us": Meaning("… without", _ONE),
        "told_per_second": Meaning("delivered/s", _RATE),
        "untold_per_second": Meaning("delivered/s, without", _RATE),
        "scrapes": Meaning("answers of `/metrics`", _WHOLE),
        "others_cores": _NOISE,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should reach on two cores with everything on them."""

    workload: str
    key: str
    sign: str
    limits: Mapping[str, float] | float
    case: tuple[tuple[str, Any], ...] = ()
    """Only for cases that have these sizes."""

    def limit(self, engine: str) -> float:
        """For this engine."""
        return self.limits if isinstance(self.limits, (int, float)) else self.limits[engine]

    def is_reached(self, result: Result) -> bool:
        """Whether the result is as good as that."""
        value = result.figures[self.key]
        if not isinstance(value, (int, float)):
            return False
        limit = self.limit(result.engine)
        return {"≤": value <= limit, "≥": value >= limit, "=": value == limit}[self.sign]


BATCH_GOAL_PER_SECOND = 40_000
_MILLION = (("timers", 1_000_000), ("controllers", 2))
GOALS = (
    Goal("create", "share_of_unstored", "≥", 0.75),
    Goal("batch", "timers_per_second", "≥", BATCH_GOAL_PER_SECOND),
    Goal("burst", "seconds_to_last_arrival", "≤", {"mysql": 45, "mariadb": 35}, _MILLION),
    Goal("burst", "share_of_floor", "≥", 0.65, _MILLION),
    Goal("burst", "missed", "=", 0),
    Goal("burst", "doubled", "=", 0),
    Goal("burst", "early", "=", 0),
    Goal("backlog", "overtaking_share", "≤", 0.02, (("timers", 1_000_000),)),
    Goal("backlog", "missed", "=", 0),
    Goal("backlog", "doubled", "=", 0),
    Goal("spread", "lateness_p99_ms", "≤", 5, (("per_second", 200),)),
    Goal("spread", "lateness_max_ms", "≤", 50, (("per_second", 200),)),
    Goal("spread", "lateness_p99_ms", "≤", 50, (("per_second", 5_000),)),
    Goal("spread", "early", "=", 0),
    Goal("spread", "early_by_log", "=", 0),
    Goal("pending", "share_of_empty", "≥", 0.9),
    Goal("pending", "share_unpurged", "≥", 0.9),
    Goal("pending", "claim_times_empty", "≤", 1.3),
    Goal("after", "share_of_fresh", "≥", 0.9),
    Goal("mixed", "row_lock_waits", "=", 0),
    Goal("telemetry", "share_of_burst", "≤", 0.03),
    Goal("mixed", "p99_times_idle", "≤", 3),
    Goal("list", "worst_p99_ms", "≤", 50, (("timers", 1_000_000),)),
    Goal("list", "overview_max_ms", "≤", 300, (("timers", 1_000_000),)),
    Goal("bulk", "cancelled_per_second", "≥", 10_000),
    Goal("slow", "p99_times_healthy", "≤", 2),
    Goal("memory", "controller_peak_mb", "≤", 200, (("in_flight", 10_000),)),
    Goal("memory", "api_peak_mb", "≤", 150),
)


def goal_of(result: Result, key: str) -> Goal | None:
    """What this figure of this case should reach."""
    for goal in GOALS:
        if (goal.workload, goal.key) == (result.workload, key) and set(goal.case) <= set(result.case.items()):
            return goal
    return None


def shown(workload: str, key: str, value: Value) -> str:
    """A value in its form."""
    if value is None:
        return "–"
    return MEANINGS[workload][key].form.format(value) if isinstance(value, (int, float)) else value


def in_order(result: Result) -> Iterator[tuple[str, Meaning]]:
    """The figures that a result has, in the order of the catalogue."""
    for key, meaning in MEANINGS[result.workload].items():
        if key in result.figures:
            yield key, meaning
