"""The programs that operators back up and restore with: the machine's own, or unpacked beside the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from timer_db.embedded import EmbeddedServer, EngineKind
from timer_db.embedded.engines import ENGINES_DIR, Engine
from timer_db.embedded.errors import EmbeddedError
from timer_db.embedded.packages import _alone, _Apt, _mirrors, _os_release, _output, source_of

# Which package of Debian has which program; only those packages are fetched, for the engine brought the libraries.
PACKAGES = {
    EngineKind.mysql: ("mysql-client-core", "mysql-server-core"),
    EngineKind.mariadb: ("mariadb-client-core", "mariadb-client"),
}
PROGRAMS = {
    EngineKind.mysql: ("mysql", "mysqldump", "mysqlbinlog"),
    EngineKind.mariadb: ("mariadb", "mariadb-dump", "mariadb-binlog"),
}


class ClientTools:
    """Client, dump and log reader of one engine. EmbeddedError when they are not to be had."""

    def __init__(self, engine: Engine) -> None:
        self.kind = engine.kind
        self.client, self.dump, self.binlog = (tuple(_found(engine, program)) for program in PROGRAMS[engine.kind])

    def run(
        self,
        tool: Sequence[str],
        *arguments: str,
        server: EmbeddedServer | None = None,
        source: Path | None = None,
        into: IO[bytes] | None = None,
    ) -> bytes:
        """What the tool prints; with `into`, that takes it instead. It logs in as root to the server, if any."""
        command = [*tool, "--no-defaults"]
        environment = dict(os.environ)
        if server:
            command += [f"--socket={server.socket}", "--user=root"]
            environment["MYSQL_PWD"] = (server.data_dir / "password").read_text()
        with (source or Path(os.devnull)).open("rb") as given:
            done = subprocess.run(
                [*command, *arguments],
                stdin=given,
                stdout=into or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                check=False,
            )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout or b""


def _found(engine: Engine, program: str) -> list[str]:
    own = shutil.which(program)
    if own and not engine.program.is_relative_to(ENGINES_DIR):
        return [own]
    unpacked = ENGINES_DIR / f"{engine.kind}-tools" / "usr/bin" / program
    if not unpacked.exists():
        _unpack(engine.kind, ENGINES_DIR / f"{engine.kind}-tools")
    # The loader, its option and the libraries of the engine, which come from the same packages.
    command = [*engine.argv[:3], str(unpacked)] if engine.argv[1] == "--library-path" else [str(unpacked)]
    _output([*command, "--version"])
    return command


def _unpack(kind: EngineKind, target: Path) -> None:
    """Fetch by the project's own way, checked against the distribution's keyring."""
    source = source_of(kind, _os_release(), _output(["dpkg", "--print-architecture"]).strip())
    work = ENGINES_DIR / f".{kind}-tools.download"
    with _alone(kind, ENGINES_DIR) as lock:
        if target.exists():
            return
        apt = _Apt(work, source, lock)
        faults = []
        for mirror in _mirrors(source):
            try:
                apt._write_sources(mirror)
                apt._run("apt-get", "-q", "update")
                _download(work, PACKAGES[kind])
                break
            except EmbeddedError as fault:
                faults.append(str(fault))
        else:
            raise EmbeddedError("; ".join(faults))
        for archive in work.glob("*.deb"):
            _output(["dpkg", "--extract", str(archive), str(work / "tree")])
        (work / "tree").rename(target)
        shutil.rmtree(work)


def _download(work: Path, packages: Sequence[str]) -> None:
    """These packages without what they depend on. apt-get puts them into the folder that it runs in."""
    done = subprocess.run(
        ["apt-get", "-qq", "download", *packages],
        cwd=work,
        env={**os.environ, "APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EmbeddedError(done.stderr.strip() or "apt-get download failed")
