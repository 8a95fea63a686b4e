"""Bill of materials of what the images carry, and what is known to be wrong with it: make audit

    python .cicd/audit.py [--lock requirements.lock] [--bill dist/sbom.cdx.json]

The bill (CycloneDX, JSON) needs no network. The audit asks PyPI by pip-audit, else OSV, else PyPI's pages of whole
projects: mirrors have these when they lack the rest, and they tell the faults of a project's newest version. Exit
code: 0 nothing known, 1 something is, 2 not every package could be asked about. A service that does not know an
old fault either is as good as none: its silence about our packages would mean nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
KNOWN_FAULT = "urllib3==1.24.1"
"""Fixed in 2019: CVE-2019-11324."""
KNOWN_FAULTY_PROJECT = "pycrypto"
"""Given up with faults in its last version: CVE-2013-7459."""
TIMEOUT_SECONDS = 15
SERVICES = [["--vulnerability-service", "pypi"], ["--vulnerability-service", "osv"]]
PROJECTS = "https://pypi.org/pypi"
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


class UnknownError(Exception):
    """The service gave no answer that tells anything."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--bill", type=Path, default=ROOT / "dist/sbom.cdx.json")
    options = parser.parse_args()
    write_bill(options.lock, options.bill)
    say(f"{options.bill}: {len(json.loads(options.bill.read_text())['components'])} packages")
    return audit(options.lock, SERVICES, PROJECTS)


def audit(lock: Path, services: list[list[str]], projects: str) -> int:
    """Tells of the faults that the first service that can be used knows; gives the exit code."""
    for service in services:
        try:
            if not faults_of(KNOWN_FAULT, service):
                raise UnknownError(f"it knows nothing of the faults of {KNOWN_FAULT}")
            faults = faults_of(lock.read_text(), service)
        except UnknownError as error:
            say(f"{' '.join(service)}: not to be used: {error}")
            continue
        return verdict(faults, [])
    try:
        return verdict(*faults_of_newest(lock.read_text(), projects))
    except UnknownError as error:
        say(f"{projects}: not to be used: {error}")
    say("NOT AUDITED: no service could be asked; this says nothing about the packages")
    return 2


def verdict(faults: list[str], unasked: list[str]) -> int:
    """Says it; gives the exit code."""
    for line in (*faults, *unasked):
        say(line)
    of_others = f" of the others; NOT AUDITED: {len(unasked)}" if unasked else ""
    say((f"{len(faults)} known faults" if faults else "no known fault") + of_others)
    return 1 if faults else 2 if unasked else 0


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


def faults_of_newest(lock: str, projects: str) -> tuple[list[str], list[str]]:
    """By the pages of projects: a line per known fault, and a line per package that is not locked at its project's
    newest version, of which alone they tell. UnknownError when a page can't be had."""
    faults, unasked = [], []
    with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True) as client:
        if not project_page(client, projects, KNOWN_FAULTY_PROJECT)["vulnerabilities"]:
            raise UnknownError(f"it knows nothing of the faults of {KNOWN_FAULTY_PROJECT}")
        for name, version in PIN.findall(lock):
            page = project_page(client, projects, name)
            newest = page["info"]["version"]
            if newest != version:
                unasked.append(f"{name} {version}: not asked about: only {newest}, the newest, can be")
                continue
            faults += [
                f"{name} {version}: {fault['id']}, fixed in {fault['fixed_in'] or 'no version'}"
                for fault in page["vulnerabilities"]
                if not fault["withdrawn"]
            ]
    return faults, unasked


def project_page(client: httpx.Client, projects: str, name: str) -> dict[str, Any]:
    """What PyPI tells of a project and of its newest version: https://docs.pypi.org/api/json/"""
    try:
        page: dict[str, Any] = client.get(f"{projects}/{name}/json").raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnknownError(f"{name}: {error or type(error).__name__}") from None
    if "vulnerabilities" not in page:
        raise UnknownError(f"{name}: its page tells of no faults at all")
    return page


def say(line: str) -> None:
    sys.stdout.write(f"audit: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
