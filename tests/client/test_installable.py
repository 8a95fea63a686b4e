"""The client is a distribution of its own: it comes without the services, and works with what it asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "timer_client"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]

# Without what the environment of the tests has: -S leaves its packages out.
IMPORT_ALL = """
import importlib, importlib.util, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import timer_client
names = [module.name for module in pkgutil.walk_packages(timer_client.__path__, "timer_client.")]
missing = {}
for name in names:
    if not name.endswith(".__main__"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing[name] = error.name
services = [name for name in ("timer_db", "timer_api", "timer_controller") if importlib.util.find_spec(name)]
print(json.dumps({"names": names, "missing": missing, "services": services, "where": timer_client.__file__}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since a build leaves its traces."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, *command, str(folder / "source")], check=True)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_has_every_module_and_its_types(wheel: Path) -> None:
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py") if "build" not in path.parts}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {*sources, "timer_client/py.typed"}


def test_its_version_is_that_of_the_services() -> None:
    assert PROJECT["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def needed(requirements: list[str], *extras: str) -> set[str]:
    """The distributions that pip would install for these."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            found |= {requirement.name.lower()}
            found |= needed(distribution(requirement.name).requires or [], *requirement.extras)
    return found


def installed(wheel: Path, requirements: list[str], folder: Path) -> dict[str, Any]:
    """What can be imported where there is nothing but the wheel and what these need."""
    zipfile.ZipFile(wheel).extractall(folder)
    for name in needed(requirements):
        for file in distribution(name).files or ():
            if not file.is_absolute() and ".." not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                if not (folder / file).exists():
                    (folder / file).symlink_to(Path(str(file.locate())))
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(folder)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["where"].startswith(str(folder))
    return found


def test_it_works_without_the_services_and_what_they_need(wheel: Path, tmp_path: Path) -> None:
    asked = PROJECT["dependencies"]
    assert {"httpx", "tenacity", "standardwebhooks"} == {Requirement(each).name for each in asked}
    assert not needed(asked) & {"fastapi", "sqlalchemy", "pydantic", "uvicorn", "aiomysql"}
    found = installed(wheel, asked, tmp_path)
    assert found["services"] == []
    # The command line is an extra of its own.
    missing = {name: lacks for name, lacks in found["missing"].items() if not name.startswith("timer_client.ctl")}
    assert missing == {"timer_client.receive.sql": "sqlalchemy"}


def test_its_extras_bring_the_rest(wheel: Path, tmp_path: Path) -> None:
    asked = [
        *PROJECT["dependencies"],
        *(each for some in PROJECT["optional-dependencies"].values() for each in some),
    ]
    assert installed(wheel, asked, tmp_path)["missing"] == {}
