"""`/v1/webhook_endpoints`, `/v1/events` and `/v1/account`."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from payments_sandbox import shapes
from payments_sandbox.api_versions import NEWEST, generation_of
from payments_sandbox.errors import invalid
from payments_sandbox.event_types import EVENT_TYPES
from payments_sandbox.forms import (
    UNSET,
    Dated,
    Listing,
    Metadata,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.listing import page
from payments_sandbox.periods import DAY
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Event, Object, World

ENDPOINTS_MAX: Final = 16
# Stripe keeps events for 30 days.
EVENT_DAYS: Final = 30
TYPES_MAX: Final = 20
_SECRET_LENGTH: Final = 32

Types = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


class Create(Params, kw_only=True, frozen=True):
    enabled_events: Types
    url: Text
    api_version: str | None = None
    description: Text | None = None
    metadata: Metadata = UNSET


class Update(Params, kw_only=True, frozen=True):
    description: Text | Unset | None = UNSET
    disabled: bool | Unset = UNSET
    enabled_events: Types | Unset = UNSET
    metadata: Metadata = UNSET
    url: Text | Unset = UNSET


class ListEvents(Dated, kw_only=True, frozen=True):
    delivery_success: bool | None = None
    type: str | None = None
    types: tuple[str, ...] | None = None


# Webhook endpoints


def create(world: World, params: Create) -> Object:
    require_room(world)
    if params.api_version is not None:
        generation_of(params.api_version)
    new = world.create(
        shapes.webhook_endpoint(
            world,
            api_version=params.api_version,
            description=params.description,
            enabled_events=list(known_types(params.enabled_events)),
            metadata=merged({}, params.metadata),
            url=usable_url(params.url),
        ),
        None,
    )
    secret = f"whsec_{world.secret(_SECRET_LENGTH)}"
    world.secrets[new["id"]] = [(secret, None)]
    # The secret is returned only here.
    return {**new, "secret": secret}


def require_room(world: World) -> None:
    """Refuse an endpoint over the limit, event destinations included.

    Raises:
        ApiError: the limit is reached.
    """
    kinds = ("webhook_endpoint", "v2.core.event_destination")
    if sum(len(world.all(kind)) for kind in kinds) >= ENDPOINTS_MAX:
        raise invalid(
            f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints."
        )


def known_types(types: tuple[str, ...], prefix: str = "") -> tuple[str, ...]:
    """Return the types, if all are types of events.

    Raises:
        ApiError: one of them is not.
    """
    for number, type_ in enumerate(types):
        name = type_.removeprefix(prefix)
        if type_ != "*" and not (name in EVENT_TYPES and type_.startswith(prefix)):
            raise invalid(
                f"Invalid enabled_events[{number}]: must be one of the types of events",
                f"enabled_events[{number}]",
            )
    return types


def usable_url(text: str) -> str:
    """Return a usable address.

    Raises:
        ApiError: it is not an HTTP address.
    """
    try:
        parts = urlsplit(text)
        # `port` raises if it is invalid.
        usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and text.isprintable()
        )
    except ValueError:
        usable = False
    if not usable:
        raise invalid(
            "Invalid URL: an http or https address is needed.", "url", "url_invalid"
        )
    return text


def update(world: World, params: Update, id_: str) -> Object:
    endpoint = world.get("webhook_endpoint", id_)
    status: dict[str, Any] = {}
    if params.disabled is not UNSET:
        status = {"status": "disabled" if params.disabled else "enabled"}
    types = params.enabled_events
    return world.change(
        endpoint,
        None,
        metadata=merged(endpoint["metadata"], params.metadata),
        **given(
            description=params.description,
            enabled_events=(
                list(known_types(types)) if isinstance(types, tuple) else types
            ),
            url=usable_url(params.url) if isinstance(params.url, str) else params.url,
        ),
        **status,
    )


def delete(world: World, _: Params, id_: str) -> Object:
    endpoint = world.get("webhook_endpoint", id_)
    del world.secrets[id_]
    return world.remove(endpoint, None)


def list_(world: World, params: Listing) -> Object:
    return page("/v1/webhook_endpoints", world.all("webhook_endpoint"), params)


# Events


def shown(world: World, event: Event) -> dict[str, Any]:
    """Return an event as an object of the newest version."""
    data: dict[str, Any] = {"object": event.object}
    if event.previous is not None:
        data["previous_attributes"] = event.previous
    return {
        "id": event.id,
        "object": "event",
        "api_version": NEWEST,
        "created": event.created,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(world.undelivered.get(event.id, ())),
        "request": {
            "id": event.cause.request_id,
            "idempotency_key": event.cause.idempotency_key,
        },
        "type": event.type,
    }


def retrieve_event(world: World, _: Params, id_: str) -> Object:
    event = world.events.get(id_)
    if event is None or not _is_kept(world, event):
        return world.get("event", id_)
    return shown(world, event)


def _is_kept(world: World, event: Event) -> bool:
    return event.created > world.clocks[None].now - EVENT_DAYS * DAY


def list_events(world: World, params: ListEvents) -> Object:
    if params.type is not None and params.types is not None:
        raise invalid("`type` and `types` cannot be given together.", "types")
    if params.types is not None and len(params.types) > TYPES_MAX:
        raise invalid(f"`types` takes up to {TYPES_MAX}.", "types")
    types = {params.type} if params.type else set(params.types or ())
    found = [
        shown(world, event) for event in world.events.values() if _is_kept(world, event)
    ]
    return page(
        "/v1/events",
        found,
        params,
        lambda it: not types or _is_wanted(it["type"], types),
        lambda it: params.delivery_success in (None, it["id"] not in world.undelivered),
    )


def _is_wanted(type_: str, types: set[str]) -> bool:
    group = type_.rpartition(".")[0]
    return type_ in types or f"{group}.*" in types


# The account


def account(world: World, _: Params) -> Object:
    return {
        "id": f"acct_{world.seed:016d}"[:21],
        "object": "account",
        "business_type": "company",
        "charges_enabled": True,
        "country": "US",
        "created": world.start,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


_ONE: Final = "/v1/webhook_endpoints/{endpoint}"
_KIND: Final = "webhook_endpoint"
ROUTES: Final = (
    Route("POST", "/v1/webhook_endpoints", Create, create),
    Route("GET", "/v1/webhook_endpoints", Listing, list_),
    Route("GET", _ONE, Params, retrieving("webhook_endpoint"), _KIND),
    Route("POST", _ONE, Update, update, _KIND),
    Route("DELETE", _ONE, Params, delete, _KIND),
    Route("GET", "/v1/events", ListEvents, list_events),
    Route("GET", "/v1/events/{id}", Params, retrieve_event),
    Route("GET", "/v1/account", Params, account),
)
