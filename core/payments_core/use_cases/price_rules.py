"""What a caller may decide about what a subscription costs.

Rule 1: an administrator may name a price. Anybody else names a product, and pays its
        default price; or a price that the catalogue lists, of the product that it is
        listed under.
Rule 2: only an administrator may give a trial, or the catalogue: what it offers is
        given to each user once (`offered_to` in `payments_core.operations.start`), and
        no caller names another number. A trial is of one price and quantity: while it
        lasts, nobody else moves it to another price, or to a greater quantity.
Rule 3: a proration date is accepted for 600 s after it, and inside the current period
        of the subscription. This holds for administrators too: the date makes a
        change cost what its preview said, and any other date is a discount.
Rule 4: a request whose idempotency key is known gets its answer before these rules are
        asked: what was accepted once is answered the same at any later time.
Rule 5: nor is one accepted from before the last change of the price or the quantity:
        more seats from now, then fewer from ten minutes ago, would give back ten
        minutes that were never paid.
Rule 6: a change gives back what is left of the period. So while the period is not paid
        (its payment failed, is still to come or is disputed, or the money went back)
        nobody but an administrator changes the price or lowers the quantity; nor raises
        it while a payment is past due.
"""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.caller import Caller
from payments_core.errors import (
    GatewayObjectMissing,
    PeriodNotPaid,
    PreviewExpired,
    PriceNotAllowed,
    TrialNotAllowed,
    UnknownReference,
)
from payments_core.gateway import Price
from payments_core.policy import Policy
from payments_core.ports import PaymentGateway
from payments_core.subscription import Subscription, SubscriptionStatus

PREVIEW_TTL: Final = timedelta(seconds=600)


@attrs.frozen
class FindPrice:
    """What a product or a price is sold for."""

    gateway: PaymentGateway
    policy: Policy

    def offer(self, product: str, *, caller: Caller) -> int | None:
        """Return the free days that the catalogue offers; an administrator says it."""
        if caller.is_admin or self.policy.catalogue is None:
            return None
        return self.policy.catalogue.trial_days(product)

    async def __call__(
        self,
        *,
        product: str | None = None,
        price: str | None = None,
        caller: Caller,
    ) -> Price:
        """Return a price that can be subscribed to, if the caller may name it.

        Raises:
            PriceNotAllowed: see rule 1.
            UnknownReference: there is none, or it is not sold so.
        """
        listed_under = None
        if price is not None and not caller.is_admin:
            listed_under = self._product_of(price)
        field, id_ = ("price", price) if price else ("product", product or "")
        find = self.gateway.price if price else self.gateway.price_of
        try:
            found = await find(id_)
        except GatewayObjectMissing as error:
            raise UnknownReference(field, f"no such {error.what}") from error
        if not (found.active and found.recurring):
            raise UnknownReference(field, "not sold as a subscription")
        if listed_under not in {None, found.product}:
            raise PriceNotAllowed("the catalogue lists it under another product")
        return found

    def _product_of(self, price: str) -> str:
        """Return the product under which the catalogue lists a price."""
        catalogue = self.policy.catalogue
        if catalogue is None:
            raise PriceNotAllowed
        product = catalogue.product_of(price)
        if product is None:
            raise PriceNotAllowed("the catalogue lists no such price")
        return product


def require_trial_allowed(caller: Caller, trial_days: int | None) -> None:
    """Refuse a trial that the caller may not give.

    Raises:
        TrialNotAllowed: see rule 2.
    """
    if trial_days is not None and not caller.is_admin:
        raise TrialNotAllowed


def require_recent(
    date: datetime, subscription: Subscription, *, now: datetime
) -> None:
    """Refuse a proration date that no recent preview can have returned.

    Raises:
        PreviewExpired: see rules 3 and 5.
    """
    report, changed_at = subscription.report, subscription.plan_changed_at
    if changed_at is not None and date < changed_at.replace(microsecond=0):
        raise PreviewExpired("from before the last change")
    if not report.period_start <= date < report.period_end:
        raise PreviewExpired("not inside the current period")
    if date > now:
        # The gateway's clock is ahead of ours: another preview names such a date too.
        raise PreviewExpired(
            "ahead of the clock of this service", "make the change without it"
        )
    if date < now - PREVIEW_TTL:
        seconds = int(PREVIEW_TTL.total_seconds())
        raise PreviewExpired(f"not within the last {seconds} seconds")


def require_paid_for(
    subscription: Subscription,
    *,
    price: Price | None,
    quantity: int | None,
    is_disputed: bool,
) -> None:
    """Refuse a change by a user that would get them something for nothing.

    `price` is what it would be sold for, None if that stays; so with `quantity`.
    `is_disputed` says that some money of the user's is.

    Raises:
        TrialNotAllowed: see rule 2.
        PeriodNotPaid: see rule 6.
    """
    report = subscription.report
    is_more = quantity is not None and quantity > report.quantity
    if report.status is SubscriptionStatus.TRIALING:
        if price is not None and price.id != report.price:
            raise TrialNotAllowed("product", "a trial is of one product and price")
        if is_more:
            raise TrialNotAllowed("quantity", "a trial is of one quantity")
    elif is_disputed or not subscription.covered:
        gives_back = price is not None or not is_more
        if gives_back or report.status is not SubscriptionStatus.ACTIVE:
            raise PeriodNotPaid("product" if price is not None else "quantity")
