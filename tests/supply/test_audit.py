"""The bill of materials is whole, and an audit that could not be made is not taken for a good one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / ".cicd"))
import audit  # noqa: E402

LOCK = ROOT / "requirements.lock"


class Service(ThreadingHTTPServer):
    """Answers as OSV does, and with projects' pages as PyPI does: the newest version of each is 3.7. `faulty` are
    the packages that it knows a fault of."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faulty: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        vulns = [{"id": "TEST-1", "affected": [{"package": {"name": name, "ecosystem": "PyPI"}}]}]
        self._answer({"vulns": vulns} if name in self.server.faulty else {})

    def do_GET(self) -> None:
        name = self.path.split("/")[1]
        fault = {"id": "TEST-1", "fixed_in": [], "withdrawn": None}
        withdrawn = {**fault, "id": "TEST-2", "withdrawn": "2026-01-01T00:00:00Z"}
        faults = [fault, withdrawn] if name in self.server.faulty else [withdrawn]
        # As a mirror that does not know this data answers.
        known = {"vulnerabilities": faults} if self.server.faulty else {}
        self._answer({"info": {"version": "3.7"}, **known})

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """On this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Service() as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_the_bill_names_every_package_of_the_images_with_its_version(tmp_path: Path) -> None:
    audit.write_bill(LOCK, tmp_path / "sbom.cdx.json")
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", LOCK.read_text(), re.MULTILINE))
    assert len(locked) > 20
    assert bill["bomFormat"] == "CycloneDX"
    assert {(part["name"], part["version"]) for part in bill["components"]} == locked
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"])


def test_the_images_carry_the_lock_of_the_runtime_only() -> None:
    for service in ("timer_api", "timer_controller"):
        text = (ROOT / service / "Dockerfile").read_text()
        assert set(re.findall(r"requirements\S*\.lock", text)) <= {"requirements.lock", "/build/requirements.lock"}
        assert "--require-hashes" in text
        assert "--only-binary :all:" in text
        assert "--no-cache-dir" in text


@pytest.mark.parametrize(
    ("faulty", "code", "words"),
    [
        ({"urllib3"}, 0, "no known fault"),
        ({"urllib3", "idna"}, 1, "idna 3.7: TEST-1"),
        (set(), 2, "NOT AUDITED"),
    ],
)
def test_the_verdict(
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    faulty: set[str],
    code: int,
    words: str,
) -> None:
    """A service that knows of no fault at all is no service, and one that does not answer is none either."""
    service.faulty = faulty
    lock = tmp_path / "requirements.lock"
    lock.write_text("idna==3.7\n")
    nobody, somebody = (
        ["--vulnerability-service", "osv", "--osv-url", url] for url in ("http://127.0.0.1:9/", service.url)
    )
    assert audit.audit(lock, [nobody, somebody], "http://127.0.0.1:9") == code
    said = capsys.readouterr().out
    assert "127.0.0.1:9/: not to be used" in said
    assert words in said


@pytest.mark.parametrize(
    ("pins", "faulty", "code", "words"),
    [
        ("idna==3.7\n", {"pycrypto"}, 0, "audit: no known fault\n"),
        ("idna==3.7 ; python_version > '3'\n", {"pycrypto", "idna"}, 1, "idna 3.7: TEST-1, fixed in no version"),
        ("idna==3.6 \\\n", {"pycrypto"}, 2, "idna 3.6: not asked about: only 3.7, the newest, can be"),
        ("idna==3.6\nh11==3.7\n", {"pycrypto", "h11"}, 1, "1 known faults of the others; NOT AUDITED: 1"),
        ("idna==3.7\n", set(), 2, "NOT AUDITED: no service"),
    ],
)
def test_where_only_pages_of_projects_can_be_had(
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    pins: str,
    faulty: set[str],
    code: int,
    words: str,
) -> None:
    """They tell the faults of the newest version alone: of any other, nothing is known, and that is said."""
    service.faulty = faulty
    lock = tmp_path / "requirements.lock"
    lock.write_text(pins)
    assert audit.audit(lock, [], service.url.rstrip("/")) == code
    said = capsys.readouterr().out
    assert words in said
    assert "TEST-2" not in said
