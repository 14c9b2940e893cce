"""Whether the catalogue's products and prices are sold at Stripe."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from payments_adapters.stripe.admin import StripeAdmin
from payments_core.catalogue import PREPAID, Catalogue
from payments_core.errors import GatewayObjectMissing, GatewayRefused
from payments_service.doctor.checks import Check, CheckResult, CheckResults, ok, wrong

CATALOGUE: Final = "catalogue"
# Of Stripe's 25 calls a second, because the service continues meanwhile.
_AT_ONCE: Final = 4
_MEND: Final = (
    "correct the file of PAYMENTS_CATALOGUE_FILE, or the products and prices in "
    "Stripe's dashboard: https://dashboard.stripe.com/products"
)


@attrs.frozen
class CatalogueReview:
    """The catalogue, compared with the products and prices of the account."""

    admin: StripeAdmin
    catalogue: Catalogue

    def check(self) -> Check:
        return Check(CATALOGUE, self._look)

    async def _look(self) -> CheckResults:
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(look: Callable[[], Awaitable[str | None]], name: str) -> str:
            async with few:
                try:
                    found = await look()
                except (GatewayObjectMissing, GatewayRefused):
                    found = "not found at Stripe"
            return f"{name}: {found}" if found else ""

        products = [
            it for it in self.catalogue.products.values() if it.product != PREPAID
        ]
        looks = [one(self._product(it.product), it.product) for it in products]
        looks += [
            one(self._price(price, it.product, chosen=price in it.prices), price)
            for it in products
            for price in dict.fromkeys((*it.prices, *it.price_features))
        ]
        found = [it for it in await asyncio.gather(*looks) if it]
        if not found:
            text = (
                f"all products and prices of version {self.catalogue.version} are sold"
            )
            return [ok(CATALOGUE, text)]
        return [self._wrong(it) for it in found]

    def _wrong(self, text: str) -> CheckResult:
        return wrong(CATALOGUE, text, _MEND)

    def _product(self, id_: str) -> Callable[[], Awaitable[str | None]]:
        async def look() -> str | None:
            return None if await self.admin.is_active(id_) else "not active"

        return look

    def _price(
        self, id_: str, product: str, *, chosen: bool
    ) -> Callable[[], Awaitable[str | None]]:
        async def look() -> str | None:
            price = await self.admin.price(id_)
            if price.product != product:
                return f"belongs to {price.product}, not to {product}"
            if not price.recurring:
                return "not recurring: no subscription can have it"
            # A user with a price that is no longer sold keeps it, and its features.
            return "not active" if chosen and not price.active else None

        return look
