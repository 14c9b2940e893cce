"""Erasing a user: what prevents it, and what is left.

Rule 1: payments, paid periods and the log of the account stay, with amounts and times,
        under a pseudonym. Everything else of the user is deleted.
Rule 2: a user is not erased while something is open: a subscription, an operation, a
        pending payment or a dispute. That includes unlinked things that the pseudonym
        would get.
Rule 3: tombstones record permanently which user, customers and e-mails were erased.
        Later facts about the user or a customer are ignored, and so are facts by an
        e-mail alone from before the erasure. Of such an event only its arrival is
        stored.
Rule 4: the id cannot be registered again, and the customers cannot be bound again. The
        e-mail is free: a person may return as a new user with a new customer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.by_hand import ByHand
from payments_core.identity import UserId
from payments_core.intent import Intent
from payments_core.payment import DisputeState, PaymentRecord, PaymentState
from payments_core.subscription import Subscription

# No user id has a slash, so no pseudonym can be registered, claimed or requested.
PSEUDONYM: Final = "erased/"
# Longer than any save takes. An e-mail in later facts may belong to a new user.
SETTLED: Final = timedelta(seconds=10)


def pseudonym(new_id: str) -> UserId:
    """Return an id that no user can have; `new_id` is random."""
    return UserId(f"{PSEUDONYM}{new_id}")


def is_pseudonym(user: UserId) -> bool:
    return user.startswith(PSEUDONYM)


@attrs.frozen(kw_only=True)
class Erasure:
    """Which user gets which pseudonym, and who decided it and when."""

    user_id: UserId
    pseudonym: UserId
    decided: ByHand
    at: datetime


def what_is_open(
    subscriptions: Sequence[Subscription],
    payments: Sequence[PaymentRecord],
    intents: Sequence[Intent],
) -> Iterator[str]:
    """Yield each open thing of a user that prevents an erasure."""
    for one in subscriptions:
        if not one.is_terminal:
            yield f"subscription {one.gateway_id} is {one.status.value}"
    for intent in intents:
        if intent.open:
            yield f"operation {intent.id} is in progress"
    for it in (record.payment for record in payments):
        if it.state is PaymentState.PENDING:
            yield f"payment {it.id} is pending"
        if it.dispute is DisputeState.OPEN:
            yield f"the dispute of payment {it.id} is open"
