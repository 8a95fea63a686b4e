"""The enums, the transition table and the diagram agree. (`tests/db` compares the database with them.)"""

from __future__ import annotations

import re
from pathlib import Path

from timer_db.domain.states import AFTER_ATTEMPT, ENDED, TRANSITIONS, TimerState, may_become

DIAGRAM = Path(__file__).parents[2] / "docs" / "state_machine.md"
START = END = "[*]"
_ARROW = re.compile(r"^\s*(\[\*\]|\w+)\s*-->\s*(\[\*\]|\w+)\s*(?::.*)?$")


def _drawn() -> set[tuple[str, str]]:
    """The arrows of the diagram."""
    blocks = re.findall(r"```mermaid\n(.*?)```", DIAGRAM.read_text(), re.DOTALL)
    [block] = [block for block in blocks if block.lstrip().startswith("stateDiagram-v2")]
    lines = [line for line in block.splitlines() if "-->" in line]
    arrows = [_ARROW.match(line) for line in lines]
    assert all(arrows), f"an arrow does not read as 'a --> b': {lines}"
    return {(arrow[1], arrow[2]) for arrow in arrows if arrow}


def test_the_diagram_shows_every_transition_and_no_other() -> None:
    inner = {(source, target) for source, target in _drawn() if START not in (source, target)}
    assert inner == {(source.value, target.value) for source, target in TRANSITIONS}


def test_the_diagram_begins_and_ends_as_timers_do() -> None:
    drawn = _drawn()
    assert {target for source, target in drawn if source == START} == {TimerState.scheduled.value}
    assert {source for source, target in drawn if target == END} == {state.value for state in ENDED}


def test_ends_are_the_states_that_only_a_replay_leaves() -> None:
    left = {state: {target for source, target in TRANSITIONS if source is state} for state in TimerState}
    assert {state for state in TimerState if left[state] <= {TimerState.scheduled}} == ENDED
    assert left[TimerState.cancelled] == set()


def test_every_state_is_reached() -> None:
    assert {target for _, target in TRANSITIONS} == set(TimerState)


def test_attempts_lead_where_firing_leads() -> None:
    assert {state for state in TimerState if may_become(TimerState.firing, state)} == AFTER_ATTEMPT
    assert TimerState.cancelled not in AFTER_ATTEMPT
