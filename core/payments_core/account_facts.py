"""All that an explanation is made of: an account, and what is kept about it."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Self

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import LoggedChange
from payments_core.events import EventState
from payments_core.intent import Intent
from payments_core.job import Job
from payments_core.kept_events import KeptEvent
from payments_core.linking import NOTHING_UNLINKED, Unlinked
from payments_core.payment import PaymentRecord
from payments_core.subscription import PaidPeriod

# Of each kind of fact; of payments, what the account's own verdict names comes besides.
FACTS_MAX: Final = 100
# Of so many of the newest quarantined events it is read whether they name the account:
# nothing of them is kept that an index could find.
QUARANTINED_MAX: Final = 200


@attrs.frozen(kw_only=True)
class AccountFacts:
    """An account as last committed, and of each kind the newest facts about it.

    `payments` are the newest first, `periods` those that end last first. `unlinked`
    carries a key of the account's and belongs to no one, `jobs` and `intents` are open,
    `events` are about one of these objects, or the customer, or quarantined and name
    the user or the customer; without their bodies, the latest received first. Before
    `no_card_before` no card is tried, for too many were declined.
    """

    account: PaymentAccount
    payments: Sequence[PaymentRecord] = ()
    periods: Sequence[PaidPeriod] = ()
    unlinked: Unlinked = NOTHING_UNLINKED
    jobs: Sequence[Job] = ()
    intents: Sequence[Intent] = ()
    by_hand: Sequence[LoggedChange] = ()
    events: Sequence[KeptEvent] = ()
    no_card_before: datetime | None = None

    def for_the_user(self) -> Self:
        """Return what the user may know.

        What is unlinked may be another's, and an operator's reasons are for operators.
        """
        own = attrs.evolve(self, unlinked=NOTHING_UNLINKED, by_hand=())
        named = set(own.objects())
        return attrs.evolve(
            own,
            # Some were found by what is unlinked.
            jobs=[it for it in self.jobs if it.key.subject in named],
            events=[
                it
                for it in self.events
                if it.object_id in named
                and it.outcome.state is not EventState.QUARANTINED
            ],
        )

    def objects(self) -> Iterator[str]:
        """Return the gateway's ids of all that events and jobs may be about."""
        account = self.account
        if account.customer_id is not None:
            yield account.customer_id
        for subscription in (*account.subscriptions, *self.unlinked.subscriptions):
            yield subscription.gateway_id
            if subscription.report.latest_invoice_id is not None:
                yield subscription.report.latest_invoice_id
        for record in (*self.payments, *self.unlinked.payments):
            yield record.payment.id
        for period in self.periods:
            yield period.invoice_id


def names_in_bodies(account: PaymentAccount) -> Sequence[bytes]:
    """Return the user and the customer as an event's JSON says them."""
    names = (account.user_id, account.customer_id)
    return [json.dumps(it).encode() for it in names if it is not None]


def named_invoices(account: PaymentAccount) -> Sequence[str]:
    """Return the invoices whose periods the account's subscriptions rest on."""
    periods = (it.last_paid_period for it in account.subscriptions)
    return [it.invoice_id for it in periods if it]
