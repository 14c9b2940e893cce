"""Requests that the OpenAPI document itself shows, with the ids of a world in them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from payments_service.http.app import described
from payments_service.presentation import PREFIX

Json = Any
DOCUMENT: Final[Mapping[str, Json]] = described()


@attrs.frozen
class Operation:
    """An operation as the document has it; `path` is below the prefix."""

    id: str
    method: str
    path: str
    told: Json

    @property
    def is_open(self) -> bool:
        """Whether it takes no token."""
        return not self.told["security"]

    @property
    def needs_admin(self) -> bool:
        return bool(self.told["security"] == [{"bearer": ["payments:admin"]}])

    @property
    def successes(self) -> set[int]:
        return {int(it) for it in self.told["responses"]} & {200, 201, 202}

    @property
    def parameters(self) -> list[str]:
        """Return what of its path a caller gives."""
        found = self.told.get("parameters", ())
        return [it["name"] for it in found if it["in"] == "path"]

    def bodies(self, known: Mapping[str, Json]) -> list[Json]:
        """Return the bodies that are shown; `known` replaces fields of them."""
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
