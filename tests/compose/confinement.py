"""What the containers may do and what is in them, looked at from inside and outside while they run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from commands import ROOT, SmokeError, run, say

# In /proc/*/status of each process of a container; capabilities are a bit each, in hexadecimal.
EXPECTED_STATUS = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1}
USERS = {"timer-api": 10001, "timer-controller": 10001, "timer-db": 999, "proxy": 101}
SECRETS_FOLDER = ROOT / ".cicd/trial_secrets"


def check_confinement(containers_of: Callable[[str], list[str]]) -> None:
    """Every process of every container: its user, no capability, a root file system that it cannot change, limits;
    and no secret where `docker inspect` shows it."""
    for service, user in USERS.items():
        for container in containers_of(service):
            check_processes(service, container, user)
            check_root_is_read_only(service, container)
            check_inspected(service, container)
            if service.startswith(("timer-api", "timer-controller")):
                check_packages(service, container)
    say(
        "confined: users, capabilities, read-only roots, limits; no secret in any environment; the locked packages"
    )


def check_processes(service: str, container: str, user: int) -> None:
    script = "for f in /proc/[0-9]*/status; do cat $f 2>/dev/null && echo; done; true"
    processes = run("docker", "exec", container, "sh", "-c", script).split("\n\n")
    found = [dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line) for text in processes]
    names = [process["Name"] for process in found]
    if not {"python", "python3", "mysqld", "nginx"} & set(names):
        raise SmokeError(f"{service}: no process of ours among {names}")
    for process in found:
        # The runtime itself, on its way in to start a check of health.
        if process["Name"].startswith("runc"):
            continue
        ids = {int(number) for number in (process["Uid"] + "\t" + process["Gid"]).split()}
        if ids != {user}:
            raise SmokeError(f"{service}: {process['Name']} runs with ids {sorted(ids)}, not as {user}")
        status = {name: int(process[name], 16) for name in EXPECTED_STATUS}
        if status != EXPECTED_STATUS:
            raise SmokeError(f"{service}: {process['Name']} has {status}")


def check_root_is_read_only(service: str, container: str) -> None:
    tries = "for d in / /app /opt /usr /etc /var /home; do touch $d/.probe 2>/dev/null && echo $d; done"
    said = run("docker", "exec", container, "sh", "-c", f"{tries}; grep ' / ' /proc/mounts")
    options = said.splitlines()[-1].split()[3].split(",")
    if "ro" not in options or len(said.splitlines()) > 1:
        raise SmokeError(f"{service}: the root file system can be written to: {said}")


def check_inspected(service: str, container: str) -> None:
    [known] = json.loads(run("docker", "inspect", container))
    memory, processes = known["HostConfig"]["Memory"], known["HostConfig"]["PidsLimit"]
    if not processes or (not memory and service != "timer-db"):
        raise SmokeError(f"{service}: no limits: {memory} bytes, {processes} processes")
    shown = json.dumps([known["Config"], known["Args"]])
    values = [path.read_text().strip() for path in SECRETS_FOLDER.iterdir()]
    # The password for a trial is also the name of the user and of the database.
    for secret in [value for value in values if value and value != "timer"] + ["MYSQL_PASSWORD=", "mysql://"]:
        if secret in shown:
            raise SmokeError(f"{service}: a secret stands where docker inspect shows it")


def check_packages(service: str, container: str) -> None:
    """What the lock of the runtime names, and nothing else."""
    script = "from importlib.metadata import distributions as d; print(*(p.name + '==' + p.version for p in d()))"
    found = {
        name.lower().replace("_", "-") for name in run("docker", "exec", container, "python", "-c", script).split()
    }
    locked = set(re.findall(r"^[\w.-]+==[^\s;]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    ours = {package for package in found if package.startswith("timer-system==")}
    if found - ours != locked:
        raise SmokeError(f"{service}: not as locked: {sorted((found - ours) ^ locked)}")
    tools = run("docker", "exec", container, "sh", "-c", "command -v pip gcc cc make git || true")
    if tools:
        raise SmokeError(f"{service}: tools that build are in the image: {tools}")
