"""What the start-up probe asks."""

from __future__ import annotations

from timer_db.statements.literals import of_bytes

VERSION = "SELECT VERSION()"
SETTINGS = (
    "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@max_allowed_packet, @@innodb_doublewrite"
)

CONNECTIONS_USED = "SHOW GLOBAL STATUS LIKE 'Threads_connected'"
CONNECTIONS_MAX = "SELECT @@max_connections"

LOG_WRITER_THREADS = "SHOW GLOBAL VARIABLES LIKE 'innodb_log_writer_threads'"
"""(name, ON or OFF); no row where there is no such setting: MariaDB, and MySQL before 8.0.22."""


def put(probe: bytes) -> str:
    """Two rows that only this probe knows."""
    return f"INSERT INTO lock_probes (probe, number) VALUES ({of_bytes(probe)}, 1), ({of_bytes(probe)}, 2)"


def take(probe: bytes) -> str:
    """The first of the two that is not locked, as claims take theirs."""
    return (
        f"SELECT number FROM lock_probes WHERE probe = {of_bytes(probe)}"
        " ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"
    )


def wait_for_locks(seconds: int) -> str:
    """How long this connection waits for a lock."""
    return f"SET SESSION innodb_lock_wait_timeout = {seconds}"


def remove(probe: bytes) -> str:
    """Take both rows out."""
    return f"DELETE FROM lock_probes WHERE probe = {of_bytes(probe)}"
