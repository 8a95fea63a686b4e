"""Every fault of the suite."""

from __future__ import annotations

from tests.faults import connections, crashes, machine
from tests.faults.scene import Fault

FAULTS = [
    Fault("kill-controller", "kill -9 of a controller", crashes.kill_controller, may_repeat=True, seconds=8),
    Fault("kill-api", "kill -9 of an API process", crashes.kill_api),
    Fault("kill-database", "kill -9 of the database", crashes.kill_database, seconds=8, times=3),
    Fault(
        "pause-controller", "SIGSTOP of a controller past its lease, SIGCONT", crashes.pause_controller,
        may_repeat=True, seconds=9, times=3,
    ),
    Fault(
        "vanish", "a controller's machine gone inside a transaction, no connection closed", crashes.vanish,
        may_repeat=True, seconds=9, times=3, through_proxy=True, keeps_locks=True,
    ),
    Fault("restart-all", "SIGTERM and restart of every service in turn", crashes.restart_all, seconds=12, times=2),
    Fault(
        "database-away", "the database stopped for 30 s", crashes.stop_database, seconds=6,
        times=1, stays_away=True,
    ),
    Fault(
        "database-stalls", "SIGSTOP of the database past every lease, SIGCONT", crashes.stall_database,
        seconds=20, times=3, in_short=False,
    ),
    Fault(
        "cut-commit", "a connection cut or held up at a COMMIT", connections.cut(connections.COMMITS),
        seconds=1.5, times=10, times_at_least=3, through_proxy=True,
    ),
    Fault(
        "cut-create", "the same in the middle of a create", connections.cut(connections.CREATE),
        seconds=1.5, times=10, times_at_least=3, through_proxy=True,
    ),
    Fault(
        "cut-claim", "the same in the middle of a claim", connections.cut(connections.CLAIM),
        seconds=1.5, times=10, times_at_least=3, through_proxy=True,
    ),
    Fault(
        "cut-release", "the same while claims are released to be sent", connections.cut(connections.RELEASE),
        seconds=1.5, times=10, times_at_least=3, through_proxy=True,
    ),
    Fault(
        "cut-finish", "the same in the middle of a finish", connections.cut(connections.FINISH),
        seconds=1.5, times=10, times_at_least=3, through_proxy=True,
    ),
    Fault(
        "silent-connection", "a connection over which nothing comes any more",
        connections.silence(connections.EVERYWHERE),
        may_repeat=True, seconds=3, times=4, through_proxy=True, in_short=False,
    ),
    Fault(
        "receiver-trouble", "a receiver resets, is busy, hangs, answers too late", connections.trouble_receiver,
        seconds=4, times=4, times_at_least=4,
    ),
    Fault(
        "wrong-clock", "the clocks of two controllers and an API wrong by an hour", machine.make_clocks_wrong,
        seconds=10, times=1, impossible=machine.no_wrong_clock,
    ),
    Fault(
        "full-disk", "the disk of the database full for some seconds", machine.fill_disk,
        seconds=15, times=1, small_disk_mb=512, may_repeat=True, in_short=False, impossible=machine.no_small_disk,
    ),
    Fault(
        "same-controller-twice", "one controller started twice at once", machine.start_controller_twice, times=2,
    ),
    Fault("run-twice", "make run, twice at once, on a data directory in use", machine.run_twice, times=2),
    Fault(
        "overdue", "everything overdue when the controllers start", crashes.start_controllers,
        times=1, times_at_most=1, is_backlog=True,
    ),
    Fault(
        "kill-with-many-waiting", "kill -9 of a controller while many are overdue", crashes.kill_while_many_wait,
        may_repeat=True, times=5, is_backlog=True, in_short=False, only_when_named=True,
    ),
]  # fmt: skip
