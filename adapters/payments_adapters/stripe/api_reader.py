"""What there is at Stripe: one thing, or a list of them.

Rule: whatever comes is the thing that was asked for, or nothing is believed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
import msgspec

from payments_adapters.stripe import billing
from payments_adapters.stripe.api_shapes import Made, Page
from payments_adapters.stripe.charges import Charge, Dispute
from payments_adapters.stripe.client import Client, Got, Reader
from payments_adapters.stripe.customers import Customer, SetUpIntent
from payments_adapters.stripe.failures import MISSING
from payments_adapters.stripe.invoice_payments import (
    CollectedInvoice,
    PaidInvoice,
    PaymentIntent,
)
from payments_adapters.stripe.invoices import Invoice, Line, Lines
from payments_adapters.stripe.prices import Price, Product
from payments_adapters.stripe.requests import Params, path
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)

# The most that Stripe gives at once; and far more than anybody has.
PAGE: Final = 100
PAGES_MAX: Final = 20


class _Thing(Protocol):
    @property
    def id(self) -> str: ...


# A list whose objects are read one by one.
RAW_PAGE: Final = Reader(msgspec.json.Decoder(Page[msgspec.Raw]), "list", is_raw=True)
# What a list is asked by, as Stripe names it.
Filter = str | Mapping[str, str] | Sequence[str]

_Object = TypeVar("_Object")
_ThingT = TypeVar("_ThingT", bound=_Thing)
_MadeT = TypeVar("_MadeT", bound=Made)


@attrs.frozen
class Kind(Generic[_Object]):
    """A kind of thing: its name, the word of ours, and how it is read."""

    name: str
    word: str
    _one: "msgspec.json.Decoder[_Object]"
    _page: "msgspec.json.Decoder[Page[_Object]]"

    @classmethod
    def of(cls, name: str, word: str, type_: type[_Object]) -> "Kind[_Object]":
        page: Any = Page[type_]  # type: ignore[valid-type]  # made at run time
        return cls(name, word, msgspec.json.Decoder(type_), msgspec.json.Decoder(page))

    @property
    def folder(self) -> str:
        return f"{self.name}s"

    @property
    def one(self) -> Reader[_Object]:
        return Reader(self._one, self.name)

    @property
    def page(self) -> Reader[Page[_Object]]:
        return Reader(self._page, "list", items=self.name)


CHARGE: Final = Kind.of("charge", "payment", Charge)
COLLECTED: Final = Kind.of("invoice", "invoice", CollectedInvoice)
CUSTOMER: Final = Kind.of("customer", "customer", Customer)
DISPUTE: Final = Kind.of("dispute", "payment", Dispute)
INVOICE: Final = Kind.of("invoice", "invoice", Invoice)
INVOICE_PAYMENT: Final = Kind.of("invoice_payment", "payment", PaidInvoice)
METHOD: Final = Kind.of("payment_method", "payment_method", billing.PaymentMethod)
PAYMENT_INTENT: Final = Kind.of("payment_intent", "payment", PaymentIntent)
PRICE: Final = Kind.of("price", "price", Price)
PRODUCT: Final = Kind.of("product", "product", Product)
SET_UP: Final = Kind.of("setup_intent", "set_up", SetUpIntent)
SUBSCRIPTION: Final = Kind.of("subscription", "subscription", billing.Subscription)
_LINES: Final = Reader(msgspec.json.Decoder(Page[Line]), "list", items="line_item")
# As much of a subscription as says who made it.
MADE_SUBSCRIPTION: Final = Kind.of("subscription", "subscription", Made)


@attrs.frozen
class Reading:
    """Reads through a client; what it promises of errors is the client's."""

    _client: Client

    async def one(self, kind: Kind[_ThingT], id_: str, *expand: str) -> Got[_ThingT]:
        """Return the thing of this id.

        Raises:
            GatewayObjectMissing: there is none.
            GatewayRefused: that is no id.
        """
        where = path(kind.folder, id_, field=kind.word)
        params = {"expand": list(expand)} if expand else {}
        try:
            got = await self._client.call("GET", where, params, kind.one)
        except GatewayRefused as error:
            raise _missing(error, kind.word) from error
        if got.it.id != id_:
            raise GatewayOutcomeUnknown("an answer about something else")
        return got

    async def some(
        self, kind: Kind[_Object], *, limit: int, **filters: Filter
    ) -> Got[Page[_Object]]:
        """Return the first of a list, the newest ones.

        Raises:
            GatewayObjectMissing: whose they are is not there.
        """
        return await self._listed(kind, kind.page, {**filters, "limit": limit})

    async def some_unread(
        self, kind: Kind[Any], *, limit: int, **filters: Filter
    ) -> Got[Page[msgspec.Raw]]:
        """Return the first of a list, each still to be read and checked by itself.

        Raises:
            GatewayObjectMissing: what it is asked by is not there.
        """
        return await self._listed(kind, RAW_PAGE, {**filters, "limit": limit})

    async def _listed(
        self, kind: Kind[Any], reader: Reader[_Object], params: Params
    ) -> Got[_Object]:
        try:
            return await self._client.call("GET", path(kind.folder), params, reader)
        except GatewayRefused as error:
            raise _missing(error, kind.word) from error

    async def all(self, kind: Kind[_ThingT], **filters: str) -> Sequence[Got[_ThingT]]:
        """Return all of a list, each with the second in which its page was true.

        Raises:
            GatewayObjectMissing: whose they are is not there.
            GatewayOutcomeUnknown: the list does not end.
        """
        found, after = list[Got[_ThingT]](), dict[str, str]()
        for _ in range(PAGES_MAX):
            page = await self.some(kind, limit=PAGE, **filters, **after)
            found += [Got(it, page.at) for it in page.it.data]
            if not page.it.has_more:
                return found
            if page.it.data:
                after = {"starting_after": page.it.data[-1].id}
        raise GatewayOutcomeUnknown("a list without an end")

    async def whole(self, invoice: Invoice) -> Invoice:
        """Return a paid invoice with all its lines, which is more than it comes with.

        Raises:
            GatewayObjectMissing: it is not there any more.
            GatewayOutcomeUnknown: the lines do not end.
        """
        if invoice.status != "paid" or not invoice.lines.has_more:
            return invoice
        where, lines = path(INVOICE.folder, invoice.id, "lines"), list[Line]()
        after = dict[str, str]()
        for _ in range(PAGES_MAX):
            params = {"limit": PAGE, **after}
            try:
                got = await self._client.call("GET", where, params, _LINES)
            except GatewayRefused as error:
                raise _missing(error, INVOICE.word) from error
            lines += got.it.data
            if not got.it.has_more:
                return msgspec.structs.replace(invoice, lines=Lines(lines))
            if got.it.data:
                after = {"starting_after": got.it.data[-1].id}
        raise GatewayOutcomeUnknown("an invoice without an end")

    async def marked(
        self, kind: Kind[_MadeT], intent_id: str, **filters: str
    ) -> Got[_MadeT] | None:
        """Return the one of a list that an intent made; None if it made none."""
        found = await self.all(kind, **filters)
        return next((got for got in found if got.it.is_marked(intent_id)), None)


def _missing(error: GatewayRefused, word: str) -> GatewayObjectMissing | GatewayRefused:
    if error.refusal_code == MISSING:
        return GatewayObjectMissing(error.field or word)
    return error
