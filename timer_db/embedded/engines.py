"""Server programs: which are at hand, and how each is called."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ENGINES_DIR = Path(__file__).resolve().parents[2] / ".engines"
OTHER_SEARCH_DIRS = ("/usr/local/sbin", "/usr/sbin", "/usr/libexec", "/usr/local/mysql/bin")
APPARMOR_DIR = Path("/etc/apparmor.d")
APPARMOR_SWITCH = Path("/sys/module/apparmor/parameters/enabled")


class EngineKind(StrEnum):
    mysql = "mysql"
    mariadb = "mariadb"


# The first that know FOR UPDATE SKIP LOCKED, and in MySQL a VALUES that stands by itself.
OLDEST = {EngineKind.mysql: (8, 0, 19), EngineKind.mariadb: (10, 6)}
PROGRAMS = {EngineKind.mysql: "mysqld", EngineKind.mariadb: "mariadbd"}


@dataclass(frozen=True)
class Engine:
    """A server program that has answered to `--version`. `argv` starts it and ends before the settings."""

    kind: EngineKind
    version: str
    argv: tuple[str, ...]
    program: Path
    share_dir: Path
    """Holds the messages and, for MariaDB, the SQL that makes the system tables."""


def version_key(version: str) -> tuple[int, ...]:
    """`10.11.18` → (10, 11, 18), for comparing."""
    return tuple(int(part) for part in version.split("."))


def unpacked_engine(kind: EngineKind, engines_dir: Path = ENGINES_DIR) -> Engine | None:
    """The server that was unpacked into the engines folder, if it is there and runs on this machine."""
    return tree_engine(kind, engines_dir.absolute() / kind)


def tree_engine(kind: EngineKind, root: Path) -> Engine | None:
    """The server in a folder of unpacked packages, called through the C library that came with it."""
    program, usr = root / "usr/sbin" / PROGRAMS[kind], root / "usr"
    library_dirs = [path for top in (root, usr) for path in sorted(top.glob("lib/*-linux-*")) if path.is_dir()]
    loaders = [path for folder in library_dirs for path in sorted(folder.glob("ld*.so.[0-9]"))]
    if not program.exists() or not loaders:
        return None
    share_dir = usr / "share/mysql"
    library_dirs.append(usr / "lib/mysql/private")
    loader = (str(loaders[0]), "--library-path", ":".join(map(str, library_dirs)))
    folders = (f"--basedir={usr}", f"--lc-messages-dir={share_dir}", f"--plugin-dir={usr}/lib/mysql/plugin")
    return _probe(kind, (*loader, str(program), "--no-defaults", *folders), program, share_dir)


def search_dirs() -> list[Path]:
    """Where servers are installed: PATH, and what an ordinary user's PATH leaves out."""
    return [Path(folder) for folder in (*os.get_exec_path(), *OTHER_SEARCH_DIRS)]


def machines_own_engine(kind: EngineKind, search: Sequence[Path]) -> Engine | None:
    """The first server of this kind in these folders that runs, is new enough and may use our folders."""
    for program in _programs(kind, search):
        if _is_confined(program):
            continue
        share_dir = _share_dir(program)
        engine = share_dir and _probe(kind, (str(program), "--no-defaults"), program, share_dir)
        if engine and version_key(engine.version) >= OLDEST[kind]:
            return engine
    return None


def _programs(kind: EngineKind, search: Sequence[Path]) -> Iterator[Path]:
    # MariaDB was called mysqld for long, so the name alone does not tell the kind.
    for name in dict.fromkeys((PROGRAMS[kind], "mysqld")):
        for folder in dict.fromkeys(search):
            program = folder / name
            # Not Path.is_file, which raises for a folder that we may not enter.
            if os.path.isfile(program) and os.access(program, os.X_OK):
                yield program


def _share_dir(program: Path) -> Path | None:
    prefix = program.resolve().parent.parent
    for folder in (prefix / "share/mysql", prefix / "share/mariadb", prefix / "share"):
        if os.path.isfile(folder / "english/errmsg.sys"):
            return folder
    return None


def _is_confined(program: Path) -> bool:
    """Whether AppArmor would keep this program out of our data folder (Ubuntu's mysqld)."""
    try:
        if APPARMOR_SWITCH.read_text().strip() != "Y":
            return False
        name = str(program.resolve()).strip("/").replace("/", ".")
        lines = (APPARMOR_DIR / name).read_text().splitlines()
    except OSError:
        return False
    has_rules = any(line.strip() and not line.lstrip().startswith("#") for line in lines)
    return has_rules and not (APPARMOR_DIR / "disable" / name).exists()


def _probe(kind: EngineKind, argv: tuple[str, ...], program: Path, share_dir: Path) -> Engine | None:
    """Ask the program who it is; None when it does not run here or is of the other kind."""
    try:
        run = subprocess.run([*argv, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bVer (\d+\.\d+\.\d+)", run.stdout)
    is_mariadb = "MariaDB" in run.stdout
    if run.returncode or not found or is_mariadb != (kind is EngineKind.mariadb):
        return None
    return Engine(kind, found[1], argv, program, share_dir)
