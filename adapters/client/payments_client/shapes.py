"""The answers of the service. Unknown fields are ignored.

So a later service may add fields. Statuses are strings for the same reason.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec


class Card(msgspec.Struct, frozen=True):
    brand: str
    last4: str
    exp_month: int
    exp_year: int


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription; it is paid for until `paid_through`."""

    id: str
    status: str
    product: str
    price: str
    quantity: int
    current_period_end: datetime
    trial_end: datetime | None = None
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = None
    ended_at: datetime | None = None
    paid_through: datetime | None = None


class PaymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user has paid, and until when.

    `payment_status` is one of `none`, `pending`, `trialing`, `paid`, `failed`,
    `refunded` and `disputed`.
    """

    user_id: str
    email: str
    payment_status: str
    payment_expire_date: datetime | None
    entitled: bool
    card: Card | None = None
    subscriptions: Sequence[Subscription] = ()


class Because(msgspec.Struct, frozen=True):
    """What gives access: its kind, and the id of an invoice or a subscription."""

    kind: str
    id: str | None = None


class ProductAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user has a product; `until` may have passed."""

    product: str
    granted: bool
    until: datetime | None = None
    because: Because | None = None


class FeatureAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user has a feature, and which product gives it."""

    feature: str
    granted: bool
    until: datetime | None = None
    product: str | None = None
    because: Because | None = None


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """All that a user has access to; `catalogue` is the version that decides."""

    user_id: str
    entitled: bool
    entitled_until: datetime | None = None
    catalogue: str = ""
    products: Sequence[ProductAccess] = ()
    features: Sequence[FeatureAccess] = ()


class CatalogueProduct(msgspec.Struct, frozen=True, kw_only=True):
    """What a product gives, and what each of its prices adds."""

    product: str = ""
    name: str | None = None
    prices: Sequence[str] = ()
    features: Sequence[str] = ()
    price_features: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What is sold. Its version is `none` if the service has no catalogue."""

    version: str
    products: Sequence[CatalogueProduct] = ()
    prepaid: CatalogueProduct | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A product that a user has, at a price, until a time."""

    product: str
    price: str | None = None
    until: datetime
    because: Because | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What became known about a user: all that holds from then on.

    Of two changes of one user, the one with the greater `version` is later.
    """

    position: int
    user_id: str
    version: int
    at: datetime
    payment_status: str
    payment_expire_date: datetime | None = None
    entitled_until: datetime | None = None
    grants: Sequence[Grant] = ()
    cause: str = ""


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Changes in order; the next page begins after `next`."""

    changes: Sequence[Change]
    next: str
    has_more: bool
    catalogue: str = ""


class Key(msgspec.Struct, frozen=True):
    """A public key, as a JWK; for a key other than Ed25519, `x` is not usable."""

    kty: str = ""
    crv: str = ""
    kid: str = ""
    x: str = ""


class Keys(msgspec.Struct, frozen=True):
    """The public keys that sign access passes."""

    keys: Sequence[Key]
