"""Reads objects of Stripe: one object, or a list of them.

Rule: an answer must be the requested object, or it is not used.
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

# Stripe's largest page; and far more pages than any customer has.
PAGE: Final = 100
PAGES_MAX: Final = 20


class _Thing(Protocol):
    @property
    def id(self) -> str: ...


# A list whose objects are decoded one by one.
RAW_PAGE: Final = Reader(msgspec.json.Decoder(Page[msgspec.Raw]), "list", is_raw=True)
# The filters of a list, in Stripe's names.
Filter = str | Mapping[str, str] | Sequence[str]

_Object = TypeVar("_Object")
_ThingT = TypeVar("_ThingT", bound=_Thing)
_MadeT = TypeVar("_MadeT", bound=Made)


@attrs.frozen
class Kind(Generic[_Object]):
    """A kind of object: its name, our word for it, and how it is read."""

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
# The part of a subscription that says who made it.
MADE_SUBSCRIPTION: Final = Kind.of("subscription", "subscription", Made)


@attrs.frozen
class Reading:
    """Reads through a client; its errors are those of the client."""

    _client: Client

    async def one(self, kind: Kind[_ThingT], id_: str, *expand: str) -> Got[_ThingT]:
        """Return the object with this id.

        Raises:
            GatewayObjectMissing: it does not exist.
            GatewayRefused: the id is not well-formed.
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
        """Return the first page of a list, the newest objects.

        Raises:
            GatewayObjectMissing: their owner does not exist.
        """
        return await self._listed(kind, kind.page, {**filters, "limit": limit})

    async def some_unread(
        self, kind: Kind[Any], *, limit: int, **filters: Filter
    ) -> Got[Page[msgspec.Raw]]:
        """Return the first page of a list, each object still to be decoded and checked.

        Raises:
            GatewayObjectMissing: the object that it is filtered by does not exist.
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
        """Return a whole list, each object with the second of its page's answer.

        Raises:
            GatewayObjectMissing: their owner does not exist.
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
        """Return a paid invoice with all its lines: an answer has only the first ones.

        Raises:
            GatewayObjectMissing: it no longer exists.
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
        """Return the object of a list that an intent made; None if there is none."""
        found = await self.all(kind, **filters)
        return next((got for got in found if got.it.is_marked(intent_id)), None)


def _missing(error: GatewayRefused, word: str) -> GatewayObjectMissing | GatewayRefused:
    if error.refusal_code == MISSING:
        return GatewayObjectMissing(error.field or word)
    return error
