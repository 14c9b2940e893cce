"""One call to Stripe: its answer read strictly, or an error of ours.

Rule 1: a definite no is a refusal; anything neither yes nor no is an unknown outcome.
Rule 2: an answer about something else is an unknown outcome, whatever its status.
Rule 3: no error carries a body, a key or a message of Stripe's: they may quote input.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Generic, TypeVar

import attrs
import msgspec
import stripe

from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.failures import failure_of
from payments_adapters.stripe.fields import (
    KIND,
    NUL,
    SECONDS_MAX,
    Malformed,
    Text,
    decode,
    reads_nul,
)
from payments_adapters.stripe.requests import Params
from payments_adapters.stripe.transport import Transport
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
)

_Object = TypeVar("_Object")


@attrs.frozen
class Reader(Generic[_Object]):
    """How an answer is read, and which kind it must be; `items`: the kind in a list.

    The objects of an `is_raw` list are left to the caller, whatever they are.
    """

    decoder: "msgspec.json.Decoder[_Object]"
    kind: str
    items: str | None = None
    is_raw: bool = False


@attrs.frozen
class Got(Generic[_Object]):
    """The answer, and the second to which it applies."""

    it: _Object
    at: datetime


class _Item(msgspec.Struct):
    kind: Text = KIND
    livemode: bool | None = None


class _Anything(_Item):
    """The part of an answer that says what it is."""

    data: Sequence[_Item] = ()


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_ITEM: Final = msgspec.json.Decoder(_Item)
_ANYTHING: Final = msgspec.json.Decoder(_Anything)


@attrs.define
class Client:
    """The SDK's client, for one event loop at a time; every call has a key."""

    _api_key: str | None = attrs.field(repr=False)
    _base: str
    _livemode: bool
    _client: stripe.StripeClient | None = attrs.field(init=False, default=None)

    @asynccontextmanager
    async def opened(self, transport: stripe.HTTPClient | None) -> AsyncIterator[None]:
        # Its telemetry would write into a home that a container does not have.
        stripe.enable_telemetry = False
        # It logs addresses, with e-mails in them, and messages that quote input.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        http = transport or Transport()
        if self._api_key:
            self._client = stripe.StripeClient(
                self._api_key,
                http_client=http,
                base_addresses={"api": self._base},
                stripe_version=API_VERSION,
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
        params: Params,
        reader: Reader[_Object],
        *,
        idempotency_key: str | None = None,
        api_version: str = API_VERSION,
    ) -> Got[_Object]:
        """Return what Stripe answers, if it has the expected kind and our mode.

        Raises:
            GatewayRefused: Stripe refused; `refusal_code` is Stripe's code.
            GatewayNotAttempted: nothing was done.
            GatewayOutcomeUnknown: it may or may not have been done.
        """
        if not self._api_key:
            raise GatewayMisconfigured("this service has no key set")
        if self._client is None:
            raise GatewayNotAttempted("it is closed")
        options = {"idempotency_key": idempotency_key, "stripe_version": api_version}
        try:
            response = await self._client.raw_request_async(
                method.lower(), where, **params, **options
            )
        except Exception as error:  # noqa: BLE001  # the SDK fails on odd errors
            failure = failure_of(error)
        else:
            return self._read(response.body.encode(), response.headers, reader)
        # Raised out here because the SDK's error holds the answer's body (rule 3).
        raise failure

    def _read(
        self, body: bytes, headers: Mapping[str, str], reader: Reader[_Object]
    ) -> Got[_Object]:
        try:
            if reader.is_raw:
                self._require(decode(_ITEM, body), (), reader)
            else:
                answer = decode(_ANYTHING, body)
                self._require(answer, answer.data, reader)
            it = decode(reader.decoder, body)
        except Malformed as error:
            raise GatewayOutcomeUnknown(
                f"an answer that cannot be read ({error})"
            ) from error
        if not reader.is_raw and NUL in body and reads_nul(it):
            raise GatewayOutcomeUnknown("an answer that cannot be stored")
        return Got(it, _date_of(headers))

    def _require(
        self, answer: _Item, items: Sequence[_Item], reader: Reader[_Object]
    ) -> None:
        kinds = {
            (answer.kind, reader.kind),
            *((it.kind, reader.items) for it in items),
        }
        if any(kind != wanted for kind, wanted in kinds):
            raise GatewayOutcomeUnknown("an answer about something else")
        modes = {answer.livemode, *(it.livemode for it in items)}
        if not modes <= {None, self._livemode}:
            raise GatewayOutcomeUnknown("an answer of the other mode")


def _date_of(headers: Mapping[str, str]) -> datetime:
    try:
        said = parsedate_to_datetime(headers["Date"])
        # Without a zone "GMT" is meant.
        date = said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)
    except (KeyError, OverflowError, TypeError, ValueError):
        date = _NEVER
    if not 0 <= date.timestamp() <= SECONDS_MAX:
        raise GatewayOutcomeUnknown("an answer without its date")
    return date
