"""The compose system is upgraded, scaled and broken (smoke.py), where its images are being made.

`.ci/run` does that beside the tests, and says by the environment how it goes:
    DEPLOYMENT         a folder with `log`, locked until the images are there, and `status`, how that ended
    DEPLOYMENT_BEFORE  Unix time in seconds: when it is not begun by then, the run would become too long by it
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_RUN = 77
"""The status of .cicd/deployment_images.sh where something is missing that is not ours."""


def test_deployment(record_property: Callable[[str, object], None]) -> None:
    if "DEPLOYMENT" not in os.environ:
        pytest.skip("deployment: NOT RUN: `make deployment` does, and .ci/run has it among the tests")
    folder = Path(os.environ["DEPLOYMENT"])
    with (folder / "log").open() as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        told = log.read()
    status = int((folder / "status").read_text())
    if status == NOT_RUN:
        pytest.skip(told.splitlines()[-1])
    assert status == 0, told
    if time.time() > float(os.environ["DEPLOYMENT_BEFORE"]):
        pytest.skip("deployment: NOT RUN: this machine is so slow that there is no time left for it")
    played = subprocess.run(
        [sys.executable, "tests/compose/smoke.py"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    record_property("told", played.stdout)
    assert played.returncode == 0, played.stdout
