"""What a restricted key must be allowed, and the call that proves it.

Rule: a right to read is proven by a list of one. A right to write cannot be proven
      without an effect: a missing one shows at first use.

Source: docs.stripe.com/keys/restricted-api-keys. A right to write includes reading.
"""

from datetime import datetime
from typing import Final

import attrs
import msgspec

from payments_adapters.stripe.client import Client, Reader
from payments_adapters.stripe.requests import path


@attrs.frozen
class Right:
    """A resource as Stripe's dashboard names it, and its use.

    `path` is the list that proves the right to read; `writes` means that writing is
    needed, too. `of_setup` is needed by `payments stripe` and `payments doctor` alone.
    """

    resource: str
    path: str
    why: str
    writes: bool = False
    of_setup: bool = False

    @property
    def level(self) -> str:
        return "write" if self.writes else "read"


RIGHTS: Final = (
    Right("Customers", "customers", "who a user is at Stripe", writes=True),
    Right("Payment methods", "payment_methods", "cards of users", writes=True),
    Right("Setup intents", "setup_intents", "a new card", writes=True),
    Right("Subscriptions", "subscriptions", "start, change, end", writes=True),
    Right("Invoices", "invoices", "what is paid; previews, payments", writes=True),
    Right("Payment intents", "payment_intents", "a payment that asks its payer"),
    Right("Charges and refunds", "charges", "payments and what went back"),
    Right("Disputes", "disputes", "payments that are disputed"),
    Right("Products", "products", "what is sold"),
    Right("Prices", "prices", "what it costs"),
    Right("Events", "events", "events that never came"),
    Right(
        "Webhook endpoints, event destinations",
        "webhook_endpoints",
        "where events are sent",
        writes=True,
        of_setup=True,
    ),
)


class _Listed(msgspec.Struct):
    """A list of anything."""


_LISTED: Final = Reader(msgspec.json.Decoder(_Listed), "list", is_raw=True)


async def prove(client: Client, right: Right) -> datetime:
    """Return Stripe's time, if the key has the right to read.

    Raises:
        GatewayMisconfigured: it does not (`permission`), or is not a valid key.
        GatewayUnavailable: see `Client.call`.
    """
    got = await client.call("GET", path(right.path), {"limit": 1}, _LISTED)
    return got.at
