"""What a server is started with, and the statements it runs first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from timer_db.embedded.engines import Engine, EngineKind

# As mariadb-install-db feeds them; the help texts are left out.
MARIADB_SYSTEM_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
)


def data_arguments(engine: Engine, db: Path, tmp: Path) -> list[str]:
    """What making the data and serving it have in common."""
    arguments = [
        *engine.argv,
        f"--datadir={db}",
        f"--tmpdir={tmp}",
        f"--secure-file-priv={tmp}",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_bin",
        "--skip-name-resolve",
    ]
    # Both engines refuse to run as root unless told that it is meant.
    return [*arguments, "--user=root"] if os.geteuid() == 0 else arguments


def initialise_arguments(kind: EngineKind) -> list[str]:
    """What makes a server fill an empty folder and end. MariaDB reads the statements from its stdin."""
    match kind:
        case EngineKind.mysql:
            return ["--initialize-insecure"]
        case EngineKind.mariadb:
            return ["--bootstrap", "--enforce-storage-engine=", "--max-allowed-packet=8M"]
        case _:
            assert_never(kind)


def mariadb_system_tables(engine: Engine) -> str:
    """The statements that make MariaDB's own tables."""
    # One account, and none for the machine's own name.
    head = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = 'root';\n"
    return head + "".join((engine.share_dir / name).read_text() for name in MARIADB_SYSTEM_TABLES)


def serve_arguments(kind: EngineKind, *, buffer_pool_mb: int, redo_log_mb: int) -> list[str]:
    """What timers need from the server: safe commits, row locks without gaps, nothing beyond this machine."""
    arguments = [
        "--bind-address=127.0.0.1",
        "--max-connections=500",
        "--performance-schema=OFF",
        "--default-time-zone=+00:00",
        "--transaction-isolation=READ-COMMITTED",
        # What was answered 2xx survives a power cut.
        "--innodb-flush-log-at-trx-commit=1",
        "--sync-binlog=1",
        f"--innodb-buffer-pool-size={buffer_pool_mb}M",
        # A binary log as in production, but only its last hour.
        "--log-bin=binlog",
        "--server-id=1",
        "--max-binlog-size=256M",
        "--binlog-expire-logs-seconds=3600",
    ]
    match kind:
        case EngineKind.mysql:
            # Its row format is the default, and naming it is deprecated.
            return [
                *arguments,
                "--mysqlx=OFF",
                f"--loose-innodb-redo-log-capacity={redo_log_mb}M",
                # Without them commits stand still for 100 ms now and then (decision 5).
                "--loose-innodb-log-writer-threads=ON",
            ]
        case EngineKind.mariadb:
            return [*arguments, "--binlog-format=ROW", f"--innodb-log-file-size={redo_log_mb}M"]
        case _:
            assert_never(kind)


def start_sql(database: str, password: str) -> str:
    """Database and accounts as they should be, at every start. --init-file wants one statement a line."""
    timer, root = "'timer'@'127.0.0.1'", "'root'@'localhost'"
    # In a grant, _ would stand for any letter.
    pattern = database.replace("_", r"\_")
    statements = [
        "SET sql_log_bin = 0",
        f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        f"CREATE USER IF NOT EXISTS {timer} IDENTIFIED BY '{password}'",
        f"ALTER USER {timer} IDENTIFIED BY '{password}'",
        f"ALTER USER {root} IDENTIFIED BY '{password}'",
        f"GRANT ALL ON `{pattern}`.* TO {timer}",
        # More databases of the same family, for shards and for tests.
        rf"GRANT ALL ON `{pattern}\_%`.* TO {timer}",
        # To see who waits for whom.
        f"GRANT PROCESS ON *.* TO {timer}",
    ]
    return "".join(f"{statement};\n" for statement in statements)
