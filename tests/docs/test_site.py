"""The site made of README.md and docs/: the whole API is on it, every link leads somewhere, and nothing is loaded
from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from timer_api.app import create_app
from timer_api.settings import ApiSettings

LOADED = re.compile(r'<(?:script|img|iframe)[^>]+src="?([^"\s>]+)|<link[^>]+href="?([^"\s>]+)')


def _build(target: Path, settings: Path = ROOT / "website/mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "-f", settings, "-d", target]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = _build(target)
    assert built.returncode == 0, built.stderr
    return target


def test_every_call_of_the_api_is_on_its_page(site: Path) -> None:
    text = (site / "api/index.html").read_text()
    document = create_app(ApiSettings(db_url="mysql://nobody:nothing@127.0.0.1/timer")).app.openapi()
    calls = [f"{method.upper()} {path}" for path, ways in document["paths"].items() for method in ways]
    assert len(calls) > 30
    for call in calls:
        assert text.count(f"<p><code>{call}</code></p>") == 1, call


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    loaded = [(page, script or link) for page in pages for script, link in LOADED.findall(page.read_text())]
    assert loaded
    assert not [(page, url) for page, url in loaded if re.match(r"(https?:)?//", url)]


def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    broken = "[x](nowhere.md) [x](settings.md#no-such-place) [x](../outside.md)"
    pages = tmp_path / "pages"
    pages.mkdir()
    for each in (ROOT / "docs").iterdir():
        (pages / each.name).symlink_to(each)
    (pages / "concepts.md").unlink()
    (pages / "concepts.md").write_text((ROOT / "docs/concepts.md").read_text() + f"\n{broken}\n")
    settings = (ROOT / "website/mkdocs.yml").read_text()
    settings = settings.replace("../docs", "pages").replace("hooks.py", str(ROOT / "website/hooks.py"))
    (tmp_path / "mkdocs.yml").write_text(settings)
    built = _build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert built.returncode != 0
    for told in ("nowhere.md", "no-such-place", "outside.md"):
        assert told in built.stderr
