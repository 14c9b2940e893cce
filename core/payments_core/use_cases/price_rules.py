"""What a caller may decide about what a subscription costs.

Rule 1: an administrator may choose any price. Any other caller chooses a product, at
        its default price, or a price that the catalogue lists under its product.
Rule 2: only an administrator or the catalogue may give a trial: what the catalogue
        offers is given to each user once (`offered_to` in
        `payments_core.operations.start`), and no other caller sets the number of days.
        A trial is for one price and quantity: while it lasts, only an administrator
        changes its price or raises its quantity.
Rule 3: a proration date is accepted for 600 s after it, and inside the current period
        of the subscription. This holds for administrators too: the date makes a
        change cost what its preview said, and any other date is a discount.
Rule 4: a request with a known idempotency key is answered before these rules are
        checked: what was accepted once is answered the same at any later time.
Rule 5: a proration date from before the last change of the price or the quantity is not
        accepted: more seats from now, then fewer from ten minutes ago, would refund ten
        minutes that were never paid.
Rule 6: a change refunds the rest of the period. So while the period is not paid (its
        payment failed, is pending or disputed, or was returned), only an administrator
        may change the price or lower the quantity, or raise it while a payment is past
        due.
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
    """Find the price that a caller may choose."""

    gateway: PaymentGateway
    policy: Policy

    def offer(self, product: str, *, caller: Caller) -> int | None:
        """Return the catalogue's free days; None: an administrator sets them."""
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
        """Return a price that can be subscribed to, if the caller may choose it.

        Raises:
            PriceNotAllowed: see rule 1.
            UnknownReference: it does not exist, or is not sold as a subscription.
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
        # The gateway's clock is ahead of ours: another preview would have such a date
        # too.
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
    """Refuse a user's change that would give something without payment.

    `price` and `quantity` are the new ones; None: unchanged. `is_disputed`: a payment
    of the user is disputed.

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
