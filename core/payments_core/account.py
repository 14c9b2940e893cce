"""The payment account of a user, and everything that belongs to it."""

from datetime import datetime
from typing import Self

import attrs

from payments_core.card import Card
from payments_core.entitlement import (
    NO_PAYMENTS,
    AccountVerdict,
    PaymentStatus,
    PaymentSummary,
    Standing,
    verdict_of,
)
from payments_core.errors import CustomerTaken, SubscriptionNotFound
from payments_core.identity import CustomerId, Email, UserId
from payments_core.policy import Policy
from payments_core.subscription import Subscription, SubscriptionId


@attrs.frozen(kw_only=True)
class PaymentAccount:
    """Our one record of a user.

    The user id is the identity. The e-mail may change; `email_since` is when it last
    changed, None if that was not recorded. `customer_id` is the gateway's customer.
    """

    user_id: UserId
    email: Email
    email_since: datetime | None = None
    customer_id: CustomerId | None = None
    card: Card | None = None
    # The sequence number with which the card was read: a greater number is newer.
    card_sequence: int = 0
    subscriptions: tuple[Subscription, ...] = ()
    summary: PaymentSummary = NO_PAYMENTS
    version: int = 0

    def renamed(self, email: Email, *, at: datetime) -> Self:
        """Change the e-mail; another spelling of the same address is not a change."""
        since = self.email_since if email.key == self.email.key else at
        return attrs.evolve(self, email=email, email_since=since)

    def bound(self, customer: CustomerId) -> Self:
        """Bind the gateway's customer.

        Raises:
            CustomerTaken: another customer is already bound.
        """
        if self.customer_id not in (None, customer):
            raise CustomerTaken("the user has another customer")
        return attrs.evolve(self, customer_id=customer)

    def released(self) -> Self:
        """Unbind the gateway's customer and its card."""
        return attrs.evolve(self, customer_id=None, card=None)

    def with_card(self, card: Card | None, *, sequence: int) -> Self:
        """Set the card that pays, unless the known card has a newer sequence number."""
        if sequence <= self.card_sequence:
            return self
        return attrs.evolve(self, card=card, card_sequence=sequence)

    def with_subscription(self, subscription: Subscription) -> Self:
        """Add or replace a subscription; they are ordered by when they began."""
        others = [s for s in self.subscriptions if s.id != subscription.id]
        ordered = sorted((*others, subscription), key=age)
        return attrs.evolve(self, subscriptions=tuple(ordered))

    def without_subscription(self, subscription: Subscription) -> Self:
        others = tuple(s for s in self.subscriptions if s.id != subscription.id)
        return attrs.evolve(self, subscriptions=others)

    def subscription(self, id_: SubscriptionId) -> Subscription:
        """Return one of the account's subscriptions.

        Raises:
            SubscriptionNotFound: the account has no subscription with this id.
        """
        for subscription in self.subscriptions:
            if subscription.id == id_:
                return subscription
        raise SubscriptionNotFound

    def open_subscription(self, product: str) -> Subscription | None:
        """Return the open subscription of a product; None if there is none."""
        return next(
            (
                s
                for s in self.subscriptions
                if not s.is_terminal and s.report.product == product
            ),
            None,
        )

    def with_summary(self, summary: PaymentSummary) -> Self:
        return self._with(summary, self.version)

    def saved_as(self, version: int) -> Self:
        return self._with(self.summary, version)

    def _with(self, summary: PaymentSummary, version: int) -> Self:
        # Spelt out: every webhook runs this, and `attrs.evolve` costs four times more.
        return type(self)(
            user_id=self.user_id,
            email=self.email,
            email_since=self.email_since,
            customer_id=self.customer_id,
            card=self.card,
            card_sequence=self.card_sequence,
            subscriptions=self.subscriptions,
            summary=summary,
            version=version,
        )

    @property
    def verdict(self) -> AccountVerdict:
        return verdict_of(self.summary, self.subscriptions)

    @property
    def payment_status(self) -> PaymentStatus:
        return self.verdict.payment_status

    @property
    def payment_expire_date(self) -> datetime | None:
        return self.verdict.payment_expire_date

    def standing(self, *, now: datetime, policy: Policy) -> Standing:
        return self.verdict.standing(now, policy)


def age(subscription: Subscription) -> tuple[datetime, str]:
    """Return the sort key of an account's subscriptions."""
    return subscription.report.created_at, subscription.gateway_id
