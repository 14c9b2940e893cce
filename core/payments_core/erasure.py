"""Erasing a user: what stands against it, and what is left of them.

Rule 1: money stays: payments, paid periods and the log of the account, with amounts and
        times, are a pseudonym's from then on. All else of the user goes.
Rule 2: a user is not erased while something is under way: a subscription that is not
        over, an operation, a payment or a dispute that is not decided. That holds for
        all that the pseudonym would have, also for what has no owner.
Rule 3: tombstones say for good which user, customers and e-mails were erased. What is
        learnt later of the user or of a customer is ignored, and so is what an e-mail
        alone says of the time before. Nothing of it is kept but that an event came.
Rule 4: nobody registers under the id again, and no customer is bound again. The e-mail
        is free: a person may come back, as a new user with a new customer.
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

# No user id has a slash: nobody registers, claims or asks for a pseudonym.
PSEUDONYM: Final = "erased/"
# Longer than anything is being recorded. An e-mail in what comes later may be that of
# somebody new.
SETTLED: Final = timedelta(seconds=10)


def pseudonym(new_id: str) -> UserId:
    """Return an id that no user can have; `new_id` is random."""
    return UserId(f"{PSEUDONYM}{new_id}")


def is_pseudonym(user: UserId) -> bool:
    return user.startswith(PSEUDONYM)


@attrs.frozen(kw_only=True)
class Erasure:
    """Who becomes which pseudonym, decided by whom and when."""

    user_id: UserId
    pseudonym: UserId
    decided: ByHand
    at: datetime


def what_is_open(
    subscriptions: Sequence[Subscription],
    payments: Sequence[PaymentRecord],
    intents: Sequence[Intent],
) -> Iterator[str]:
    """Say each thing of a user that stands against an erasure."""
    for one in subscriptions:
        if not one.is_terminal:
            yield f"subscription {one.gateway_id} is {one.status.value}"
    for intent in intents:
        if intent.open:
            yield f"operation {intent.id} is under way"
    for it in (record.payment for record in payments):
        if it.state is PaymentState.PENDING:
            yield f"payment {it.id} is pending"
        if it.dispute is DisputeState.OPEN:
            yield f"the dispute of payment {it.id} is open"
