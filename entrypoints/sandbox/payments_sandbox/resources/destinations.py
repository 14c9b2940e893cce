"""`/v2/core/event_destinations`: the receivers of thin events. JSON, as all of v2.

Source: docs.stripe.com/api/v2/core/event-destinations. At Stripe they can also get
snapshots, and be other clouds: here snapshots only go to webhook endpoints.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import msgspec

from payments_sandbox import shapes
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Id,
    Metadata,
    Nested,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.periods import text_of
from payments_sandbox.resources.endpoints import (
    Types,
    known_types,
    require_room,
    usable_url,
)
from payments_sandbox.routing import Route
from payments_sandbox.state import Object, World

KIND: Final = "v2.core.event_destination"
# Types of thin events are those of snapshots with this prefix.
PREFIX: Final = "v1."
_SECRET_LENGTH: Final = 32
_URL: Final = "webhook_endpoint.url"
_SECRET: Final = "webhook_endpoint.signing_secret"  # noqa: S105  # the name of a field


class Address(Nested, kw_only=True, frozen=True):
    url: Text


class Create(Params, kw_only=True, frozen=True):
    enabled_events: Types
    event_payload: Literal["thin"]
    name: Text
    type: Literal["webhook_endpoint"]
    webhook_endpoint: Address
    description: Text = ""
    events_from: tuple[Literal["@self"], ...] = ("@self",)
    include: tuple[str, ...] = ()
    metadata: Metadata = UNSET


class Update(Params, kw_only=True, frozen=True):
    description: Text | Unset = UNSET
    enabled_events: Types | Unset = UNSET
    include: tuple[str, ...] = ()
    metadata: Metadata = UNSET
    name: Text | Unset = UNSET
    webhook_endpoint: Address | Unset = UNSET


class Retrieve(Params, kw_only=True, frozen=True):
    include: tuple[str, ...] = ()


class List(Retrieve, kw_only=True, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    # The token in `next_page_url`.
    page: Id | None = None


def create(world: World, params: Create) -> Object:
    require_room(world)
    new = world.create(
        shapes.event_destination(
            world,
            description=params.description,
            enabled_events=list(known_types(params.enabled_events, PREFIX)),
            metadata=merged({}, params.metadata),
            name=params.name,
            webhook_endpoint={"url": usable_url(params.webhook_endpoint.url)},
        ),
        None,
    )
    secret = f"whsec_{world.secret(_SECRET_LENGTH)}"
    world.secrets[new["id"]] = [(secret, None)]
    return _shown(new, params.include, secret if _SECRET in params.include else None)


def _shown(it: Object, include: Sequence[str], secret: str | None = None) -> Object:
    url = it["webhook_endpoint"]["url"] if _URL in include else None
    return {**it, "webhook_endpoint": {"signing_secret": secret, "url": url}}


def retrieve(world: World, params: Retrieve, id_: str) -> Object:
    return _shown(world.get(KIND, id_), params.include)


def update(world: World, params: Update, id_: str) -> Object:
    it, types, to = world.get(KIND, id_), params.enabled_events, params.webhook_endpoint
    changed = given(
        description=params.description,
        enabled_events=(
            list(known_types(types, PREFIX)) if isinstance(types, tuple) else types
        ),
        name=params.name,
        webhook_endpoint=(
            {"url": usable_url(to.url)} if isinstance(to, Address) else to
        ),
    )
    metadata = merged(it["metadata"], params.metadata)
    return _shown(_changed(world, it, metadata=metadata, **changed), params.include)


def _changed(world: World, it: Object, **fields: object) -> Object:
    return world.change(it, None, updated=text_of(world.now), **fields)


def enable(world: World, params: Retrieve, id_: str) -> Object:
    it = _changed(world, world.get(KIND, id_), status="enabled", status_details=None)
    return _shown(it, params.include)


def disable(world: World, params: Retrieve, id_: str) -> Object:
    why = {"disabled": {"reason": "user"}}
    it = _changed(world, world.get(KIND, id_), status="disabled", status_details=why)
    return _shown(it, params.include)


def delete(world: World, _: Params, id_: str) -> Object:
    gone = world.remove(world.get(KIND, id_), None)
    del world.secrets[id_]
    return {"id": gone["id"], "object": KIND}


def list_(world: World, params: List) -> Object:
    every = world.all(KIND)[::-1]
    if params.page is not None:
        ids = [it["id"] for it in every]
        if params.page not in ids:
            raise invalid("Invalid page token.", "page")
        every = every[ids.index(params.page) + 1 :]
    shown = [_shown(it, params.include) for it in every[: params.limit]]
    after = None
    if len(every) > params.limit:
        more = [("limit", str(params.limit)), ("page", shown[-1]["id"])]
        named = [(f"include[{at}]", it) for at, it in enumerate(params.include)]
        after = f"{_ALL}?{urlencode([*more, *named])}"
    return {"data": shown, "next_page_url": after, "previous_page_url": None}


_ALL: Final = "/v2/core/event_destinations"
_ONE: Final = f"{_ALL}/{{destination}}"
ROUTES: Final = (
    Route("POST", _ALL, Create, create),
    Route("GET", _ALL, List, list_),
    Route("GET", _ONE, Retrieve, retrieve, KIND),
    Route("POST", _ONE, Update, update, KIND),
    Route("POST", f"{_ONE}/enable", Retrieve, enable, KIND),
    Route("POST", f"{_ONE}/disable", Retrieve, disable, KIND),
    Route("DELETE", _ONE, Params, delete, KIND),
)
