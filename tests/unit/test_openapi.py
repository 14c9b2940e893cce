"""The OpenAPI document: it matches the routes, and its examples match its schemas."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import jsonschema_rs
import pytest
from litestar import Litestar
from litestar.enums import HttpMethod
from litestar.routes import ASGIRoute, HTTPRoute

from payments_core import errors
from payments_service.container import build_container
from payments_service.http.app import create_app, described
from payments_service.http.webhooks import TYPES
from payments_service.presentation import PREFIX
from payments_service.settings import Settings
from support.openapi_calls import assert_valid
from support.openapi_document import KEPT, text_of
from support.service import World

Json = dict[str, Any]
METHODS: Final = {it.value.lower() for it in HttpMethod}
# The parts of a document that people and code generators read.
WORDED: Final = ("summary", "description", "operationId", "tags")


@cache
def document() -> Json:
    return described()


def operations() -> Iterator[tuple[str, str, Json]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def named(operation: tuple[str, str, Json]) -> str:
    return str(operation[2]["operationId"])


def shown(part: Json) -> Iterator[tuple[object, Json]]:
    """Yield the examples of a body or an answer, and their schema."""
    for content in part.get("content", {}).values():
        for example in content.get("examples", {}).values():
            yield example["value"], content["schema"]


def test_the_document_is_kept() -> None:
    """
    A change of the contract shows as a change of a file.
    """
    assert KEPT.read_text() == text_of(document()), "`make openapi` writes it anew"


def test_t80_no_route_is_missing_and_none_is_invented() -> None:
    """
    The routes of the application and of the document are the same, webhooks included.
    """
    settings = Settings.from_env(World("postgresql://nobody@127.0.0.1:1/no").env(0, 0))
    app = create_app(build_container(settings)).app
    assert isinstance(app, Litestar)

    routed = set[tuple[str, str]]()
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            found = set(route.methods) - {"OPTIONS"}
            routed |= {(route.path_format, it.lower()) for it in found}
        elif isinstance(route, ASGIRoute):
            # A webhook: its own code knows its methods.
            assert route.path.removeprefix(f"{PREFIX}/webhooks") in TYPES
            routed.add((route.path_format, "post"))

    assert routed == {(path, method) for path, method, _ in operations()}


def test_every_operation_is_named_and_told() -> None:
    """
    Names are stable and of one form, every tag is described, everything is text.
    """
    found = [it for _, _, it in operations()]
    names = [it["operationId"] for it in found]
    told = {it["name"] for it in document()["tags"]}

    assert len(set(names)) == len(names)
    for operation in found:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
        assert set(operation["tags"]) <= told
        assert all(operation[word] for word in WORDED)
        assert operation["summary"].endswith(".")
        for parameter in operation.get("parameters", ()):
            assert parameter["description"]
    assert {tag for it in found for tag in it["tags"]} == told


@pytest.mark.parametrize("operation", [*operations()], ids=named)
def test_every_refusal_is_a_problem_with_its_codes(
    operation: tuple[str, str, Json],
) -> None:
    """
    Every status that is not a success, whatever the route.
    """
    _, _, told = operation

    for status, answer in told["responses"].items():
        if int(status) < 400:
            continue
        assert list(answer["content"]) == ["application/problem+json"]
        assert re.fullmatch(r"(- `[a-z_]+`: .+\n?)+", answer["description"])
        assert "X-Request-Id" in answer["headers"]
    assert {"400", "408", "413", "429", "431", "500", "503"} <= set(told["responses"])
    assert ("401" in told["responses"]) is bool(told["security"])
    needs_scope = any(it["bearer"] for it in told["security"])
    assert (
        not needs_scope or "`scope_required`" in told["responses"]["403"]["description"]
    )
    has_key = "Idempotency-Key" in {it["name"] for it in told.get("parameters", ())}
    assert has_key is ("202" in told["responses"])


@pytest.mark.parametrize("operation", [*operations()], ids=named)
def test_what_is_shown_is_as_its_schema_says(operation: tuple[str, str, Json]) -> None:
    """
    Examples of bodies and of answers; every JSON answer with a shape has one.
    """
    _, _, told = operation

    parts = [told.get("requestBody", {}), *told["responses"].values()]
    for value, schema in (it for part in parts for it in shown(part)):
        assert_valid(value, schema)
    for answer in told["responses"].values():
        for content in answer.get("content", {}).values():
            assert "$ref" not in content["schema"] or content["examples"]


def test_no_schema_stands_for_nothing() -> None:
    """
    Each is used, and each is a schema.
    """
    text = json.dumps(document())

    for name, schema in document()["components"]["schemas"].items():
        assert f'"#/components/schemas/{name}"' in text
        jsonschema_rs.meta.validate(schema)


def test_a_code_has_one_status() -> None:
    """
    Of the errors that a route states: clients branch on the code.
    """
    found = dict[str, set[str]]()
    for _, _, operation in operations():
        for status, answer in operation["responses"].items():
            for code in re.findall(r"- `([a-z_]+)`: ", answer["description"]):
                found.setdefault(code, set()).add(status)

    assert {code: it for code, it in found.items() if len(it) > 1} == {}
    assert found[errors.AccountNotFound.code] == {"404"}
