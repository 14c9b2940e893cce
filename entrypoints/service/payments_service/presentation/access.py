"""Access and the catalogue as they are shown, in JSON or as text."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

import msgspec

from payments_core.access import AccessTo
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.policy import Policy
from payments_core.use_cases import UserAccess
from payments_service.presentation.schemas import BecauseOut


class ProductAccessOut(msgspec.Struct, frozen=True):
    """Access to a product; `until` may have passed, null: no access was ever known."""

    product: str
    granted: bool
    until: datetime | None
    because: BecauseOut | None

    @classmethod
    def of(cls, product: str, to: AccessTo) -> Self:
        return cls(product, to.granted, to.until, BecauseOut.of(to.because))


class FeatureItemOut(msgspec.Struct, frozen=True):
    """Access to a feature, and the product that gives it for longest."""

    feature: str
    granted: bool
    until: datetime | None
    product: str | None
    because: BecauseOut | None

    @classmethod
    def of(cls, feature: str, to: AccessTo) -> Self:
        because = BecauseOut.of(to.because)
        return cls(feature, to.granted, to.until, to.product, because)


class UserAccessOut(msgspec.Struct, frozen=True):
    """Access by product and by feature: those that the user has or had, and all others.

    `entitled`: the user has access to a product, until `entitled_until`. `catalogue` is
    the version of the catalogue that was used.
    """

    user_id: str
    entitled: bool
    entitled_until: datetime | None
    catalogue: str
    products: Sequence[ProductAccessOut]
    features: Sequence[FeatureItemOut]

    @classmethod
    def of(cls, found: UserAccess) -> Self:
        access = found.access
        return cls(
            user_id=found.user_id,
            entitled=found.standing.entitled,
            entitled_until=found.entitled_until,
            catalogue=found.catalogue,
            products=[ProductAccessOut.of(*it) for it in access.products.items()],
            features=[FeatureItemOut.of(*it) for it in access.features.items()],
        )


class FeatureAccessOut(msgspec.Struct, frozen=True):
    """Whether a user has access to a feature."""

    user_id: str
    feature: str
    granted: bool
    until: datetime | None
    product: str | None
    because: BecauseOut | None

    @classmethod
    def of_user(cls, user_id: str, feature: str, to: AccessTo) -> Self:
        because = BecauseOut.of(to.because)
        return cls(user_id, feature, to.granted, to.until, to.product, because)


class CatalogueProductOut(msgspec.Struct, frozen=True):
    """A product. `price_features` are features of single prices, added to `features`.

    `grace_s` is how long access lasts after the paid period, in seconds.
    """

    product: str
    name: str | None
    prices: Sequence[str]
    features: Sequence[str]
    price_features: Mapping[str, Sequence[str]]
    trial_days: int | None
    grace_s: int

    @classmethod
    def of(cls, it: CatalogueProduct, policy: Policy) -> Self:
        return cls(
            product=it.product,
            name=it.name,
            prices=it.prices,
            features=it.features,
            price_features=dict(it.price_features),
            trial_days=it.trial_days,
            grace_s=int(policy.grace_of(it.product).total_seconds()),
        )


class CatalogueOut(msgspec.Struct, frozen=True):
    """The products. Version `none` means that there is no catalogue.

    Then every product is a feature with the product's name; prepaid months are
    `prepaid`.
    """

    version: str
    products: Sequence[CatalogueProductOut]
    prepaid: CatalogueProductOut | None

    @classmethod
    def of(cls, catalogue: Catalogue, policy: Policy) -> Self:
        shown = {
            id_: CatalogueProductOut.of(it, policy)
            for id_, it in catalogue.products.items()
        }
        prepaid = shown.pop(PREPAID, None)
        return cls(catalogue.version, list(shown.values()), prepaid)
