"""Read Stripe's events, whatever API version rendered them, as facts of the core.

Rule 1: only the fields named here are read, and strictly; the rest must only be JSON.
Rule 2: any signed bytes are an event. An unreadable event is quarantined; the reason
        quotes no input. Fields that are not read may be anything.
Rule 3: a type that we do not follow is an event without a report, which says whether
        we know the type.
Rule 4: an event of another account is quarantined, whatever it says.
Rule 5: of a duplicate key the last value counts. One parser reads everything, so no two
        places can read the body differently.
Rule 6: a thin event only says which object changed (`thin_events`).

Source: docs.stripe.com/api/events/object and the types of the SDK.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs

from payments_adapters.stripe.envelope import (
    Envelope,
    Request,
    envelope_of,
    kind_of,
    unread,
)
from payments_adapters.stripe.fields import NUL, Malformed, moment, reads_nul
from payments_adapters.stripe.followed_types import FOLLOWED
from payments_adapters.stripe.other_types import why_ignored
from payments_adapters.stripe.signature import StripeSignatures
from payments_adapters.stripe.thin_events import THIN, thin_event_of
from payments_core.events import (
    UNREADABLE,
    EventKey,
    GatewayEvent,
    QuarantineNeeded,
    ReadFailed,
    Report,
)
from payments_core.identity import CUSTOMER_ID_LENGTH_MAX, CustomerId

_CUSTOMER: Final = "customer"
_NUL_IS_READ: Final = "a text that is read holds a NUL character"
_NO_TEXT: Final = QuarantineNeeded(f"{UNREADABLE}: body: not UTF-8")
_NEVER: Final = moment(0)


def translate(
    body: bytes, *, livemode: bool = False, at: datetime | None = None
) -> GatewayEvent:
    """Translate a body whose signature was verified, now or before.

    `livemode` and `at` are defaults for an event without its own.
    """
    try:
        # msgspec does not check the strings that it skips.
        body.decode()
    except UnicodeDecodeError:
        # The error is dropped: it contains the whole body, and logs would, too.
        return _unread(body, _NO_TEXT, livemode=livemode, at=at or _NEVER)
    try:
        try:
            envelope = envelope_of(body)
            request, thing = envelope.request, envelope.data.object
            customer = thing.id if thing.kind == _CUSTOMER else thing.customer
            if isinstance(customer, dict):
                customer = customer.get("id")
            # Any other value identifies no customer.
            is_id = (
                isinstance(customer, str) and len(customer) <= CUSTOMER_ID_LENGTH_MAX
            )
            event = GatewayEvent(
                id=envelope.id,
                type=envelope.type,
                created_at=moment(envelope.created),
                livemode=envelope.livemode,
                api_version=envelope.api_version,
                object_id=thing.id,
                customer_id=CustomerId(str(customer)) if is_id and customer else None,
                report=_report(envelope, body),
                ignored_because=(
                    None if envelope.type in FOLLOWED else why_ignored(envelope.type)
                ),
                request_key=(
                    request.idempotency_key if isinstance(request, Request) else None
                ),
                body=body,
            )
        except Malformed:
            if kind_of(body) != THIN:
                raise
            event = thin_event_of(body, _KINDS)
        if NUL not in body or not reads_nul(attrs.evolve(event, body=b"")):
            return event
        report: Report = QuarantineNeeded(f"{UNREADABLE}: {_NUL_IS_READ}")
    except Malformed as malformed:
        report = QuarantineNeeded(f"{UNREADABLE}: {malformed}")
    except Exception as error:  # noqa: BLE001  # one event's bug must not stop others
        report = ReadFailed(error)
    return _unread(body, report, livemode=livemode, at=at or _NEVER)


def _unread(
    body: bytes, report: Report, *, livemode: bool, at: datetime
) -> GatewayEvent:
    known = unread(body)
    digest = hashlib.sha256(body).hexdigest()
    id_, type_ = known.key or EventKey(f"{UNREADABLE}_{digest}", UNREADABLE)
    return GatewayEvent(
        id=id_,
        type=type_,
        created_at=at if known.created_s is None else moment(known.created_s),
        livemode=livemode if known.livemode is None else known.livemode,
        object_id=known.object_id,
        report=report,
        body=body,
    )


@attrs.frozen
class StripeEvents:
    """The `EventReader` for Stripe's webhooks."""

    signatures: StripeSignatures
    livemode: bool

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate.

        Raises:
            BadSignature: no active secret made the signature, or it is too old.
        """
        signed_at = self.signatures.verify(body, signature)
        return translate(body, livemode=self.livemode, at=signed_at)

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified on arrival."""
        return translate(body, livemode=self.livemode)


def _report(envelope: Envelope, body: bytes) -> Report | None:
    if reason := _not_ours(envelope):
        return QuarantineNeeded(reason)
    followed = FOLLOWED.get(envelope.type)
    if followed is None:
        return None
    thing = envelope.data.object
    if followed.kind is not None and thing.kind != followed.kind:
        return QuarantineNeeded(f"the object is not a {followed.kind}")
    return followed.read(envelope, body)


def _not_ours(envelope: Envelope) -> str | None:
    if envelope.data.object.livemode not in (None, envelope.livemode):
        return "livemode of event and object differ"
    # A platform receives events of its connected accounts, an organisation those of all
    # its accounts. Their money is not ours.
    if envelope.account:
        return "the event is of a connected account"
    if envelope.context:
        return "the event is of an account of an organisation"
    return None


# The kind of object of a followed type; None: one of several.
_KINDS: Final[Mapping[str, str | None]] = MappingProxyType(
    {type_: followed.kind for type_, followed in FOLLOWED.items()}
)
