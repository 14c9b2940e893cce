"""One call to Stripe: its answer read strictly, or an error of ours.

Rule 1: a definite no is refused; silence is everything that is neither yes nor no.
Rule 2: an answer that is not what was asked for is silence, whatever its status.
Rule 3: no error carries a body, a key or a message of Stripe's: they may quote input.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Generic, NoReturn, TypeVar

import attrs
import msgspec
import stripe

from payments_adapters.stripe.fields import decode
from payments_adapters.stripe.requests import Params
from payments_adapters.stripe.transport import Transport
from payments_core.errors import (
    GatewayBusy,
    GatewayRefused,
    GatewaySilent,
    MalformedEvent,
)

_Object = TypeVar("_Object")

CODE_LENGTH_MAX: Final = 64

# Stripe's parameters, in our words.
FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "invoice_settings[default_payment_method]": "payment_method",
        "items[0][price]": "price",
        "items[0][quantity]": "quantity",
        "payment_method": "payment_method",
        "price": "price",
        "proration_date": "proration_date",
        "subscription_details[items][0][price]": "price",
        "subscription_details[items][0][quantity]": "quantity",
        "subscription_details[proration_date]": "proration_date",
        "trial_period_days": "trial_days",
    }
)
_REFUSES_US: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# Of 409: another request with the key, or on the object, is under way.
_NOT_NOW: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})


@attrs.frozen
class Got(Generic[_Object]):
    """What was answered, and the second in which it was true."""

    it: _Object
    at: datetime


class Bare(msgspec.Struct):
    """As much of an object as tells that it is the right one."""

    kind: str = msgspec.field(name="object", default="")
    livemode: bool | None = None


_BARE: Final = msgspec.json.Decoder(Bare)


@attrs.define
class Client:
    """The SDK's client, for one event loop at a time."""

    _api_key: str | None = attrs.field(repr=False)
    _base: str
    livemode: bool
    api_version: str
    _client: stripe.StripeClient | None = attrs.field(init=False, default=None)

    @asynccontextmanager
    async def opened(self, transport: stripe.HTTPClient | None) -> AsyncIterator[None]:
        # It would write into a home that a container does not have.
        stripe.enable_telemetry = False
        http = transport or Transport()
        if self._api_key:
            self._client = stripe.StripeClient(
                self._api_key,
                http_client=http,
                base_addresses={"api": self._base},
                stripe_version=self.api_version,
                max_network_retries=0,
            )
        try:
            yield
        finally:
            self._client = None
            await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's

    async def call(  # noqa: PLR0913  # what makes up a call
        self,
        method: str,
        where: str,
        params: Params | None = None,
        *,
        reads: msgspec.json.Decoder[_Object],
        kind: str,
        idempotency_key: str | None = None,
        api_version: str | None = None,
    ) -> Got[_Object]:
        """Return what Stripe answers, if it is an object of the kind and of our mode.

        Raises:
            GatewayRefused: a definite no; `refusal_code` is Stripe's.
            GatewayBusy: nothing was done.
            GatewaySilent: nobody knows.
        """
        options = {
            "idempotency_key": idempotency_key,
            "stripe_version": api_version or self.api_version,
        }
        if self._client is None:
            raise GatewayBusy("no API key is set")
        try:
            response = await self._client.raw_request_async(
                method, where, **(params or {}), **options
            )
        except stripe.StripeError as error:
            raise_ours(error)
        return self._read(response, reads, kind)

    def _read(
        self,
        response: Any,  # the SDK's own, without types
        reads: msgspec.json.Decoder[_Object],
        kind: str,
    ) -> Got[_Object]:
        body = response.body.encode()
        try:
            bare = decode(_BARE, body)
            if bare.kind != kind:
                raise GatewaySilent("an answer about something else")
            if bare.livemode not in {None, self.livemode}:
                raise GatewaySilent("an answer of the other mode")
            return Got(decode(reads, body), _date_of(response.headers))
        except MalformedEvent as error:
            raise GatewaySilent(f"an answer that cannot be read ({error})") from error


def _date_of(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        raise GatewaySilent("an answer without its date") from None


def raise_ours(error: stripe.StripeError) -> NoReturn:
    """Raise what an error of the SDK is in our words (rule 3).

    Raises:
        GatewayRefused, GatewayBusy, GatewaySilent: see `Client.call`.
    """
    status = error.http_status
    if status is None:
        raise GatewaySilent(type(error).__name__) from None
    if status in _REFUSES_US:
        raise GatewayBusy("it refuses our key") from None
    body = _error_of(error)
    if body.get("type") == "idempotency_error" and status != HTTPStatus.CONFLICT:
        # The key carried something else before: ours was not done, but what was?
        raise GatewaySilent("the key was used for something else") from None
    if status in _NOT_NOW:
        raise GatewayBusy(f"it answers {status}") from None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise GatewaySilent(f"it answers {status}", poisoned=True) from None
    if not body or status < HTTPStatus.BAD_REQUEST:
        raise GatewaySilent(f"an answer of {status} that is none") from None
    declined = status == HTTPStatus.PAYMENT_REQUIRED
    code = _text(body.get("code")) or _text(body.get("type")) or "refused"
    field = FIELDS.get(str(body.get("param")))
    raise GatewayRefused(
        code,
        "the bank declined the card" if declined else "the payment gateway refused it",
        field=field or ("payment_method" if declined else None),
        decline_code=_text(body.get("decline_code")) or (code if declined else None),
        declined=declined,
    ) from None


def _error_of(error: stripe.StripeError) -> Mapping[str, Any]:
    try:
        whole = json.loads(error.http_body or "{}")
        found = whole["error"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    """Return a code of Stripe's; anything that does not look like one is none."""
    if isinstance(value, str) and len(value) <= CODE_LENGTH_MAX:
        return value if value.replace("_", "").isalpha() else None
    return None
