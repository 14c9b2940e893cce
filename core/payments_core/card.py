"""What we may know of a card: never more than this."""

from typing import Final

import attrs

BRAND_LENGTH_MAX: Final = 64


@attrs.frozen(kw_only=True)
class Card:
    """A card as its owner would recognise it; `id` is the gateway's payment method."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
