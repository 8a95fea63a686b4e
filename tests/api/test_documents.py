"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from timer_api.api_keys.schemas import ApiKeyPageShown, ApiKeyShown
from timer_api.collections.schemas import CollectionPageShown, CollectionShown
from timer_api.controllers.routes import ControllersShown
from timer_api.doctor.routes import DiagnosisShown
from timer_api.errors import Kind
from timer_api.events.routes import EventPageShown
from timer_api.health import HealthShown
from timer_api.routes.schemas import RoutePageShown, RouteShown, SecretShown
from timer_api.schedules.schemas import BackfillShown, RunsShown, SchedulePageShown, ScheduleShown
from timer_api.timers.answered import AttemptsShown, BatchShown, TimerPageShown, TimerShown
from timer_api.timers.bulk import BulkShown
from timer_api.timers.calls import Notice

pytestmark = pytest.mark.asyncio(loop_scope="package")

MODELS: dict[str, Any] = {
    "BatchShown": BatchShown,
    "TimerShown": TimerShown,
    "TimerPageShown": TimerPageShown,
    "AttemptsShown": AttemptsShown,
    "ApiKeyShown": ApiKeyShown,
    "BulkShown": BulkShown,
    "ApiKeyPageShown": ApiKeyPageShown,
    "CollectionShown": CollectionShown,
    "CollectionPageShown": CollectionPageShown,
    "RouteShown": RouteShown,
    "RoutePageShown": RoutePageShown,
    "SecretShown": SecretShown,
    "ScheduleShown": ScheduleShown,
    "SchedulePageShown": SchedulePageShown,
    "RunsShown": RunsShown,
    "BackfillShown": BackfillShown,
    "EventPageShown": EventPageShown,
    "ControllersShown": ControllersShown,
    "DiagnosisShown": DiagnosisShown,
    "HealthShown": HealthShown,
    "Notice": Notice,
}


async def document_of(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_it_names_every_call(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    assert document["openapi"].startswith("3.1")
    assert {name for name, _ in operations(document)} == {
        "POST /timers",
        "POST /timers/cancel",
        "POST /timers/reschedule",
        "POST /timers/replay",
        "PATCH /timers/{timer_id}",
        "POST /timers/{timer_id}/fire",
        "POST /timers/{timer_id}/replay",
        "POST /timers/batch",
        "GET /timers",
        "GET /timers/{timer_id}",
        "DELETE /timers/{timer_id}",
        "GET /timers/{timer_id}/attempts",
        "GET /metrics",
        "GET /doctor",
        "GET /collections",
        "GET /collections/{collection}",
        "PUT /collections/{collection}",
        "DELETE /collections/{collection}",
        "PUT /collections/{collection}/timers/{name}",
        "GET /collections/{collection}/timers/{name}",
        "DELETE /collections/{collection}/timers/{name}",
        "POST /collections/{collection}/pause",
        "POST /collections/{collection}/resume",
        "GET /routes",
        "GET /routes/{route}",
        "PUT /routes/{route}",
        "DELETE /routes/{route}",
        "POST /routes/{route}/pause",
        "POST /routes/{route}/resume",
        "POST /routes/{route}/secret",
        "DELETE /routes/{route}/secret",
        "GET /schedules",
        "GET /schedules/{schedule}",
        "PUT /schedules/{schedule}",
        "DELETE /schedules/{schedule}",
        "POST /schedules/{schedule}/pause",
        "POST /schedules/{schedule}/resume",
        "GET /schedules/{schedule}/next",
        "POST /schedules/{schedule}/backfill",
        "POST /schedules/next",
        "GET /events",
        "GET /controllers",
        "POST /api-keys",
        "GET /api-keys",
        "DELETE /api-keys/{key_id}",
        "GET /health/live",
        "GET /health/ready",
    }


async def test_every_reference_leads_somewhere(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    found = set(references(document))
    assert found
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


async def test_every_answer_of_every_call_has_an_example_of_its_schema(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["operationId"], name
        assert any(status.startswith("2") for status in operation["responses"]), name
        for status, response in operation["responses"].items():
            if status == "204":
                assert "content" not in response
                continue
            for media_type, media in response["content"].items():
                if status.startswith("2") and name == "GET /metrics":
                    assert media["schema"] == {"type": "string"}
                    assert media["example"].startswith("# HELP timer_ready")
                elif status.startswith("2"):
                    assert media_type == "application/json"
                    model = MODELS[media["schema"]["$ref"].rpartition("/")[2]]
                    TypeAdapter(model).validate_python(media["example"], strict=False)
                else:
                    assert media_type == "application/problem+json"
                    check_problems(status, media["examples"])


def check_problems(status: str, examples: dict[str, Any]) -> None:
    for kind_name, example in examples.items():
        problem = example["value"]
        assert (problem["type"], problem["status"]) == (Kind[kind_name].type, int(status))


async def test_what_receivers_get_is_described(client: httpx.AsyncClient) -> None:
    """`tests/integration` has the calls themselves."""
    document = await document_of(client)
    assert set(document["webhooks"]) == {"timer", "notice"}
    for item in document["webhooks"].values():
        operation = item["post"]
        media = operation["requestBody"]["content"]["application/json"]
        model = MODELS[media["schema"]["$ref"].rpartition("/")[2]]
        TypeAdapter(model).validate_python(media["example"], strict=False)
        assert all(parameter["description"] for parameter in operation["parameters"])


async def test_every_parameter_has_an_example(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            options = [schema, *schema.get("anyOf", [])]
            has_example = {"example", "examples"} & parameter.keys() or any("examples" in one for one in options)
            # A cursor comes from an answer, and is good for nothing elsewhere.
            assert has_example or parameter["name"] == "cursor", f"{name}: {parameter['name']}"


async def test_every_kind_of_problem_has_an_example(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    shown = {
        kind
        for _, operation in operations(document)
        for response in operation["responses"].values()
        for media in response.get("content", {}).values()
        for kind in media.get("examples", {})
    }
    # These come from outside of any call.
    outside = {"bad_request", "no_such_path", "method_not_allowed", "headers_too_large"}
    assert shown == {kind.name for kind in Kind} - outside


async def test_a_create_describes_every_field(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    schema = document["components"]["schemas"]["TimerAsked"]
    assert schema["allOf"] == [{"oneOf": [{"required": ["url"]}, {"required": ["route"]}]}]
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert "description" in field or "$ref" in field, name
        assert not any(option.get("type") == "null" for option in field.get("anyOf", [])), name


async def test_patterns_in_the_document_fit_its_own_examples(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    properties = document["components"]["schemas"]["TimerAsked"]["properties"]
    checked = 0
    for field in properties.values():
        for example in field.get("examples", []):
            if "pattern" in field:
                assert re.search(field["pattern"], example)
                checked += 1
    assert checked >= 3


async def test_the_page_works_without_internet(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!DOCTYPE", "")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [link for link in linked if not link.startswith("data:")]
    assert len(files) == 3
    for link in files:
        found = await client.get(f"/{link}")
        assert found.status_code == 200, link
        assert len(found.content) > 100


async def test_the_page_asks_for_our_document_and_nobody_elses_opinion(client: httpx.AsyncClient) -> None:
    start = (await client.get("/docs/start.js")).text
    assert 'url: "openapi.json"' in start
    assert "validatorUrl: null" in start
    assert "http" not in start


async def test_the_page_can_show_openapi_3_1(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/files/swagger-ui-bundle.js")).text
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', script)
    assert version is not None
    assert int(version[1]) >= 5
