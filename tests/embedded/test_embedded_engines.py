"""Which server program is chosen, and what is said when there is none."""

from __future__ import annotations

import multiprocessing
import shlex
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from timer_db.embedded import (
    EmbeddedError,
    Engine,
    EngineKind,
    cli,
    engines,
    find_engine,
    install_engine,
    packages,
)

from .helpers import ServerMaker, query

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get on this machine")


def need_unpacked(kind: EngineKind) -> None:
    if not engines.unpacked_engine(kind):
        pytest.skip(f"this machine has its own {kind}, none was unpacked")


def install_on_machine(engine: Engine, prefix: Path, name: str) -> Path:
    """A prefix like /usr, in which this engine is what `name` calls. Returns the folder to search."""
    (prefix / "sbin").mkdir(parents=True)
    (prefix / "share").mkdir()
    (prefix / "share/mysql").symlink_to(engine.share_dir)
    program = prefix / "sbin" / name
    # After --no-defaults, which has to come first; the script gives the folders that /usr has built in.
    prefix_argv = [word for word in engine.argv if word != "--no-defaults"]
    where = next(i for i, word in enumerate(prefix_argv) if word == str(engine.program)) + 1
    call = shlex.join([*prefix_argv[:where], "--no-defaults", *prefix_argv[where:]])
    program.write_text(f'#!/bin/sh\nshift\nexec {call} "$@"\n')
    program.chmod(0o755)
    return program.parent


def test_the_machines_own_server_comes_first_and_serves(
    engine: Engine, start_server: ServerMaker, data_dir: Path, tmp_path: Path
) -> None:
    folder = install_on_machine(engine, tmp_path / "usr", engines.PROGRAMS[engine.kind])
    found = find_engine(search=[folder])
    assert (found.kind, found.version, found.program.parent) == (engine.kind, engine.version, folder)
    assert query(start_server(data_dir, engine=found), "SELECT 1") == [(1,)]


def test_a_name_does_not_make_a_kind(tmp_path: Path) -> None:
    mariadb = find_engine(EngineKind.mariadb)
    folder = install_on_machine(mariadb, tmp_path / "usr", "mysqld")
    assert find_engine(EngineKind.mysql, search=[folder]).program.parent != folder
    assert find_engine(EngineKind.mariadb, search=[folder]).program.parent == folder


def test_an_unpacked_server_is_used_where_the_machine_has_none(engine: Engine, tmp_path: Path) -> None:
    need_unpacked(engine.kind)
    link = tmp_path / "engines"
    link.mkdir()
    (link / engine.kind).symlink_to(engines.ENGINES_DIR / engine.kind)
    found = find_engine(engine.kind, engines_dir=link, search=[])
    assert found.program == link / engine.kind / "usr/sbin" / engines.PROGRAMS[engine.kind]
    assert install_engine(engine.kind, engines_dir=link) == found
    # Any will do, and there is one.
    assert find_engine(engines_dir=link, search=[]) == found


def test_a_program_that_is_too_old_or_does_not_run_is_passed_over(tmp_path: Path) -> None:
    programs = [
        "echo 'mysqld  Ver 5.7.44 for Linux on x86_64'",
        "echo 'mysqld  Ver 8.0.36 for Linux on x86_64'; exit 127",
    ]
    for number, script in enumerate(programs):
        prefix = tmp_path / str(number)
        (prefix / "share/mysql/english").mkdir(parents=True)
        (prefix / "share/mysql/english/errmsg.sys").touch()
        (prefix / "sbin").mkdir()
        (prefix / "sbin/mysqld").write_text(f"#!/bin/sh\n{script}\n")
        (prefix / "sbin/mysqld").chmod(0o755)
        assert engines.machines_own_engine(EngineKind.mysql, [prefix / "sbin"]) is None


@pytest.mark.parametrize(
    ("profile", "disabled", "confined"),
    [("/usr/sbin/mysqld { }\n", False, True), ("/usr/sbin/mysqld { }\n", True, False), ("# none\n", False, False)],
)
def test_a_program_that_apparmor_confines_is_passed_over(
    profile: str, disabled: bool, confined: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install_on_machine(find_engine(EngineKind.mariadb), tmp_path / "usr", "mariadbd")
    name = str(folder / "mariadbd").strip("/").replace("/", ".")
    (tmp_path / "disable").mkdir()
    (tmp_path / name).write_text(profile)
    if disabled:
        (tmp_path / "disable" / name).touch()
    (tmp_path / "enabled").write_text("Y\n")
    monkeypatch.setattr(engines, "APPARMOR_DIR", tmp_path)
    monkeypatch.setattr(engines, "APPARMOR_SWITCH", tmp_path / "enabled")
    assert (engines.machines_own_engine(EngineKind.mariadb, [folder]) is None) == confined


@pytest.mark.parametrize("kind", [EngineKind.mysql, EngineKind.mariadb, None])
def test_a_machine_without_any_gets_one_clear_line(
    kind: EngineKind | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "os-release").write_text('ID=alpine\nPRETTY_NAME="Alpine Linux v3.20"\n')
    monkeypatch.setattr(packages, "OS_RELEASE", tmp_path / "os-release")
    monkeypatch.setattr(packages, "_output", lambda argv: "amd64\n")
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(EmbeddedError) as caught:
        find_engine(kind, engines_dir=tmp_path / "engines", search=[])
    assert str(caught.value) == (
        f"no {kind or 'mysql or mariadb'} server on this machine, and none to be had"
        " (Alpine Linux v3.20 is neither Debian nor Ubuntu):"
        " install mysql-server or mariadb-server, or let TIMER_DB_URL name a server of your own"
    )


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"none to be had \(there is no apt-get to get one with\)"):
        find_engine(engines_dir=tmp_path / "engines", search=[])


@needs_apt
def test_an_unsigned_mirror_is_refused(tmp_path: Path) -> None:
    architecture = packages._output(["dpkg", "--print-architecture"]).strip()
    for kind in EngineKind:
        source = packages.source_of(kind, packages._os_release(), architecture)
        for suite in source.suites:
            for component in source.components.split():
                index = tmp_path / "mirror/dists" / suite / component / f"binary-{architecture}/Packages"
                index.parent.mkdir(parents=True)
                index.write_text("Package: mysql-server-core\nVersion: 9\nArchitecture: all\nFilename: x.deb\n")
            (tmp_path / "mirror/dists" / suite / "Release").write_text(f"Codename: {suite}\n")
    with pytest.raises(EmbeddedError, match="is not signed") as caught:
        install_engine(EngineKind.mysql, engines_dir=tmp_path / "engines", mirror=f"file:{tmp_path}/mirror")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "engines/mysql").exists()


def test_a_half_unpacked_server_is_none(tmp_path: Path) -> None:
    (tmp_path / "mysql/usr/sbin").mkdir(parents=True)
    (tmp_path / "mysql/usr/sbin/mysqld").touch()
    assert engines.unpacked_engine(EngineKind.mysql, tmp_path) is None


def _unpack(engines_dir: Path, barrier: Barrier, made: list[str]) -> None:
    """In a process of its own: unpack a server that takes its time, and tell of it."""

    class Slow:
        def __init__(self, *_: object) -> None:
            pass

        def fetch(self, *_: object) -> list[Path]:
            made.append("fetched")
            return []

    packages._Apt = Slow  # type: ignore[assignment, misc]
    packages._unpack = lambda _, tree: shutil.copytree(  # type: ignore[assignment]
        engines.ENGINES_DIR / "mariadb", tree, symlinks=True
    )
    barrier.wait()
    install_engine(EngineKind.mariadb, engines_dir=engines_dir, mirror="none")
    made.append("installed")


@needs_apt
def test_two_processes_that_install_at_once_download_once(tmp_path: Path) -> None:
    need_unpacked(EngineKind.mariadb)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        made, barrier = manager.list(), context.Barrier(2)
        processes = [context.Process(target=_unpack, args=(tmp_path, barrier, made)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert sorted(made) == ["fetched", "installed", "installed"]


def test_sources_by_distribution() -> None:
    def suites(kind: EngineKind, **release: str) -> tuple[str, ...]:
        return packages.source_of(kind, release, "amd64").suites

    bookworm = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    noble = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"}
    mint = {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "zara", "UBUNTU_CODENAME": "noble"}
    assert suites(EngineKind.mysql, **bookworm) == ("unstable",)
    assert suites(EngineKind.mariadb, **bookworm) == ("bookworm",)
    for ubuntu in (noble, mint):
        for kind in EngineKind:
            assert suites(kind, **ubuntu) == ("noble", "noble-updates", "noble-security")
    arm = packages.source_of(EngineKind.mysql, noble, "arm64")
    assert arm.default_mirror == packages.UBUNTU_PORTS_MIRROR


def test_the_machines_own_mirror_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = """
'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' a 0
'http://mirror.example/security/dists/bookworm-security/main/binary-amd64/Packages.xz' b 0
'https://other.example/dists/nodistro/main/binary-amd64/Packages.xz' c 0
"""
    monkeypatch.setattr(packages, "_output", lambda argv: printed)
    bookworm = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    source = packages.source_of(EngineKind.mysql, bookworm, "amd64")
    assert packages._mirrors(source) == ["http://mirror.example/debian", packages.DEBIAN_MIRROR]


def test_the_command_says_what_is_at_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.install_engines([EngineKind.mysql, EngineKind.mariadb]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [find_engine(kind) for kind in EngineKind]
    assert lines == [f"{engine.kind} {engine.version} {engine.program}" for engine in found]


def test_the_command_fails_for_a_kind_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(kind: EngineKind, **_: object) -> Engine:
        if kind is EngineKind.mysql:
            raise EmbeddedError("no mysql here")
        return find_engine(kind)

    monkeypatch.setattr(cli, "find_engine", find)
    assert cli.install_engines([EngineKind.mysql, EngineKind.mariadb]) == 1
    output = capsys.readouterr()
    assert output.err == "no mysql here\n"
    assert output.out.startswith("mariadb ")
