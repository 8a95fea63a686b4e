"""What a controller tells of several databases and of many groups, and from when on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.unit.test_tally import finished
from timer_controller.metrics.collector import ControllerCollector
from timer_controller.metrics.tally import Tally
from timer_db.domain.collection import Collection
from timer_db.domain.destination import Grouped
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.owner import Owner
from timer_db.domain.route import Route, RouteSettings
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.membership import Member
from timer_db.operations.overview import Glance

NOW_US = 1_800_000_000_000_000
ME = Member(0, 1, "host", 1, "v", NOW_US, NOW_US, 0)


@dataclass
class Session:
    """A membership that does little."""

    held: int = 0
    in_flight: int = 0
    breakers_open: int = 0


def told(
    *seen: Glance | None,
    tally: Tally | None = None,
    sessions: Sequence[Session] = (),
    directory: Directory = ONLY_DEFAULT,
) -> dict[str, dict[tuple[str, ...], float]]:
    """By name and values of labels."""
    collector = ControllerCollector(
        tally or Tally(),
        is_ready=lambda: True,
        sessions=lambda: sessions,
        backlogs=lambda: seen,
        directory=lambda: directory,
    )
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in collector.collect():
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def glance(**fields: object) -> Glance:
    """What was seen at `NOW_US`."""
    return Glance(NOW_US, 1000, members=[ME], **fields)  # type: ignore[arg-type]


def test_what_is_known_is_told_while_one_database_is_away() -> None:
    late = glance(first_at_us=NOW_US - 60_000_000, overdue=700)
    metrics = told(late, None, glance(overdue=300))
    assert metrics["timer_backlog_due"] == {(): 1000}
    assert metrics["timer_backlog_oldest_seconds"] == {(): 60}
    assert metrics["timer_controllers"] == {(): 1}
    assert metrics["timer_database_looked_at"] == {("0",): 1, ("1",): 0, ("2",): 1}


def test_while_none_is_known_nothing_is_made_up() -> None:
    metrics = told(None, None)
    assert metrics["timer_database_looked_at"] == {("0",): 0, ("1",): 0}
    assert not [
        name for name in metrics if name.startswith(("timer_backlog", "timer_deferred", "timer_controllers"))
    ]


def test_unknown_outcomes_are_told_from_the_start() -> None:
    """Those of a group begin to be told with the first, and to Prometheus have not grown then."""
    tally = Tally()
    assert told(tally=tally)["timer_unknown_total"] == {(): 0}
    tally.note_written([finished(Outcome.unknown, TimerState.unknown, Owner(1, route)) for route in (7, 8)])
    tally.note_written([finished(Outcome.delivered, TimerState.delivered)])
    assert told(tally=tally)["timer_unknown_total"] == {(): 2}


def test_what_a_receiver_holds_up_is_told_apart_from_what_is_paused() -> None:
    settings = RouteSettings("https://a.test/")
    directory = Directory(
        {1: Collection(1, "default"), 2: Collection(2, "shop", is_paused=True)},
        {
            1: Route(1, "open", settings),
            2: Route(2, "paused", settings, is_paused=True),
            3: Route(3, "broken", settings, disabled_at_us=NOW_US, disabled_because="it failed"),
        },
    )

    def since(seconds: int) -> int:
        return NOW_US - seconds * 1_000_000

    one = glance(held_at_us={None: since(5), (Grouped.collection, 2): since(9000), (Grouped.route, 1): since(30)})
    other = glance(
        held_at_us={
            None: since(20),
            (Grouped.route, 2): since(8000),
            (Grouped.route, 3): since(700),
            (Grouped.route, 99): since(9999),
        }
    )
    held = told(one, other, directory=directory)["timer_deferred_oldest_seconds"]
    assert held == {("receiver",): 20, ("route",): 30, ("disabled",): 700, ("pause",): 9999}
    assert set(told(glance())["timer_deferred_oldest_seconds"].values()) == {0}


def test_one_receiver_in_trouble_is_one_whatever_the_number_of_databases() -> None:
    metrics = told(sessions=[Session(held=2, breakers_open=1), Session(held=3, breakers_open=1)])
    assert metrics["timer_breakers_open"] == {(): 1}
    assert metrics["timer_claims_in_hand"] == {(): 5}
    assert told()["timer_breakers_open"] == {(): 0}
