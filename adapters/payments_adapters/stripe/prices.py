"""Products and prices: what is sold, and for how much.

Sources: docs.stripe.com/api/{products,prices}/object.
"""

import msgspec

from payments_adapters.stripe.fields import Currency, Expanded, Id, Minor, Text, id_of
from payments_core import gateway as ours


class Recurring(msgspec.Struct):
    interval: Text = ""


class Transform(msgspec.Struct):
    divide_by: int = 1


class Price(msgspec.Struct):
    id: Id
    product: Id | Expanded
    currency: Currency
    active: bool = True
    unit_amount: Minor | None = None
    recurring: Recurring | None = None
    transform_quantity: Transform | None = None


class Product(msgspec.Struct):
    id: Id
    active: bool = True
    default_price: Price | Id | None = None


def price_of(price: Price) -> ours.Price:
    """Return a price; sold in packages or tiers, it has no unit amount."""
    return ours.Price(
        id=price.id,
        product=id_of(price.product) or "",
        currency=price.currency,
        amount_minor=None if price.transform_quantity else price.unit_amount,
        active=price.active,
        recurring=price.recurring is not None,
    )
