"""timerctl and the services: what a user does with timers."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.system import System

from .conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_the_first_example(ctl: Run, system: System) -> None:
    """Generate, create, list, get, watch, attempts."""
    name = str(uuid4())
    generated = await ctl(
        "timer", "generate", f"--name={name}", "--due-in=4s", f"--hook-url={system.receiver.url}",
        "--priority", "1000", "--hook-method=GET", "--label=env=prod", "--label=cluster=northwest",
    )  # fmt: skip
    created = await ctl("timer", "create", "-f", "-", "-o", "json", given=generated.out)
    assert created.code == 0, created.err
    [timer] = json.loads(created.out)
    assert (timer["name"], timer["priority"], timer["labels"]["cluster"]) == (name, 1000, "northwest")
    watched = await ctl("watch", timer["id"])
    assert watched.code == 0
    assert watched.out.splitlines()[0].startswith(f"{timer['id']} {name}: scheduled, due in")
    assert watched.out.splitlines()[-1] == f"{timer['id']} {name}: delivered"
    shown = await ctl("timer", "get", timer["id"])
    assert "status: delivered" in shown.out
    assert "env: prod" in shown.out
    attempts = await ctl("timers", "attempts", timer["id"])
    assert attempts.out.splitlines()[0].split() == [
        "NUMBER", "OUTCOME", "HTTP", "STARTED", "AT", "MS", "THEN", "CONTROLLER", "REASON",
    ]  # fmt: skip
    assert attempts.out.splitlines()[1].split()[:3] == ["1", "delivered", "200"]
    listed = await ctl("timer", "list", "-l", "env=prod,cluster in (northwest)", "-o", "yaml")
    assert timer["id"] in listed.out
    table = await ctl("timer", "list", "-l", "env=prod")
    assert any(timer["id"] in line and "delivered" in line for line in table.out.splitlines())


async def test_many_documents_of_which_one_is_refused(ctl: Run) -> None:
    documents = (
        "- {delay: 1h, url: https://example.com/a}\n- {delay: 1h}\n- {delay: 1h, url: https://example.com/c}\n"
    )
    done = await ctl("timer", "create", "-f", "-", given=documents)
    assert done.code == 7
    assert len(done.out.splitlines()) == 3
    assert "standard input: line 2: 422" in done.err
    assert "url: exactly one of url and route" in done.err
    assert done.err.splitlines()[-1] == "timerctl: 1 of 3 were refused"


async def test_a_timer_by_its_name(ctl: Run) -> None:
    name = f"named {uuid4()}/1"
    first = await ctl(
        "timer", "put", name, "--set", "delay=1h", "--set", "url=https://example.com/a", "-o", "json"
    )
    assert first.code == 0, first.err
    again = await ctl(
        "timer", "put", name, "-f", "-", "-o", "json", given="delay: 2h\nurl: https://example.com/b\n"
    )
    assert json.loads(again.out)["id"] == json.loads(first.out)["id"]
    shown = await ctl("timer", "get", "--name", name, "-o", "json")
    assert json.loads(shown.out)["url"] == "https://example.com/b"
    cancelled = await ctl("timer", "cancel", "--name", name)
    assert (cancelled.code, "cancelled" in cancelled.out) == (0, True)
    assert (await ctl("timer", "cancel", "--name", name)).code == 4
    assert (await ctl("timer", "get", "--name", f"{name}-other")).code == 3
    assert (await ctl("timer", "get")).code == 2


async def test_a_name_stands_for_an_id(ctl: Run, system: System) -> None:
    name, collection = f"named {uuid4()}", f"c-{uuid4().hex[:12]}"
    assert (await ctl("collection", "put", collection)).code == 0
    which = ("--name", name, "--collection", collection)
    fields = ("--set", "delay=1h", "--set", f"url={system.receiver.url}", "-o", "json")
    made = json.loads((await ctl("timer", "put", name, "--collection", collection, *fields)).out)
    changed = await ctl("timer", "update", *which, "--set", "priority=7", "-o", "json")
    assert (json.loads(changed.out)["id"], json.loads(changed.out)["priority"]) == (made["id"], 7)
    assert (await ctl("timer", "fire", *which)).code == 0
    watched = await ctl("timer", "watch", *which)
    assert (watched.code, made["id"] in watched.out) == (0, True)
    replayed = await ctl("timer", "replay", *which)
    assert (replayed.code, made["id"] in replayed.out) == (0, True), replayed.err
    assert (await ctl("watch", *which)).code == 0
    assert [a["number"] for a in json.loads((await ctl("timer", "attempts", *which, "-o", "json")).out)] == [1, 2]
    assert (await ctl("timer", "fire", made["id"], "--name", name)).code == 2
    assert (await ctl("timer", "replay", *which, "--status", "failed")).code == 2
    assert (await ctl("timer", "attempts", "--name", f"{name} other", "--collection", collection)).code == 3


async def test_a_body_that_is_no_json_is_sent_as_it_is(ctl: Run, system: System) -> None:
    for text, sent in (
        ("plain text, not JSON", b"plain text, not JSON"),
        ('{"a": 1}', b'{"a":1}'),
        ("null", b"null"),
        ("NaN", b"NaN"),
    ):
        generated = await ctl(
            "timer", "generate", "--set", "delay=0", f"--hook-url={system.receiver.url}", f"--hook-body={text}"
        )
        assert generated.code == 0, generated.err
        [made] = json.loads((await ctl("timer", "create", "-f", "-", "-o", "json", given=generated.out)).out)
        assert (await ctl("watch", made["id"])).code == 0
        [call] = system.receiver.by_id[made["id"]]
        assert call.body == sent


async def test_one_document_that_is_refused_is_named_by_its_line(ctl: Run) -> None:
    done = await ctl("timer", "create", "-f", "-", given="\n# a comment\ndelay: 1h\nurl: nowhere\n")
    assert (done.code, done.out) == (7, "")
    assert done.err.startswith("timerctl: standard input: line 3: 422")


async def test_the_same_file_with_the_same_key_makes_nothing_twice(ctl: Run) -> None:
    documents, key = "- {delay: 1h, url: https://example.com/a}\n" * 2, f"--idempotency-key={uuid4()}"
    first, again = [await ctl("timer", "create", "-f", "-", key, "-o", "json", given=documents) for _ in range(2)]
    assert first.code == again.code == 0, first.err
    assert first.out == again.out
    other = await ctl("timer", "create", "-f", "-", key, given=documents.replace("1h", "2h"))
    assert other.code == 7
    assert "Idempotency-Key" in other.err


async def test_timers_are_changed_moved_cancelled_and_repeated_in_bulk(ctl: Run, system: System) -> None:
    label = f"run={uuid4().hex[:12]}"
    documents = "".join(
        f"---\n{{delay: 1h, url: '{system.receiver.url}', labels: {{run: {label[4:]}}}}}\n" for _ in range(5)
    )
    ids = [
        timer["id"]
        for timer in json.loads((await ctl("timer", "create", "-f", "-", "-o", "json", given=documents)).out)
    ]
    changed = await ctl("timer", "update", ids[0], "--set", "priority=7", "--due-in", "2h", "-o", "json")
    assert json.loads(changed.out)["priority"] == 7
    assert (await ctl("timer", "cancel", *ids[:2])).out == "2 cancelled, 0 left as they were\n"
    moved = await ctl("timer", "reschedule", "-l", label, "--status", "scheduled", "--shift", "-3599s")
    assert moved.out == "3 rescheduled, 0 left as they were\n", moved.err
    for timer_id in ids[2:]:
        assert (await ctl("watch", timer_id)).code == 0
    assert (await ctl("timer", "replay", "-l", label, "--status", "delivered")).out.startswith("3 replayed")
    fired = await ctl("timer", "fire", ids[0])
    assert (fired.code, "409" in fired.err) == (4, True)
    missing = await ctl("timer", "get", "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071")
    assert (missing.code, missing.err.count("\n")) == (3, 1)


async def test_a_watched_timer_that_fails(ctl: Run, system: System) -> None:
    created = await ctl(
        "timer", "create", "--set", "seconds=0", "--set", "url=http://127.0.0.1:1/",
        "--set", "retry={max_attempts: 1}", "-o", "json",
    )  # fmt: skip
    watched = await ctl("timer", "watch", json.loads(created.out)[0]["id"])
    assert watched.code == 1
    assert "attempt 1: not_sent" in watched.out


async def test_collections_routes_schedules_and_controllers(ctl: Run, system: System) -> None:
    made = await ctl("collection", "put", "orders", "--set", "waiting_max=5", "--set", "defaults.priority=3")
    assert "waiting_max: 5" in made.out, made.err
    assert (await ctl("collections", "pause", "orders")).out.splitlines()[1].split()[:2] == ["orders", "yes"]
    assert (await ctl("collection", "delete", "orders")).out == "deleted orders\n"
    route = await ctl("route", "put", "billing", "--set", f"url={system.receiver.url}", "-o", "yaml")
    again = await ctl("route", "get", "billing", "-o", "yaml")
    assert route.out == again.out
    given_back = await ctl("route", "put", "billing", "-f", "-", given=again.out)
    assert (given_back.code, given_back.out) == (0, again.out), given_back.err
    assert (await ctl("route", "new-secret", "billing")).out.startswith("secret: whsec_")
    preview = await ctl(
        "schedule", "next", "--count", "2", "--set", "cron=0 9 * * 1-5", "--set", "timer={route: billing}"
    )
    assert len(preview.out.splitlines()) == 2, preview.err
    assert (await ctl("controllers", "list", "-o", "json")).out.count('"host"') == 1
    assert (await ctl("event", "list")).code == 0


async def test_the_doctor(ctl: Run) -> None:
    """A controller is at work; what other tests left may be late."""
    told = await ctl("doctor")
    assert told.out.startswith("database 0: ")
    assert "fault" not in told.out
    assert (told.code == 0) == ("all is well" in told.out)
    shown = json.loads((await ctl("doctor", "-o", "json")).out)
    assert shown["databases"][0]["faults"] == []


async def test_what_get_shows_can_be_put_back(ctl: Run) -> None:
    name = f"copied {uuid4()}"
    made = await ctl("timer", "put", name, "--set", "delay=1h", "--set", "url=https://example.com/a", "-o", "json")
    shown = await ctl("timer", "get", "--name", name)
    back = await ctl("timer", "put", name, "-f", "-", "-o", "json", given=shown.out)
    assert back.code == 0, back.err
    varies = ("time_left", "attempts")
    assert {k: v for k, v in json.loads(back.out).items() if k not in varies} == {
        k: v for k, v in json.loads(made.out).items() if k not in varies
    }


async def test_a_schedule_by_cron_from_the_command_line(ctl: Run) -> None:
    name = f"s-{uuid4().hex[:12]}"
    put = await ctl(
        "schedule",
        "put",
        name,
        "--set",
        "cron=*/5 * * * *",
        "--set",
        "timer.url=https://example.com/a",
        "-o",
        "json",
    )
    assert put.code == 0, put.err
    assert json.loads(put.out)["cron"] == "*/5 * * * *"
    local = ("--from", "2026-03-01T00:00:00", "--to", "2026-03-01T00:10:00")
    backfilled = await ctl("schedule", "backfill", name, *local)
    assert (backfilled.code, backfilled.out) == (0, "made 2 runs\n"), backfilled.err
    assert len((await ctl("schedule", "next", name, "--count", "100")).out.splitlines()) == 100
    assert (await ctl("schedule", "next", name, "--count", "101")).code == 2
    for verb in ("get", "pause", "resume", "delete"):
        assert (await ctl("schedule", verb, name)).code == 0
    assert name not in (await ctl("schedule", "list")).out


async def test_a_list_says_when_there_is_more(ctl: Run) -> None:
    label = f"l-{uuid4().hex[:12]}=1"
    documents = f"- {{delay: 1h, url: https://example.com/a, labels: {{{label.replace('=', ': ')!s}}}}}\n".replace(
        ": 1}", ': "1"}'
    )
    assert (await ctl("timer", "create", "-f", "-", given=documents * 3)).code == 0
    cut = await ctl("timer", "list", "-l", label, "--limit", "2", "-o", "json")
    assert (len(json.loads(cut.out)), cut.err) == (2, "timerctl: more than 2 are there; --limit shows more\n")
    whole = await ctl("timer", "list", "-l", label, "--limit", "3", "-o", "json")
    assert (len(json.loads(whole.out)), whole.err) == (3, "")
    soon = ("--due-before", "2000-01-01T00:00:00Z")
    assert (await ctl("timer", "cancel", "-l", label, *soon)).out.startswith("0 cancelled")
    assert (await ctl("timer", "cancel", "-l", label)).out.startswith("3 cancelled")
