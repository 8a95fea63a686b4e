"""How files, flags and `--set` become fields: nothing that was said is lost, and nothing else is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from timer_client.ctl.common import assigned, place
from timer_client.ctl.durations import number_or_text
from timer_client.ctl.faults import Fault

from .conftest import Ran, Run

URL = "https://example.com/a"


def shown(done: Ran) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        (["labels.example.com/tier=gold"], {"labels": {"old": "1", "example.com/tier": "gold"}}),
        (["headers.X.Y=z"], {"headers": {"X.Y": "z"}}),
        (
            ["timer.labels.a.b=c", "timer.retry.factor=2"],
            {"timer": {"labels": {"a.b": "c"}, "retry": {"factor": 2}}},
        ),
        (["meta.labels.a.b=1"], {"meta": {"labels": {"a": {"b": 1}}}}),
        (["labels={a: b}", "labels.c=d"], {"labels": {"a": "b", "c": "d"}}),
        (["labels.c=d", "labels={a: b}"], {"labels": {"a": "b"}}),
        (["retry.factor=2"], {"retry": {"max_attempts": 3, "factor": 2}}),
        (["nothing.a=1"], {"nothing": {"a": 1}}),
    ],
)
def test_a_value_goes_to_its_place_and_what_is_beside_it_stays(texts: list[str], fields: dict[str, Any]) -> None:
    before: dict[str, Any] = {"labels": {"old": "1"}, "retry": {"max_attempts": 3}, "nothing": None}
    after = dict(before)
    place(after, assigned(texts))
    assert {name: value for name, value in after.items() if value != before.get(name)} == fields
    assert before == {"labels": {"old": "1"}, "retry": {"max_attempts": 3}, "nothing": None}


def test_what_holds_no_fields_is_told() -> None:
    with pytest.raises(Fault, match=r"--set meta\.a: meta holds no fields"):
        place({"meta": 1}, assigned(["meta.a=1"]))


@pytest.mark.parametrize(
    ("text", "sent"), [("90", 90), ("+90", 90), ("-1.5", -1.5), ("1h30m", "1h30m"), ("+1h", "+1h"), (None, None)]
)
def test_digits_alone_are_seconds(text: str | None, sent: object) -> None:
    assert number_or_text(text) == sent
    assert type(number_or_text(text)) is type(sent)


@pytest.mark.parametrize("field", ["idempotency_key", "self"])
@pytest.mark.parametrize("before", ["", "- {delay: 1h, url: 'http://a'}\n"], ids=["one", "two"])
def test_a_document_with_what_is_no_field_is_named_by_its_line(
    alone: Callable[..., Ran], field: str, before: str
) -> None:
    given = f"# a comment\n{before}- {{{field}: 1, delay: 1h, url: 'http://a'}}\n"
    done = alone("timer", "create", "-f", "-", given=given)
    line = given.count("\n")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"timerctl: standard input: line {line}: there is no field {field}\n"


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["b"], "name: a\n", "name: the fields say a, and the command line b"),
        (["a", "--collection", "news"], "collection: mail\n", "collection: the fields say mail, and the command"),
        (["a", "--collection", "news", "--set", "collection=mail"], "priority: 1\n", "the fields say mail"),
    ],
)
def test_a_put_that_says_two_things_is_refused(
    alone: Callable[..., Ran], arguments: list[str], given: str, said: str
) -> None:
    done = alone("timer", "put", *arguments, "-f", "-", given=f"{given}delay: 1h\nurl: {URL}\n")
    assert (done.code, said in done.err) == (2, True)


@pytest.mark.asyncio(loop_scope="package")
async def test_a_timer_is_put_into_the_collection_of_its_file(ctl: Run) -> None:
    name, collection = f"put {uuid4()}", f"c-{uuid4().hex[:12]}"
    assert (await ctl("collection", "put", collection)).code == 0
    file = f"name: {name}\ncollection: {collection}\ndelay: 1h\nurl: {URL}\n"
    made = shown(await ctl("timer", "put", name, "-f", "-", "-o", "json", given=file))
    assert (made["name"], made["collection"]) == (name, collection)
    whole = await ctl("timer", "get", made["id"])
    back = shown(await ctl("timer", "put", name, "-f", "-", "-o", "json", given=whole.out))
    assert (back["id"], back["collection"]) == (made["id"], collection)
    again = ("timer", "put", name, "--set", f"collection={collection}", "--set", "delay=2h", "--set", f"url={URL}")
    assert shown(await ctl(*again, "-o", "json"))["id"] == made["id"]
    assert (await ctl("timer", "get", "--name", name)).code == 3


@pytest.mark.asyncio(loop_scope="package")
async def test_a_put_with_the_same_key_is_done_once(ctl: Run) -> None:
    name = f"put {uuid4()}"
    command = ("timer", "put", name, "--set", "delay=1h", "--set", f"url={URL}", "--idempotency-key", str(uuid4()))
    first = shown(await ctl(*command, "-o", "json"))
    assert (await ctl("timer", "cancel", "--name", name)).code == 0
    assert shown(await ctl(*command, "-o", "json")) == first
    assert shown(await ctl("timer", "get", "--name", name, "-o", "json"))["status"] == "cancelled"


@pytest.mark.asyncio(loop_scope="package")
async def test_a_change_of_a_part_leaves_the_rest(ctl: Run) -> None:
    fields = (
        "--set", "delay=1h", "--set", f"url={URL}", "--set", "labels={tier: gold, env: test}",
        "--set", "retry={max_attempts: 2, initial_seconds: 7}", "--set", "meta={a: {b: 1}, c: 2}",
    )  # fmt: skip
    [made] = shown(await ctl("timer", "create", *fields, "-o", "json"))
    parts = ("--set", "labels.env=prod", "--set", "retry.max_attempts=3", "--set", "meta.a.d=4")
    changed = shown(await ctl("timer", "update", made["id"], *parts, "-o", "json"))
    assert changed["labels"] == {"tier": "gold", "env": "prod"}
    assert changed["retry"] == {**made["retry"], "max_attempts": 3}
    assert changed["meta"] == {"a": {"b": 1, "d": 4}, "c": 2}
    whole = shown(await ctl("timer", "update", made["id"], "--set", "labels={a: b}", "-o", "json"))
    assert whole["labels"] == {"a": "b"}
    file = await ctl("timer", "update", made["id"], "-f", "-", "--set", "labels.e.f=g", "-o", "json",
                     given="labels: {c: d}\n")  # fmt: skip
    assert shown(file)["labels"] == {"c": "d", "e.f": "g"}


@pytest.mark.asyncio(loop_scope="package")
async def test_what_is_set_is_added_to_each_document_of_a_file(ctl: Run) -> None:
    documents = (
        f"- {{delay: 1h, url: {URL}, labels: {{a: b}}, headers: {{X-A: b}}}}\n"
        f"- {{delay: 1h, url: {URL}, retry: {{max_attempts: 2}}}}\n"
    )
    parts = ("--set", "labels.x=y", "--set", "headers.X-B=c", "--set", "retry.initial_seconds=7")
    one, two = shown(await ctl("timer", "create", "-f", "-", *parts, "-o", "json", given=documents))
    assert (one["labels"], two["labels"]) == ({"a": "b", "x": "y"}, {"x": "y"})
    assert (one["headers"], two["headers"]) == ({"X-A": "b", "X-B": "c"}, {"X-B": "c"})
    assert (two["retry"]["max_attempts"], two["retry"]["initial_seconds"]) == (2, 7)


@pytest.mark.asyncio(loop_scope="package")
async def test_seconds_need_no_unit(ctl: Run) -> None:
    generated = await ctl("timer", "generate", "--due-in", "90", "--hook-url", URL)
    [made] = shown(await ctl("timer", "create", "-f", "-", "-o", "json", given=generated.out))
    assert made["time_left"] == 90
    assert shown(await ctl("timer", "update", made["id"], "--due-in", "900", "-o", "json"))["time_left"] > 800
    for shift in ("90", "+90", "-90"):
        moved = await ctl("timer", "reschedule", made["id"], "--shift", shift)
        assert moved.out == "1 rescheduled, 0 left as they were\n", moved.err
    assert (await ctl("timer", "reschedule", made["id"], "--due-in", "60")).code == 0


@pytest.mark.asyncio(loop_scope="package")
async def test_a_change_of_a_schedule_is_previewed(ctl: Run) -> None:
    name = f"s-{uuid4().hex[:12]}"
    fields = ("--set", "cron=0 9 * * *", "--set", "timezone=Europe/Berlin", "--set", f"timer.url={URL}")
    assert (await ctl("schedule", "put", name, *fields)).code == 0

    async def hours(*changes: str, given: str = "") -> set[str]:
        runs = await ctl("schedule", "next", name, "--count", "3", *changes, given=given)
        assert runs.code == 0, runs.err
        return {line[11:19] for line in runs.out.splitlines()}

    now = await hours()
    assert len(now) <= 2
    noon = await hours("--set", "cron=30 12 * * *")
    assert all(time.endswith(":30:00") for time in noon)
    assert await hours("--set", "timezone=UTC") == {"09:00:00"}
    assert len(await hours("--set", "every=1h")) == 3
    stored = await ctl("schedule", "get", name)
    assert await hours("-f", "-", given=stored.out.replace("0 9 * * *", "30 12 * * *")) == noon
    assert await hours() == now
    assert (await ctl("schedule", "next", f"{name}x", "--set", "every=1h")).code == 3
