"""Bill of materials of what the images carry, and what is known to be wrong with it: make audit

    python .cicd/audit.py [--lock requirements.lock] [--bill dist/sbom.cdx.json]

The bill (CycloneDX, JSON) needs no network. The audit asks PyPI, else OSV. Exit code: 0 nothing known, 1 something
is, 2 nobody could be asked. A service that does not know an old fault of urllib3 either, as a mirror without that
data, is as good as none: its silence about our packages would mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
KNOWN_FAULT = "urllib3==1.24.1"
"""Fixed in 2019: CVE-2019-11324."""
TIMEOUT_SECONDS = 15
SERVICES = [["--vulnerability-service", "pypi"], ["--vulnerability-service", "osv"]]


class UnknownError(Exception):
    """The service gave no answer that tells anything."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--bill", type=Path, default=ROOT / "dist/sbom.cdx.json")
    options = parser.parse_args()
    write_bill(options.lock, options.bill)
    say(f"{options.bill}: {len(json.loads(options.bill.read_text())['components'])} packages")
    return audit(options.lock, SERVICES)


def audit(lock: Path, services: list[list[str]]) -> int:
    """Tells of the faults that the first service that can be used knows; gives the exit code."""
    for service in services:
        try:
            if not faults_of(KNOWN_FAULT, service):
                raise UnknownError(f"it knows nothing of the faults of {KNOWN_FAULT}")
            faults = faults_of(lock.read_text(), service)
        except UnknownError as error:
            say(f"{' '.join(service)}: not to be used: {error}")
            continue
        for fault in faults:
            say(fault)
        say(f"{len(faults)} known faults" if faults else "no known fault")
        return 1 if faults else 0
    say("NOT AUDITED: no service could be asked; this says nothing about the packages")
    return 2


def write_bill(lock: Path, bill: Path) -> None:
    """The packages of a lock as CycloneDX. The same lock gives the same bytes."""
    bill.parent.mkdir(parents=True, exist_ok=True)
    command = [
        BIN / "cyclonedx-py",
        "requirements",
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
    ]
    subprocess.run([*command, "--of", "JSON", "-o", bill, lock], check=True, stderr=subprocess.DEVNULL)


def faults_of(requirements: str, service: list[str]) -> list[str]:
    """A line per known fault of the packages, pinned each. UnknownError unless every one of them was looked up."""
    with TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text(requirements)
        quiet = ["--format", "json", "--progress-spinner", "off"]
        how = ["--no-deps", "--disable-pip", "--cache-dir", folder, "--timeout", str(TIMEOUT_SECONDS)]
        command = [BIN / "pip-audit", "-r", pinned, *how, *quiet, *service]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise UnknownError(
            asked.stderr.strip().splitlines()[-1] if asked.stderr.strip() else "no answer"
        ) from None
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    if skipped or not packages:
        # pip-audit itself ends well with that.
        raise UnknownError(f"{len(skipped)} of {len(packages)} packages were not looked up: {skipped[:1]}")
    return [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {fault['fix_versions'] or 'no version'}"
        for package in packages
        for fault in package["vulns"]
    ]


def say(line: str) -> None:
    sys.stdout.write(f"audit: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
