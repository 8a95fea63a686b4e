"""What timerctl says when it is used wrongly, or nobody answers: one line, and an exit code."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.client.scripted import scripted_server

from .conftest import Ran

Alone = Callable[..., Ran]


def test_generate_writes_what_create_reads(alone: Alone) -> None:
    done = alone(
        "timer", "generate", "--name=a", "--due-in=10m", "--hook-url=http://localhost:8081/foo/bar", "--priority",
        "1000", "--hook-method=GET", "--label=env=prod", "--label=cluster=northwest",
        "--hook-header", "X-Shop: berlin", "--hook-body", '{"order": 17}', "--set", "retry.max_attempts=3",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "name: a\ndelay: 10m\nurl: http://localhost:8081/foo/bar\nmethod: GET\nheaders:\n  X-Shop: berlin\n"
        "body:\n  order: 17\nlabels:\n  env: prod\n  cluster: northwest\npriority: 1000\n"
        "retry:\n  max_attempts: 3\n"
    )


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["timer", "frobnicate"], "", "timerctl: No such command 'frobnicate'"),
        (["timer", "list", "--nope"], "", "timerctl: No such option: --nope"),
        (["timer", "list", "-o", "xml"], "", "timerctl: Invalid value for '--output' / '-o'"),
        (["timer", "attempts"], "", "timerctl: say which timer: by its id or by --name"),
        (["collection", "get"], "", "timerctl: Missing argument"),
        (["timer", "get"], "", "timerctl: say which timer: by its id or by --name"),
        (["timer", "create", "-f", "/nowhere/at/all"], "", "timerctl: /nowhere/at/all: No such file or directory"),
        (["timer", "create", "-f", "-"], "a: [1,\nb: }", "timerctl: standard input: line 2, column 4: expected"),
        (
            ["timer", "create", "-f", "-"],
            "a: 1\n---\n- 7\n",
            "timerctl: standard input: line 3: it must be a mapping",
        ),
        (["timer", "create", "-f", "-"], "", "timerctl: standard input: it holds no document"),
        (["timer", "create", "-f", "-"], "a: !!python/object:os.system x", "timerctl: standard input: line 1"),
        (["timer", "cancel"], "", "timerctl: say which timers: by their ids, --selector"),
        (["timer", "cancel", "x", "-l", "a=b"], "", "timerctl: either ids or filters say which timers, not both"),
        (["timer", "update", "x"], "", "timerctl: nothing is to be changed"),
        (["timer", "update", "x", "--set", "priority"], "", "timerctl: --set priority: it must read FIELD=VALUE"),
        (["timer", "generate", "--hook-url", "http://a"], "", "timerctl: exactly one of --due-in and --due-at"),
        (["timer", "generate", "--due-in", "1m"], "", "timerctl: exactly one of --hook-url and --route"),
        (
            ["schedule", "backfill", "s", "--from", "now", "--to", "x"],
            "",
            "timerctl: --from now: it must read like",
        ),
        (["--profile", "nobody", "timer", "list"], "", "timerctl: there is no profile 'nobody'"),
        (["--url", "ftp://a", "timer", "list"], "", "timerctl: TIMER_URL: ftp://a is no http or https URL"),
        (["completion", "cmd"], "", "timerctl: cmd: bash, zsh and fish can be completed"),
    ],
)
def test_a_mistake_is_told_in_a_line(alone: Alone, arguments: list[str], given: str, said: str) -> None:
    done = alone(*arguments, given=given)
    assert said in done.err
    assert "Traceback" not in done.err
    assert (done.code, done.out) == (2, "")
    if said.startswith("timerctl: "):
        assert done.err.count("\n") == 1


def test_nobody_answers(alone: Alone) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = alone("--url", f"http://127.0.0.1:{taken.getsockname()[1]}", "timer", "list")
    assert done.code == 6
    assert "did not answer" in done.err
    assert done.err.count("\n") == 1


def test_a_profile_says_where_and_with_which_key(alone: Alone, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("tk_secret\n")
    file = tmp_path / "config" / "timerctl" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        'profile = "there"\n[profiles.there]\nurl = "http://there:1"\nkey_file = "~/key"\n'
        '[profiles.here]\nurl = "http://here:2"\n'
    )
    assert alone("config").out.splitlines()[1:] == ["profile: there", "url: http://there:1", "key: given"]
    assert alone("--profile", "here", "config").out.splitlines()[2:] == ["url: http://here:2", "key: none"]
    assert "url: http://here:2" in alone("config", TIMERCTL_PROFILE="here").out
    assert "url: http://env:3" in alone("config", TIMER_URL="http://env:3").out
    assert "url: http://flag:4" in alone("--url", "http://flag:4", "config", TIMER_URL="http://env:3").out
    wrong = alone("--profile", "elsewhere", "config")
    assert (wrong.code, "there are: here, there" in wrong.err) == (2, True)
    file.write_text("profile = ")
    assert str(file) in alone("config").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(alone: Alone, shell: str) -> None:
    done = alone("completion", shell)
    assert done.code == 0
    assert "_TIMERCTL_COMPLETE=complete" in done.out


def test_completion_knows_the_verbs(alone: Alone) -> None:
    done = alone(_TIMERCTL_COMPLETE="complete_bash", COMP_WORDS="timerctl timer re", COMP_CWORD="2")
    assert {"replay", "reschedule"} <= set(done.out.split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("delay: 1h\nurl: http://a\nmeta: .inf\n", "line 1: meta: it is no JSON"),
        ("delay: 1h\nurl: http://a\nmeta: {a: !!binary aGVsbG8=}\n", "line 1: meta: it is no JSON"),
    ],
)
def test_what_json_does_not_have_is_told_in_a_line(alone: Callable[..., Ran], given: str, words: str) -> None:
    done = alone("timer", "create", "-f", "-", given=given)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("field", ["idempotency_key", "timer_id"])
def test_what_is_no_field_is_told_in_a_line(alone: Callable[..., Ran], field: str) -> None:
    done = alone("timer", "update", "some-id", "--set", f"{field}=1")
    assert (done.code, done.err) == (2, f"timerctl: there is no field {field}\n")


def test_a_day_and_a_time_stay_text(alone: Callable[..., Ran]) -> None:
    generated = alone("timer", "generate", "--due-in=1h", "--hook-url=http://a", "--set", "meta=2030-01-31")
    assert yaml.safe_load(generated.out)["meta"] == "2030-01-31"


def test_a_database_that_tells_of_no_controllers_is_named(alone: Alone) -> None:
    with scripted_server() as scripted:
        scripted.say(200, {"controllers": [], "shards_away": [1]})
        told = alone("--url", scripted.url, "controllers", "list")
    assert told.code == 0
    assert "database 1 does not answer: who serves it is not told here" in told.err
