"""The input of an explanation: an account, and what is stored about it."""

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

# The limit for each kind of fact; payments that the account's verdict names are added.
FACTS_MAX: Final = 100
# How many of the newest quarantined events are searched for the account's names,
# because no index has them.
QUARANTINED_MAX: Final = 200


@attrs.frozen(kw_only=True)
class AccountFacts:
    """An account as last committed, and the newest facts of each kind about it.

    `payments` are ordered with the newest first, `periods` with the latest end first.
    `unlinked` are things with a key of the account and no owner, `jobs` and `intents`
    are open, `events` are about one of these objects or the customer, or quarantined
    and name the user or the customer; without bodies, the latest received first. Before
    `no_card_before` no card is tried, because too many were declined.
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

        Unlinked things may be another user's, and reasons are for operators.
        """
        own = attrs.evolve(self, unlinked=NOTHING_UNLINKED, by_hand=())
        named = set(own.objects())
        return attrs.evolve(
            own,
            # Some jobs were found by unlinked things.
            jobs=[it for it in self.jobs if it.key.subject in named],
            events=[
                it
                for it in self.events
                if it.object_id in named
                and it.outcome.state is not EventState.QUARANTINED
            ],
        )

    def objects(self) -> Iterator[str]:
        """Return the gateway's ids of all objects of events and jobs."""
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
    """Return the user id and the customer id as an event's JSON has them."""
    names = (account.user_id, account.customer_id)
    return [json.dumps(it).encode() for it in names if it is not None]


def named_invoices(account: PaymentAccount) -> Sequence[str]:
    """Return the invoices of the last paid periods of the account's subscriptions."""
    periods = (it.last_paid_period for it in account.subscriptions)
    return [it.invoice_id for it in periods if it]
