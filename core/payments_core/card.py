"""Cards: the only card data that we store."""

from typing import Final

import attrs

BRAND_LENGTH_MAX: Final = 64


@attrs.frozen(kw_only=True)
class Card:
    """What the owner recognises of a card; `id` is the gateway's payment method."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
