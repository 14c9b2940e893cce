"""Requests from the OpenAPI document's own examples, with ids of existing objects."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import httpx
import jsonschema_rs

from payments_service.http.app import described
from payments_service.presentation import PREFIX

Json = Any
DOCUMENT: Final[Mapping[str, Json]] = described()


@attrs.frozen
class Operation:
    """An operation of the document; `path` is below the prefix."""

    id: str
    method: str
    path: str
    told: Json

    @property
    def is_open(self) -> bool:
        """Say whether it takes no token."""
        return not self.told["security"]

    @property
    def needs_admin(self) -> bool:
        return bool(self.told["security"] == [{"bearer": ["payments:admin"]}])

    @property
    def scopes(self) -> set[str]:
        """Return the scopes of which a caller needs one; empty: it needs none."""
        return {scope for it in self.told["security"] for scope in it["bearer"]}

    @property
    def successes(self) -> set[int]:
        return {int(it) for it in self.told["responses"]} & {200, 201, 202}

    @property
    def parameters(self) -> list[str]:
        """Return the parts of its path that a caller supplies."""
        found = self.told.get("parameters", ())
        return [it["name"] for it in found if it["in"] == "path"]

    def bodies(self, known: Mapping[str, Json]) -> list[Json]:
        """Return the example bodies; `known` replaces fields of them."""
        if "requestBody" not in self.told:
            return [None]
        [content] = self.told["requestBody"]["content"].values()
        shown = content.get("examples", {"none": {"value": {}}})
        return [_with(it["value"], known) for it in shown.values()]

    def at(self, ids: Mapping[str, str]) -> str:
        return self.path.format_map(ids)


def _with(body: Json, known: Mapping[str, Json]) -> Json:
    return {name: known.get(name, value) for name, value in body.items()}


def operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method, told in item.items():
            below = path.removeprefix(PREFIX)
            yield Operation(told["operationId"], method.upper(), below, told)


@cache
def validator(location: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of a value against a schema, given by its JSON."""
    whole = {**json.loads(location), "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def assert_valid(value: Json, schema: Json) -> None:
    validator(json.dumps(schema)).validate(value)


@cache
def _templates() -> list[tuple[re.Pattern[str], Json]]:
    return [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), item)
        for path, item in DOCUMENT["paths"].items()
    ]


def assert_documented(answer: httpx.Response) -> None:
    """Assert that the document describes an answer of the service.

    Anything outside of the document is ignored: other paths and methods, answers
    without a body.
    """
    path = urlsplit(str(answer.request.url)).path
    method = answer.request.method.lower()
    for pattern, item in _templates():
        if pattern.fullmatch(path) and method in item:
            _assert_stated(answer, item[method]["responses"])
            return


def _assert_stated(answer: httpx.Response, stated: Json) -> None:
    told = stated.get(str(answer.status_code))
    assert told is not None, f"{answer.status_code} is not documented: {answer.text}"
    for name, header in told.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), name
    if not answer.content:
        return
    kind = answer.headers["content-type"]
    assert kind in told["content"], kind
    assert_valid(answer.json(), told["content"][kind]["schema"])
    if answer.status_code >= 400:  # the failures
        code = answer.json()["code"]
        assert f"`{code}`" in told["description"], f"{code} is not documented"
