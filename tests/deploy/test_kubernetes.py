"""The manifests fit the programs: their settings, ports, paths and times; and no pod may more than it needs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, section
from timer_api.settings import ApiSettings
from timer_controller.settings import ControllerSettings
from timer_db.configuration import secrets_of
from timer_db.settings import DatabaseSettings

FOLDER = ROOT / "deploy/kubernetes"
PAGE = (ROOT / "docs/kubernetes.md").read_text()
LIST = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OFFERED = yaml.safe_load(
    re.sub(
        r"^( *)# (?=- \w+\.yaml$|patches:|  - )", r"\1", (FOLDER / "kustomization.yaml").read_text(), flags=re.M
    )
)
"""The same with what has to be asked for, without its `#`."""
OBJECTS = [each for name in LIST["resources"] for each in yaml.safe_load_all((FOLDER / name).read_text())]
SETTINGS = {"api": ApiSettings, "controller": ControllerSettings, "migrate": DatabaseSettings}
VERSIONS = {
    "Namespace": "v1", "ServiceAccount": "v1", "Service": "v1", "Deployment": "apps/v1", "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1", "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
}  # fmt: skip


def _of(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def _pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each container's name, its pod and itself."""
    for each in (*_of("Deployment").values(), *_of("Job").values()):
        pod = each["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield container["name"], pod, container


PODS = list(_pods())
IDS = [name for name, _, _ in PODS]


def test_every_file_is_listed_and_every_object_has_its_version() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "adapter-rule.yaml"}
    patches = {patch["path"] for patch in OFFERED["patches"]}
    assert files == {*OFFERED["resources"], *patches}
    # These need what not every cluster has.
    assert files - set(LIST["resources"]) == {"monitors.yaml", "backlog-metric.yaml"}
    assert "patches" not in LIST
    assert {each["kind"]: each["apiVersion"] for each in OBJECTS} == VERSIONS
    names = [(each["kind"], each["metadata"]["name"]) for each in OBJECTS]
    assert len(names) == len(set(names))
    assert set(IDS) == set(SETTINGS)


def test_its_images_are_those_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {image["name"]: image["newTag"] for image in LIST["images"]} == {
        "timer_api": version,
        "timer_controller": version,
    }
    assert {container["image"] for _, _, container in PODS} == {"timer_api", "timer_controller"}


@pytest.mark.parametrize(("name", "pod", "container"), PODS, ids=IDS)
def test_every_variable_is_a_setting_and_every_secret_a_file(
    name: str, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    kind = SETTINGS[name]
    secrets = set(secrets_of(kind).values())
    known = {f"TIMER_{field.upper()}" for field in kind.model_fields} | {f"{secret}_FILE" for secret in secrets}
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given.keys() <= known
    assert not given.keys() & secrets
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert mounts.keys() == volumes.keys()
    files = {f"{mounts['secrets']}/{item['path']}" for item in volumes["secrets"]["secret"]["items"]}
    assert {value for variable, value in given.items() if variable.endswith("_FILE")} == files
    plain = {n.removeprefix("TIMER_").lower(): v for n, v in given.items() if not n.endswith("_FILE")}
    kind(**plain, db_url="mysql://u:p@h/d")


@pytest.mark.parametrize(("name", "pod", "container"), PODS, ids=IDS)
def test_no_pod_may_more_than_it_needs(name: str, pod: dict[str, Any], container: dict[str, Any]) -> None:
    """As the profile `restricted` asks, and with nothing to write to but memory."""
    dockerfile = (ROOT / f"{container['image']}/Dockerfile").read_text()
    [user] = set(re.findall(r"^USER (\d+):\1$", dockerfile, re.MULTILINE))
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": int(user), "runAsGroup": int(user), "fsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"].keys() == {"memory"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    for volume in pod["volumes"]:
        assert volume.get("secret", {}).get("defaultMode") == 0o440 or volume["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("name", ["api", "controller"])
def test_ports_probes_and_grace_fit_the_program(name: str) -> None:
    [(_, pod, container)] = [each for each in PODS if each[0] == name]
    dockerfile = (ROOT / f"timer_{name}/Dockerfile").read_text()
    [port] = container["ports"]
    assert f"EXPOSE {port['containerPort']}" in dockerfile
    for probe, path in (("startup", "live"), ("readiness", "ready"), ("liveness", "live")):
        asked = container[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": f"/health/{path}", "port": port["name"]}
    settings = SETTINGS[name](db_url="mysql://u:p@h/d")
    stop_seconds = settings.drain_seconds if name == "controller" else settings.api_stop_seconds  # type: ignore[attr-defined]
    pause = int(container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0, 0])[1])
    assert pod["terminationGracePeriodSeconds"] > stop_seconds + pause
    service = _of("Service")[f"timer-{name}"]
    assert service["spec"]["ports"] == [
        {"name": port["name"], "port": port["containerPort"], "targetPort": port["name"]}
    ]


@pytest.mark.parametrize("name", ["timer-api", "timer-controller"])
def test_what_selects_pods_finds_them(name: str) -> None:
    label = {"app.kubernetes.io/name": name}
    deployment = _of("Deployment")[name]
    assert deployment["spec"]["selector"]["matchLabels"] == label
    assert label.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert _of("Service")[name]["spec"]["selector"] == label
    budget = _of("PodDisruptionBudget")[name]["spec"]
    assert budget == {"minAvailable": 1, "selector": {"matchLabels": label}}
    policy = _of("NetworkPolicy")[name]["spec"]
    assert policy["podSelector"] == {"matchLabels": label}
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports


def test_controllers_come_and_go_where_there_is_no_adapter() -> None:
    """While a metric cannot be read nothing is scaled down: so there is none that needs more than the cluster."""
    [scaler] = _of("HorizontalPodAutoscaler").values()
    spec = scaler["spec"]
    assert spec["scaleTargetRef"]["name"] in _of("Deployment")
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    assert {each["type"] for each in spec["metrics"]} == {"Resource"}


def test_more_controllers_come_with_the_backlog() -> None:
    [patch] = OFFERED["patches"]
    assert patch["target"]["kind"] == "HorizontalPodAutoscaler"
    assert patch["target"]["name"] in _of("HorizontalPodAutoscaler")
    [step] = yaml.safe_load((FOLDER / patch["path"]).read_text())
    assert (step["op"], step["path"], step["value"]["type"]) == ("add", "/spec/metrics/-", "External")
    external = step["value"]["external"]["metric"]["name"]
    [rule] = yaml.safe_load((FOLDER / "adapter-rule.yaml").read_text())["externalRules"]
    assert rule["name"]["as"] == rule["seriesQuery"] == external
    assert f"`{external}`" in (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("name", ["timer-api", "timer-controller"])
def test_monitors_find_the_pods_and_name_the_jobs(name: str) -> None:
    """That the rules go by these names is seen in `test_prometheus.py`."""
    [monitor] = [
        each
        for each in yaml.safe_load_all((FOLDER / "monitors.yaml").read_text())
        if each["metadata"]["name"] == name
    ]
    spec, pod = monitor["spec"], _of("Deployment")[name]["spec"]["template"]
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"][spec["jobLabel"]] == name
    [endpoint] = spec["podMetricsEndpoints"]
    [container] = pod["spec"]["containers"]
    assert (endpoint["port"], endpoint["path"]) == (container["ports"][0]["name"], "/metrics")
    has_keys = any(each["name"] == "TIMER_API_KEYS_FILE" for each in container["env"])
    assert has_keys == ("authorization" in endpoint)
    if has_keys:
        secret = endpoint["authorization"]["credentials"]
        assert f"secret generic {secret['name']} --from-literal={secret['key']}=" in PAGE


@pytest.mark.parametrize("name", ["timer-api", "timer-controller"])
def test_a_prometheus_without_an_operator_finds_the_pods(name: str) -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/kubernetes.yml").read_text())["scrape_configs"]
    [job] = [each for each in jobs if each["job_name"] == name]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": [LIST["namespace"]]}}]
    kept = {
        rule["source_labels"][0].removeprefix("__meta_kubernetes_pod_"): rule["regex"]
        for rule in job["relabel_configs"]
    }
    pod = _of("Deployment")[name]["spec"]["template"]
    assert kept == {
        "label_app_kubernetes_io_name": pod["metadata"]["labels"]["app.kubernetes.io/name"],
        "container_port_name": pod["spec"]["containers"][0]["ports"][0]["name"],
        "phase": "Running",
    }
    assert all(rule["action"] == "keep" for rule in job["relabel_configs"])


def test_what_keeps_the_consoles_receiver_from_being_called_is_said() -> None:
    """Controllers call public addresses alone, and it has none."""
    given = {each["name"]: each["value"] for _, _, container in PODS for each in container["env"]}
    assert given["TIMER_EGRESS_ALLOW"] == ""
    host = re.fullmatch(r"http://([\w-]+)\.([\w-]+)\.svc:(\d+)", given["TIMER_API_URL"])
    assert host
    assert host[1] in _of("Service")
    assert host[2] == LIST["namespace"]
    above = (FOLDER / "controller.yaml").read_text().partition("- {name: TIMER_EGRESS_ALLOW")[0].splitlines()[-4:]
    assert any("TIMER_API_URL" in line for line in above)
    text = section(PAGE, "Receivers in the cluster")
    assert "TIMER_EGRESS_ALLOW" in text
    assert f"kubectl -n {host[2]} get service {host[1]} -o jsonpath" in text
