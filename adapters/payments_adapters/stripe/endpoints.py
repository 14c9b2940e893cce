"""Where Stripe sends events: webhook endpoints, and event destinations.

Rule 1: a webhook endpoint sends snapshots, in the version that it was created with, for
        good; an event destination sends thin events, which have no version.
Rule 2: the secret is only in the answer to the creation.

Sources: docs.stripe.com/api/webhook_endpoints and
docs.stripe.com/api/v2/core/event-destinations.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from payments_adapters.stripe.api_reader import PAGE, PAGES_MAX
from payments_adapters.stripe.api_shapes import API_VERSION, Page
from payments_adapters.stripe.client import Client, Reader
from payments_adapters.stripe.endpoint import (
    ALL_TYPES,
    MARKS,
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EndpointMarks,
    FoundEndpoints,
    MadeEndpoint,
)
from payments_adapters.stripe.fields import (
    TEXT_LENGTH_MAX,
    Id,
    Seconds,
    Text,
    moment,
)
from payments_adapters.stripe.requests import Params, given, path
from payments_adapters.stripe.thin_events import PREFIX
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayOutcomeUnknown,
    GatewayRefused,
)

NAME: Final = "payments-gateway"
_DESTINATION: Final = "v2.core.event_destination"
_ENABLED: Final = "enabled"
# v2 does not document its largest page.
_PAGE: Final = 10
_URL: Final = "webhook_endpoint.url"
_SECRET: Final = "webhook_endpoint.signing_secret"  # noqa: S105  # the name of a field
_LONG: Final = msgspec.Meta(max_length=8_192)

_Thing = TypeVar("_Thing")


class _Marks(msgspec.Struct):
    """The metadata of any endpoint of the account, by any author."""

    role: object = msgspec.field(name=MARKS[0], default=None)
    secret: object = msgspec.field(name=MARKS[1], default=None)
    since: object = msgspec.field(name=MARKS[2], default=None)


class _Snapshots(msgspec.Struct):
    """A webhook endpoint."""

    id: Id
    url: Annotated[str, _LONG]
    created: Seconds
    status: Text
    enabled_events: Sequence[Text]
    api_version: Text | None = None
    description: Annotated[str, _LONG] | None = None
    metadata: _Marks | None = None
    secret: Text | None = None


class _Address(msgspec.Struct):
    url: Annotated[str, _LONG] | None = None
    signing_secret: Text | None = None


class _Destination(msgspec.Struct):
    """An event destination; one without a web address is not ours."""

    id: Id
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    status: Text
    enabled_events: Sequence[Text]
    event_payload: Text
    description: Annotated[str, _LONG] | None = None
    metadata: _Marks | None = None
    webhook_endpoint: _Address | None = None


class _Destinations(msgspec.Struct, Generic[_Thing]):
    data: Sequence[_Thing] = ()
    next_page_url: Annotated[str, _LONG] | None = None


class _Gone(msgspec.Struct):
    id: Id


_ONE: Final = Reader(msgspec.json.Decoder(_Snapshots), "webhook_endpoint")
_SOME: Final = Reader(
    msgspec.json.Decoder(Page[_Snapshots]), "list", items="webhook_endpoint"
)
_ONE_THIN: Final = Reader(msgspec.json.Decoder(_Destination), _DESTINATION)
# A list of v2 has no `object` field.
_SOME_THIN: Final = Reader(
    msgspec.json.Decoder(_Destinations[_Destination]), "", items=_DESTINATION
)


def _endpoint_of(it: _Snapshots) -> Endpoint:
    return Endpoint(
        id=it.id,
        url=it.url,
        made_at=moment(it.created),
        is_thin=False,
        types=frozenset(it.enabled_events),
        is_enabled=it.status == _ENABLED,
        api_version=it.api_version,
        description=it.description or "",
        marks=_marks_of(it.metadata),
    )


def _thin_endpoint_of(it: _Destination, url: str) -> Endpoint:
    return Endpoint(
        id=it.id,
        url=url,
        made_at=it.created,
        is_thin=True,
        types=frozenset(name.removeprefix(PREFIX) for name in it.enabled_events),
        is_enabled=it.status == _ENABLED,
        api_version=None,
        description=it.description or "",
        marks=_marks_of(it.metadata),
    )


def _marks_of(metadata: _Marks | None) -> EndpointMarks:
    it = metadata or _Marks()
    return EndpointMarks(
        role=_mark(it.role), secret=_mark(it.secret), since=_mark(it.since)
    )


def _mark(value: object) -> str | None:
    """Return what may be our mark; a longer text is not."""
    is_mark = isinstance(value, str) and len(value) <= TEXT_LENGTH_MAX
    return str(value) if is_mark else None


def _names(types: frozenset[str], *, is_thin: bool) -> Sequence[str]:
    prefix = PREFIX if is_thin else ""
    return [f"{prefix}{name}" if name != ALL_TYPES else name for name in sorted(types)]


def _destination(*parts: str) -> str:
    # Only well-formed ids become parts of a path.
    return "/v2/core/event_destinations" + path(*parts).removeprefix("/v1").rstrip("/")


async def endpoints(client: Client, *, needs_thin: bool) -> FoundEndpoints:
    """Return every endpoint of the account that sends to a web address.

    An account or a key that has no event destinations still has webhook endpoints:
    unless those of thin events are needed, the answer only notes that Stripe refused
    them.

    Raises:
        GatewayUnavailable: see `Client.call`.
        GatewayRefused: see `Client.call`.
    """
    # Six times as many as Stripe allows.
    page = await client.call("GET", path("webhook_endpoints"), {"limit": PAGE}, _SOME)
    if page.it.has_more:
        raise GatewayOutcomeUnknown("more endpoints than are read")
    found = [_endpoint_of(it) for it in page.it.data]
    try:
        found += await _thin_endpoints(client)
    except (GatewayMisconfigured, GatewayRefused) as error:
        if needs_thin:
            raise
        return FoundEndpoints(it=found, at=page.at, thin_refused=error)
    return FoundEndpoints(it=found, at=page.at)


async def _thin_endpoints(client: Client) -> Sequence[Endpoint]:
    found, after = list[Endpoint](), dict[str, str]()
    for _ in range(PAGES_MAX):
        params = {"limit": _PAGE, "include": [_URL], **after}
        page = await client.call("GET", _destination(), params, _SOME_THIN)
        found += [
            _thin_endpoint_of(it, it.webhook_endpoint.url)
            for it in page.it.data
            # The endpoints of v1 may be in this list, too.
            if it.event_payload == "thin"
            and it.webhook_endpoint is not None
            and it.webhook_endpoint.url is not None
        ]
        if page.it.next_page_url is None:
            return found
        # Only its token is used: Stripe cannot make us call another address.
        [token, *_] = parse_qs(urlsplit(page.it.next_page_url).query).get("page", [""])
        after = {"page": token}
    raise GatewayOutcomeUnknown("a list without an end")


async def create(client: Client, draft: EndpointDraft) -> MadeEndpoint:
    """Create an endpoint, enabled and in the pinned version.

    Raises:
        GatewayRefused: the URL or a type is refused (`field`), or there are too many.
        GatewayUnavailable: see `Client.call`.
    """
    url, enabled = draft.url, _names(draft.types, is_thin=draft.is_thin)
    more = {"description": draft.description, "metadata": draft.marks.metadata}
    if draft.is_thin:
        destination = await client.call(
            "POST",
            _destination(),
            {
                "name": NAME,
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": enabled,
                "webhook_endpoint": {"url": url},
                "include": [_SECRET, _URL],
                **more,
            },
            _ONE_THIN,
        )
        address = destination.it.webhook_endpoint or _Address()
        return _made(_thin_endpoint_of(destination.it, url), address.signing_secret)
    params = {"url": url, "enabled_events": enabled, "api_version": API_VERSION, **more}
    made = await client.call("POST", path("webhook_endpoints"), params, _ONE)
    return _made(_endpoint_of(made.it), made.it.secret)


def _made(endpoint: Endpoint, secret: str | None) -> MadeEndpoint:
    if not secret:
        raise GatewayOutcomeUnknown("a new endpoint without its secret")
    return MadeEndpoint(endpoint, secret)


async def change(client: Client, it: Endpoint, to: EndpointChange) -> Endpoint:
    """Change an endpoint; return the changed endpoint.

    For an event destination that takes two calls: the notes are written after the
    change that they describe.

    Raises:
        GatewayRefused: it no longer exists, or a type is not accepted.
        GatewayUnavailable: see `Client.call`.
    """
    params: Params = given(
        enabled_events=None
        if to.types is None
        else _names(to.types, is_thin=it.is_thin),
        description=to.description,
        metadata=None if to.marks is None else to.marks.metadata,
    )
    if not it.is_thin:
        off = {} if to.is_enabled is None else {"disabled": not to.is_enabled}
        where = path("webhook_endpoints", it.id)
        got = await client.call("POST", where, {**params, **off}, _ONE)
        return _endpoint_of(got.it)
    calls = list[tuple[str, Params]]()
    if to.is_enabled is not None:
        verb = "enable" if to.is_enabled else "disable"
        calls.append((_destination(it.id, verb), {}))
    if params:
        calls.append((_destination(it.id), params))
    for where, what in calls:
        thin = await client.call("POST", where, what, _ONE_THIN)
        it = _thin_endpoint_of(thin.it, it.url)
    return it


async def delete(client: Client, it: Endpoint) -> None:
    """Delete an endpoint.

    Raises:
        GatewayRefused: it no longer exists.
        GatewayUnavailable: see `Client.call`.
    """
    gone = msgspec.json.Decoder(_Gone)
    if it.is_thin:
        reader, where = Reader(gone, _DESTINATION), _destination(it.id)
    else:
        reader = Reader(gone, "webhook_endpoint")
        where = path("webhook_endpoints", it.id)
    await client.call("DELETE", where, {}, reader)
