"""docs/timerctl.md tells nothing that is not so: its commands run, and it names every command and exit code."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from tests.docs.pages import ROOT, blocks, rows, section
from tests.system import System
from timer_client.ctl import main
from timer_client.ctl.config import target_of
from timer_client.ctl.faults import Exit

from .conftest import TIMERCTL, environment

PAGE = (ROOT / "docs/timerctl.md").read_text()
RUN = [block.text for block in blocks(section(PAGE, "First steps")) if block.language == "sh"]
COMMANDS = list(rows(section(PAGE, "Commands")))


@pytest.mark.asyncio(loop_scope="package")
@pytest.mark.parametrize("script", RUN, ids=range(len(RUN)))
async def test_its_commands_run(system: System, tmp_path: Path, script: str) -> None:
    (tmp_path / "timers.yaml").write_text("delay: 1h\nurl: https://example.com/a\n")
    path = f"{TIMERCTL.parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:9000", system.receiver.url),
        env=environment(tmp_path, TIMER_URL=system.apis[0].url, PATH=path), cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out
    if "list" in script:
        assert b"hello" in out


def _commands(group: typer.core.TyperGroup, before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            if not command.hidden:
                found |= _commands(command, (*before, name))
        else:
            found.add((*before, name))
    return found


def test_it_names_every_command() -> None:
    group = get_command(main.app)
    assert isinstance(group, typer.core.TyperGroup)
    real = _commands(group)
    assert len(real) > 30
    told = [set(re.findall(r"[a-z-]+", " ".join(re.findall(r"`([^`]+)`", " ".join(row))))) for row in COMMANDS]
    assert [words for words in real if not any(words_told.issuperset(words) for words_told in told)] == []


def test_its_exit_codes_are_those_of_the_code() -> None:
    assert [int(row[0]) for row in rows(section(PAGE, "Exit codes"))] == [int(code) for code in Exit]


def test_its_configuration_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = [block.text for block in blocks(PAGE) if block.language == "toml"]
    assert tomllib.loads(text)["profile"] == "local"
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    secret = tmp_path / ".secrets/timer-key"
    secret.parent.mkdir()
    secret.write_text("a-key\n")
    secret.chmod(0o600)
    file = tmp_path / "config/timerctl/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert target_of(None, None, None).url == "http://127.0.0.1:8000"
    production = target_of(None, None, "production")
    assert (production.url, production.key) == ("https://timers.example.com", "a-key")
