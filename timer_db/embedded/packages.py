"""Unpacks a server beside the project from the distribution's packages, without root.

apt works on a configuration and lists of its own, in a folder of ours, and takes the machine to be empty:
so it fetches everything the server needs, its C library included, and the machine's state is never touched.
Every list and package is checked against the distribution's keyring; only the lists' age is given more room.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timer_db.embedded.engines import OLDEST, Engine, EngineKind, tree_engine, version_key
from timer_db.embedded.errors import EmbeddedError

OS_RELEASE = Path("/etc/os-release")
KEYRINGS_DIR = Path("/usr/share/keyrings")
DEBIAN_MIRROR = "http://deb.debian.org/debian"
UBUNTU_MIRROR = "http://archive.ubuntu.com/ubuntu"
UBUNTU_PORTS_MIRROR = "http://ports.ubuntu.com/ubuntu-ports"
UBUNTU_MAIN_ARCHITECTURES = ("amd64", "i386")
# How old a mirror's signed lists may be. Debian's unstable says a week, which a frozen mirror outlives.
OLDEST_LISTS_SECONDS = 365 * 86_400
# Of what comes with the server, the parts that no server opens.
NOT_NEEDED = (
    "etc",
    "var",
    "usr/bin",
    "usr/include",
    "usr/lib/*-linux-*/gconv",
    "usr/lib/*-linux-*/perl*",
    "usr/share/[!m]*",
    "usr/share/man",
)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where a distribution publishes a server."""

    suites: tuple[str, ...]
    components: str
    default_mirror: str
    keyring: str
    codenames: tuple[str, ...]
    """What the machine's own apt sources call its release."""


def unpack_server(kind: EngineKind, engines_dir: Path, mirror: str | None, progress: Progress) -> Engine:
    """Download and unpack; a process that comes second waits for the first and takes what it made."""
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise EmbeddedError(f"there is no {missing[0]} to get one with")
    source = source_of(kind, _os_release(), _output(["dpkg", "--print-architecture"]).strip())
    target, work = engines_dir / kind, engines_dir / f".{kind}.download"
    try:
        with _alone(kind, engines_dir) as lock:
            if engine := tree_engine(kind, target):
                return engine
            archives = _Apt(work, source, lock).fetch(kind, [mirror] if mirror else _mirrors(source), progress)
            progress(f"{kind}: unpacking {len(archives)} packages")
            tree = _unpack(archives, work / "tree")
            _check(kind, tree)
            _put_in_place(tree, target, work / "old")
            shutil.rmtree(work)
    except OSError as fault:
        raise EmbeddedError(f"cannot write into {engines_dir} ({fault})") from fault
    engine = tree_engine(kind, target)
    assert engine, "it has just answered from the folder it was moved out of"
    return engine


def source_of(kind: EngineKind, release: Mapping[str, str], architecture: str) -> Source:
    """Choose by the words of /etc/os-release."""
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if "ubuntu" in family:
        codename = release.get("UBUNTU_CODENAME") or release.get("VERSION_CODENAME", "")
        suites = (codename, f"{codename}-updates", f"{codename}-security")
        is_main = architecture in UBUNTU_MAIN_ARCHITECTURES
        mirror = UBUNTU_MIRROR if is_main else UBUNTU_PORTS_MIRROR
        return Source(suites, "main universe", mirror, "ubuntu-archive-keyring", (codename,))
    if "debian" in family:
        own = release.get("VERSION_CODENAME") if release.get("ID") == "debian" else None
        codename = own or release.get("DEBIAN_CODENAME") or "stable"
        # Debian releases carry MariaDB only; MySQL lives in unstable.
        suite = "unstable" if kind is EngineKind.mysql else codename
        names = (codename, "stable", "testing", "unstable", "sid")
        return Source((suite,), "main", DEBIAN_MIRROR, "debian-archive-keyring", names)
    name = release.get("PRETTY_NAME", "this system")
    raise EmbeddedError(f"{name} is neither Debian nor Ubuntu")


def _os_release() -> dict[str, str]:
    try:
        lines = OS_RELEASE.read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}


def _mirrors(source: Source) -> list[str]:
    """The mirrors that the machine's own apt sources name for its release, then the default."""
    # Works without downloaded lists, without root and for every format of sources.
    printed = _output(["apt-get", "update", "--print-uris"])
    found = re.findall(r"^'(\S+?)/+dists/([^/\s]+)/main/binary-[^/]+/Packages", printed, re.MULTILINE)
    own = [mirror for mirror, suite in found if suite in source.codenames]
    return list(dict.fromkeys([*own, source.default_mirror]))


class _Apt:
    """apt with a configuration, lists and archives of its own."""

    def __init__(self, work: Path, source: Source, lock: int) -> None:
        self._work, self._source, self._lock = work, source, lock
        for folder in ("state/lists/partial", "archives/partial", "none/partial", "etc/parts"):
            (work / folder).mkdir(parents=True, exist_ok=True)
        (work / "state/status").touch()
        (work / "apt.conf").write_text(self._configuration())

    def fetch(self, kind: EngineKind, mirrors: Sequence[str], progress: Progress) -> list[Path]:
        """Download the server's package and all it needs from the first mirror that has it."""
        faults = []
        for mirror in mirrors:
            progress(f"{kind}: downloading from {mirror} {self._source.suites[0]}")
            try:
                return self._fetch_from(mirror, kind)
            except EmbeddedError as fault:
                faults.append(f"{mirror}: {fault}")
        raise EmbeddedError("; ".join(faults))

    def _fetch_from(self, mirror: str, kind: EngineKind) -> list[Path]:
        self._write_sources(mirror)
        self._run("apt-get", "-q", "update")
        package = self._package(kind)
        install = ("apt-get", "-qq", "--yes", "--no-install-recommends")
        # Into an empty folder, or it would leave out what is there from a try that was cut off.
        uris = self._run(
            *install, "-o", f"Dir::Cache::archives={self._work}/none", "--print-uris", "install", package
        )
        self._run(*install, "--download-only", "install", package)
        names = re.findall(r"^'\S+' (\S+\.deb) ", uris, re.MULTILINE)
        return [self._work / "archives" / name for name in names]

    def _package(self, kind: EngineKind) -> str:
        pattern = f"^{kind}-server-core(-[0-9.]+)?$"
        found = self._run("apt-cache", "search", "--names-only", pattern)
        names = [line.split()[0] for line in found.splitlines()]
        if not names:
            raise EmbeddedError(f"no package {kind}-server-core in {' '.join(self._source.suites)}")
        # The one without a number is the newest; among numbered ones the highest.
        return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)] or [10**6])

    def _write_sources(self, mirror: str) -> None:
        keyrings = [KEYRINGS_DIR / f"{self._source.keyring}.{ending}" for ending in ("gpg", "pgp")]
        keyring = next((path for path in keyrings if path.exists()), None)
        if keyring is None:
            raise EmbeddedError(f"{keyrings[0]} is missing: install the package {self._source.keyring}")
        lines = [
            f"deb [signed-by={keyring}] {mirror} {suite} {self._source.components}\n"
            for suite in self._source.suites
        ]
        (self._work / "etc/sources.list").write_text("".join(lines))

    def _configuration(self) -> str:
        """What apt reads instead of /etc/apt, except the machine's proxies, which it needs."""
        dumped = _output(["apt-config", "dump"]).splitlines()
        proxies = [line for line in dumped if line.startswith("Acquire::http")]
        settings = {
            "Dir::State": self._work / "state",
            "Dir::State::Lists": self._work / "state/lists",
            "Dir::State::status": self._work / "state/status",
            "Dir::Cache": self._work,
            "Dir::Cache::archives": self._work / "archives",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": self._work / "etc/parts",
            "Dir::Etc::sourcelist": self._work / "etc/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            # As root, apt would download as a user who may not write into our folder.
            "APT::Sandbox::User": "root",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "APT::Update::Error-Mode": "any",
            "Acquire::Min-ValidTime": OLDEST_LISTS_SECONDS,
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
        }
        return "\n".join([*proxies, *(f'{name} "{value}";' for name, value in settings.items()), ""])

    def _run(self, *argv: str) -> str:
        env = {**os.environ, "APT_CONFIG": str(self._work / "apt.conf"), "LC_ALL": "C.UTF-8"}
        # apt takes our lock along: if we are killed, who comes next waits until it has ended too.
        return _output(argv, env, keep_open=(self._lock,))


def _unpack(archives: Sequence[Path], tree: Path) -> Path:
    shutil.rmtree(tree, ignore_errors=True)
    for archive in archives:
        _output(["dpkg", "--extract", str(archive), str(tree)])
    for pattern in NOT_NEEDED:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
    return tree


def _check(kind: EngineKind, tree: Path) -> None:
    engine = tree_engine(kind, tree)
    if engine is None:
        raise EmbeddedError(f"the {kind} that was downloaded does not run here")
    if version_key(engine.version) < OLDEST[kind]:
        wanted = ".".join(map(str, OLDEST[kind]))
        raise EmbeddedError(f"this system's {kind} is {engine.version}, needed is {wanted} or newer")


def _put_in_place(tree: Path, target: Path, old: Path) -> None:
    """A rename is whole or not at all, so a half-made folder is never taken for an engine."""
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    tree.rename(target)


@contextmanager
def _alone(kind: EngineKind, engines_dir: Path) -> Iterator[int]:
    """Yield a descriptor that holds the lock on this engine's folder, once no other process has it."""
    engines_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(engines_dir / f".{kind}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _output(argv: Sequence[str], env: Mapping[str, str] | None = None, keep_open: Sequence[int] = ()) -> str:
    """What the program prints; its complaint as an error."""
    run = subprocess.run(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=keep_open,
    )
    if run.returncode == 0:
        return run.stdout
    lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
    complaint = next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no word why")
    raise EmbeddedError(f"{argv[0]}: {complaint.removeprefix('E:').strip()}")
