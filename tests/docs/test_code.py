"""No code stands in a page untested: each block belongs to a test, and no command names what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.client.test_receivers import EXAMPLES, SERVERS
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.programs import CHECKS, check
from tests.docs.shell import commands

TESTS = """
README.md                                    http    tests/docs/test_readme.py
README.md                                    json    tests/docs/test_readme.py
README.md                                    python  tests/integration/test_signatures.py
README.md                                    sh      tests/docs/test_readme.py
docs/architecture.md                         sh      tests/docs/test_timings.py
docs/decisions/0001-queue-and-claims.md      sh      read
docs/decisions/0004-the-price-of-a-timer.md  sh      read
docs/faults.md                               sh      read
docs/groups.md                               sh      tests/docs/test_groups.py
docs/guarantees.md                           sh      read
docs/kubernetes.md                           sh      tests/docs/test_kubernetes.py
docs/metrics.md                              sh      tests/deploy/test_prometheus.py
docs/operations.md                           sh      tests/docs/test_operations.py
docs/operations.md                           sql     tests/docs/test_operations.py
docs/performance.md                          sh      read
docs/schedules.md                            sh      tests/docs/test_schedules.py
docs/sdk.md                                  python  tests/client/test_sdk_page.py
docs/sdk.md                                  sh      read
docs/security.md                             sh      tests/docs/test_security.py
docs/state_machine.md                        mermaid tests/unit/test_state_machine.py
docs/timerctl.md                             sh      tests/ctl/test_page.py
docs/timerctl.md                             toml    tests/ctl/test_page.py
docs/traces.md                               sh      read
"""
"""Which tests run the blocks of a page. `read`: that takes minutes or changes the machine, so its commands are
only looked at here, as those of every page are."""
CODE = {*CHECKS, "ALTER", "CREATE", "GRANT"}
"""What begins a line of code. SELECT and its like begin sketches as well."""


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_block_belongs_to_a_test() -> None:
    there = {(_name(page), block.language) for page in PAGES for block in blocks(page.read_text())}
    claims = [line.split() for line in TESTS.strip().splitlines()]
    assert {(page, language) for page, language, _ in claims} == {each for each in there if each[1]}
    for page, language, test in claims:
        if test == "read":
            assert language == "sh"
        else:
            assert Path(page).stem.lower() in (ROOT / test).read_text().lower(), f"{test} does not read {page}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_block_is_passed_over(page: Path) -> None:
    """What has no language is a picture, or what a program says; and every fence is one that tests read."""
    text = page.read_text()
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(text))
    untold = [block.text for block in blocks(text) if not block.language]
    assert CODE.isdisjoint(line.split()[0] for block in untold for line in block.splitlines() if line.strip())


@pytest.mark.parametrize("page", [page for page in PAGES if "```sh\n" in page.read_text()], ids=_name)
def test_every_command_can_be_given(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.language == "sh":
            for command in commands(block.text):
                check(command)


@pytest.mark.parametrize("name", SERVERS)
def test_an_example_says_how_tests_start_it(name: str) -> None:
    source = (EXAMPLES / f"{name}_receiver.py").read_text()
    [line] = re.findall(r"^TIMER_SECRETS=.*$", source, re.MULTILINE)
    [command] = commands(line)
    assert command.words == [*(word.removeprefix(f"{ROOT}/") for word in SERVERS[name][1:]), "9000"]
    assert all(f'"{variable}"' in source for variable in command.variables)
