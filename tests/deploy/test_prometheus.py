"""What the services tell Prometheus, the alerts made of it, and the pages and pictures about both: all name the
same, and it is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.conftest import empty
from tests.docs.pages import ROOT, blocks, rows, section
from tests.receiver import OK
from tests.system import Service, System, poll
from timer_api.app import create_app
from timer_api.settings import ApiSettings
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = ROOT / "deploy/prometheus/timer-system.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/timer-system.json"
PAGE = (ROOT / "docs/metrics.md").read_text()
PROMTOOL = shutil.which("promtool") or str(ROOT / ".cache/promtool/usr/bin/promtool")
OPENMETRICS = "application/openmetrics-text;version=1.0.0"

needs_promtool = pytest.mark.skipif(
    not Path(PROMTOOL).exists(),
    reason="alerts were NOT tested: there is no promtool (sh .cicd/promtool.sh gets it)",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(server: EmbeddedServer) -> Any:
    """With a past: timers that were delivered, refused and held up."""
    empty(server.url)
    async with System(server, server.url) as system:
        system.receiver.answer = lambda a: _GONE if a.target.startswith("/gone") else OK
        api = await system.start_api()
        await system.start_controller(poll_seconds=0.1)
        await api.client.put("/collections/shop", json={})
        await api.client.put("/routes/billing", json={"url": f"{system.receiver.url}/bills"})
        made = [
            await api.create(seconds=0, url=f"{system.receiver.url}/hook", collection="shop") for _ in range(20)
        ]
        made += [await api.create(seconds=0, route="billing")]
        gone = await api.create(seconds=0, url=f"{system.receiver.url}/gone")
        for timer in made:
            await api.wait_for_status_of(timer["id"], "delivered")
        await api.wait_for_status_of(gone["id"], "failed")
        assert (await api.client.get("/timers/nonsense")).status_code == 422
        assert (await api.client.get("/nowhere")).status_code == 404
        yield system


_GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"


def _controller(system: System) -> Service:
    return next(service for service in system.services if service.module == "timer_controller")


async def _scrape(url: str, accept: str = "text/plain") -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept.partition(";")[0])
    return answer.text


async def _told(system: System) -> dict[str, dict[str, Metric]]:
    """By service and name, once the look at the backlog was made."""
    controller = _controller(system).url

    async def is_whole() -> bool:
        return "\ntimer_controllers 1.0\n" in await _scrape(controller)

    await poll(is_whole, 20, "a look at the backlog that sees the controller")
    return {
        service: {family.name: family for family in read_text(await _scrape(url))}
        for service, url in (("api", system.apis[0].url), ("controller", controller))
    }


def _value(family: Metric, name: str = "", **labels: str) -> float:
    return sum(
        sample.value
        for sample in family.samples
        if sample.name == (name or sample.name) and labels.items() <= sample.labels.items()
    )


async def test_it_tells_what_happened(system: System) -> None:
    told = await _told(system)
    controller, api = told["controller"], told["api"]
    attempts = controller["timer_attempts"]
    assert _value(attempts, "timer_attempts_total", collection="shop", route="", outcome="delivered") == 20
    assert _value(attempts, "timer_attempts_total", collection="default", route="billing") == 1
    assert _value(attempts, "timer_attempts_total", outcome="rejected") == 1
    assert _value(controller["timer_ends"], "timer_ends_total", state="failed") == 1
    lateness = controller["timer_lateness_seconds"]
    assert _value(lateness, "timer_lateness_seconds_count") == 22
    assert 0 < _value(lateness, "timer_lateness_seconds_sum") < 22 * 60
    assert _value(controller["timer_attempt_seconds"], "timer_attempt_seconds_bucket", le="+Inf") == 22
    assert _value(controller["timer_claim_timers"], "timer_claim_timers_sum") == 22
    assert _value(controller["timer_finish_timers"], "timer_finish_timers_sum") == 22
    assert _value(controller["timer_claims_in_hand"]) == _value(controller["timer_backlog_due"]) == 0
    assert _value(controller["timer_controllers"]) == _value(controller["timer_ready"]) == 1
    assert _value(api["timer_ready"]) == 1
    requests = api["timer_api_requests"]
    assert _value(requests, "timer_api_requests_total", method="POST", path="/timers", status="201") == 22
    assert _value(requests, "timer_api_requests_total", path="/timers/{timer_id}", status="422") == 1
    assert _value(requests, "timer_api_requests_total", path="(none)", status="404") == 1
    assert _value(api["timer_commit_timers"], "timer_commit_timers_sum") == 22
    for each in (api, controller):
        assert _value(each["timer_database_statements"], "timer_database_statements_total") > 20
        assert _value(each["process_resident_memory_bytes"]) > 10_000_000


async def test_what_never_happened_is_told_as_zero(system: System) -> None:
    """To Prometheus, what begins at 1 has not grown."""
    ends = (await _told(system))["controller"]["timer_ends"]
    told = {
        (sample.labels["collection"], sample.labels["state"]): sample.value
        for sample in ends.samples
        if sample.name == "timer_ends_total" and sample.labels["route"] == ""
    }
    for collection in ("default", "shop"):
        assert told[collection, "unknown"] == 0
    assert {state for collection, state in told if collection == "shop"} == {"delivered", "failed", "unknown"}


async def test_both_formats_say_the_same(system: System) -> None:
    for url in (system.apis[0].url, _controller(system).url):
        plain = {family.name for family in read_text(await _scrape(url))}
        open_ones = {family.name for family in read_openmetrics(await _scrape(url, OPENMETRICS))}
        assert plain == open_ones


async def test_the_page_names_every_metric_and_no_other(system: System) -> None:
    told = await _told(system)
    ours = {
        service: {_exposed(family): family for name, family in families.items() if name.startswith("timer_")}
        for service, families in told.items()
    }
    both = set(ours["api"]) & set(ours["controller"])
    parts = {
        "Of both": both,
        "Of controllers": set(ours["controller"]) - both,
        "Of the API": set(ours["api"]) - both,
    }
    for title, names in parts.items():
        shown = {row[0].strip("`"): row for row in rows(section(PAGE, title))}
        assert set(shown) == names
        for name, (_, kind, labels, _) in shown.items():
            family = (ours["api"] | ours["controller"])[name]
            assert kind == family.type
            used = {label for sample in family.samples for label in sample.labels} - {"le"}
            if family.samples:
                assert set(re.findall(r"`(\w+)`", labels)) == used


def _exposed(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _expressions() -> Iterator[str]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "1m")


async def test_rules_and_dashboard_name_what_is_there(system: System) -> None:
    told = await _told(system)
    there = {
        sample.name for families in told.values() for family in families.values() for sample in family.samples
    }
    there |= {f"{name}_total" for families in told.values() for name in families}
    named = {name for expression in _expressions() for name in re.findall(r"\b(?:timer|process)_\w+", expression)}
    assert len(named) > 20
    assert named - there == set()


def _promtool(*arguments: str | Path, given: str = "") -> str:
    done = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
async def test_promtool_finds_nothing_wrong_with_what_is_told(system: System) -> None:
    for url in (system.apis[0].url, _controller(system).url):
        assert _promtool("check", "metrics", given=await _scrape(url)) == ""


@needs_promtool
async def test_every_alert_comes_when_it_should(tmp_path: Path) -> None:
    assert "SUCCESS" in _promtool("test", "rules", RULES.with_suffix("").with_suffix(".rules.test.yml"))
    assert "SUCCESS" in _promtool("check", "config", RULES.with_name("prometheus.yml"))
    # Debian's promtool does not know Kubernetes.
    cluster = yaml.safe_load(RULES.with_name("kubernetes.yml").read_text())
    for job in cluster["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")
    (tmp_path / "kubernetes.yml").write_text(yaml.safe_dump(cluster))
    assert "SUCCESS" in _promtool("check", "config", "--syntax-only", tmp_path / "kubernetes.yml")
    rules = [{"record": f"panel:number{n}", "expr": each} for n, each in enumerate(_expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in _promtool("check", "rules", file)


async def test_each_alert_has_its_test_and_its_page() -> None:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    tests = yaml.safe_load(RULES.with_suffix("").with_suffix(".rules.test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")}
    quiet = {each["alertname"] for each in tests[0]["alert_rule_test"]}
    names = {rule["alert"]: rule for rule in group["rules"]}
    assert fired == quiet == set(names)
    assert [row[0] for row in rows(section(PAGE, "Alerts"))] == [f"[{name}](alerts/{name}.md)" for name in names]
    for name, rule in names.items():
        assert "runbook_url" not in rule["annotations"], "it would be no URL"
        page = ROOT / rule["annotations"]["runbook"]
        assert page == ROOT / f"docs/alerts/{name}.md"
        for title in ("See it", "What to do", "When it is no alarm"):
            assert section(page.read_text(), title).strip()


async def test_every_configuration_names_the_jobs_as_the_rules_do() -> None:
    """Else some alerts would come for ever, and some never."""
    named = {
        job
        for expression in _expressions()
        for jobs in re.findall(r'job=~?"([^"]*)"', expression)
        for job in jobs.split("|")
    }
    assert named == {"timer-api", "timer-controller"}
    for file in ("prometheus.yml", "kubernetes.yml"):
        configuration = yaml.safe_load(RULES.with_name(file).read_text())
        assert {job["job_name"] for job in configuration["scrape_configs"]} == named
    for page in (PAGE, (ROOT / "docs/kubernetes.md").read_text()):
        assert all(f"`{job}`" in section(page, "Prometheus").replace("**", "") for job in named)


async def test_every_create_counts_where_creates_are_refused() -> None:
    [rule] = [
        rule
        for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
        if rule["alert"] == "CreatesRefused"
    ]
    methods, paths = (
        re.compile(re.search(rf'\b{label}=~"([^"]+)"', rule["expr"])[1])
        for label in ("method", "path")  # type: ignore[index]
    )
    document = create_app(ApiSettings(db_url="mysql://nobody:nothing@127.0.0.1/timer")).app.openapi()
    counted = {
        operation["operationId"]
        for path, ways in document["paths"].items()
        for method, operation in ways.items()
        if methods.fullmatch(method.upper()) and paths.fullmatch(path)
    }
    assert counted == {"create_timer", "create_timers", "put_timer", "backfill_schedule"}


def _shell(command: str) -> str:
    return subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout


async def test_the_rules_can_be_given_to_the_operator() -> None:
    """With the command of the page, up to where it speaks to a cluster."""
    text = section((ROOT / "docs/kubernetes.md").read_text(), "Prometheus")
    [command] = [block.text for block in blocks(text) if "PrometheusRule" in block.text]
    rule = yaml.safe_load(_shell(command.rpartition("|")[0]))
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load(RULES.read_text())


async def test_pages_can_be_made_links() -> None:
    """With the command of the page: each alert's, on a site whose address somebody knows."""
    [command] = [block.text for block in blocks(section(PAGE, "Alerts")) if block.language == "sh"]
    for rule in yaml.safe_load(_shell(command))["groups"][0]["rules"]:
        assert rule["annotations"]["runbook_url"] == f"https://docs.example.com/alerts/{rule['alert']}/"
        assert "runbook" not in rule["annotations"]
