"""Read thin events: which object changed, without its state.

Rule 1: a followed type needs a sync, or first a read of the object, if the event does
        not say what to sync.
Rule 2: any other type is stored without effect. The event says whether we know it.

Source: docs.stripe.com/api/v2/core/events/object and
docs.stripe.com/event-destinations (types `v1.…`, general since 2026-09-30).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from payments_adapters.stripe.fields import KIND, Id, Malformed, Text, Visible, decode
from payments_adapters.stripe.other_types import why_ignored
from payments_core.events import (
    GatewayEvent,
    ObjectChanged,
    ObjectKind,
    QuarantineNeeded,
    SyncNeeded,
)
from payments_core.job_key import JobKey, JobKind

THIN: Final = "v2.core.event"
PREFIX: Final = "v1."
_YEAR_MIN, _YEAR_MAX = 1970, 2100


class _Request(msgspec.Struct):
    idempotency_key: Text | None = None


class _Reason(msgspec.Struct):
    request: _Request | None = None


class _Related(msgspec.Struct):
    id: Id
    type: Text
    url: Text | None = None


class ThinEvent(msgspec.Struct):
    id: Visible
    type: Visible
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    livemode: bool
    kind: Text = KIND
    # The account of the event, if not our own.
    context: Text | None = None
    reason: _Reason | None = None
    related_object: _Related | None = None


_EVENT: Final = msgspec.json.Decoder(ThinEvent)
# Stripe's kinds of objects: those whose id says what to sync, and others.
_SYNCS: Final[Mapping[str, JobKind]] = MappingProxyType(
    {
        "charge": JobKind.PAYMENT,
        "customer": JobKind.CUSTOMER,
        "subscription": JobKind.SUBSCRIPTION,
    }
)
_CHANGES: Final[Mapping[str, ObjectKind]] = MappingProxyType(
    {
        "dispute": "dispute",
        "invoice": "invoice",
        "payment_method": "card",
        "refund": "refund",
        "setup_intent": "set_up",
    }
)

# A card of the older API names its customer only in its URL.
_SOURCE: Final = re.compile(r"/v1/customers/(?P<customer>\w{1,255})/sources/\w+")

_Report = SyncNeeded | ObjectChanged | QuarantineNeeded


def thin_event_of(body: bytes, followed: Mapping[str, str | None]) -> GatewayEvent:
    """Read a thin event.

    `followed` are the types that are followed, without the prefix, and the kind of
    object of each; None: one of several.

    Raises:
        Malformed: the body cannot be read.
    """
    event = decode(_EVENT, body)
    if not _YEAR_MIN <= event.created.year < _YEAR_MAX:
        raise Malformed("created", "not a time of this century")
    request = event.reason.request if event.reason else None
    return GatewayEvent(
        id=event.id,
        type=event.type,
        created_at=event.created.astimezone(UTC),
        livemode=event.livemode,
        object_id=event.related_object.id if event.related_object else None,
        report=_report(event, followed),
        ignored_because=_why_ignored(event.type, followed),
        request_key=request.idempotency_key if request else None,
        body=body,
    )


def _why_ignored(type_: str, followed: Mapping[str, str | None]) -> str | None:
    """Return why a type is not followed; None: it is followed."""
    name = type_.removeprefix(PREFIX)
    return None if name != type_ and name in followed else why_ignored(name)


def _report(event: ThinEvent, followed: Mapping[str, str | None]) -> _Report | None:
    if event.context:
        return QuarantineNeeded("the event is of an account of an organisation")
    type_, thing = event.type.removeprefix(PREFIX), event.related_object
    if _why_ignored(event.type, followed):
        return None
    if thing is None:
        return QuarantineNeeded("the event names no object")
    if followed[type_] not in {None, thing.type}:
        return QuarantineNeeded(f"the object is not a {followed[type_]}")
    return _of_object(event, thing)


def _of_object(event: ThinEvent, thing: _Related) -> _Report:
    if job := _SYNCS.get(thing.type):
        return SyncNeeded(JobKey(job, thing.id), event.type)
    if kind := _CHANGES.get(thing.type):
        return ObjectChanged(kind, thing.id)
    if owner := _SOURCE.fullmatch(thing.url or ""):
        return SyncNeeded(JobKey(JobKind.CUSTOMER, owner["customer"]), event.type)
    return QuarantineNeeded("the object is of a kind that is not read")
