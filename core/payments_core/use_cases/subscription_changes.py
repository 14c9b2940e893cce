"""Preview a change of a subscription, and make it."""

from datetime import datetime

import attrs

from payments_core.account import PaymentAccount
from payments_core.caller import Caller
from payments_core.errors import (
    AlreadySubscribed,
    GatewayRefused,
    InvalidValue,
    PeriodNotPaid,
    PreviewExpired,
    SubscriptionEnded,
    TrialNotAllowed,
)
from payments_core.gateway import Preview, Price, UpdateSubscription
from payments_core.identity import Email, UserId
from payments_core.intent import IntentKind, OperationParams
from payments_core.operations.start import OperationRequest, Rule
from payments_core.ports import Clock, PaymentGateway
from payments_core.subscription import Subscription, SubscriptionId, quantity
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.declines import LimitDeclines
from payments_core.use_cases.execute_operation import (
    ExecutedOperation,
    ExecuteOperation,
)
from payments_core.use_cases.find_operation import find_operation
from payments_core.use_cases.price_rules import (
    FindPrice,
    require_paid_for,
    require_recent,
)
from payments_core.use_cases.references import gateway_reference
from payments_core.use_cases.subscriptions import ConfirmOpen, has, not_subscribed_to


def _whole_seconds(date: datetime | None) -> datetime | None:
    # The gateway counts in seconds; a preview must find its own date again.
    return date and date.replace(microsecond=0)


@attrs.frozen(kw_only=True)
class Change:
    """A requested change of a subscription.

    A product means its default price. `proration_date` is in whole seconds.

    Raises:
        InvalidValue: no change is given, or a value is invalid.
    """

    product: str | None = None
    price: str | None = None
    quantity: int | None = None
    cancel_at_period_end: bool | None = None
    proration_date: datetime | None = attrs.field(
        default=None, converter=_whole_seconds
    )

    def __attrs_post_init__(self) -> None:
        if self.product is not None and self.price is not None:
            raise InvalidValue("product", "give a product or a price, not both")
        for field in ("product", "price"):
            if (value := getattr(self, field)) is not None:
                gateway_reference(field, value)
        if self.quantity is not None:
            quantity(self.quantity)
        if not self.costs and self.cancel_at_period_end is None:
            raise InvalidValue(
                "", "give what to change: product, price, quantity or the end"
            )
        if self.proration_date is not None:
            if not self.costs:
                raise InvalidValue(
                    "proration_date", "only with a product, a price or a quantity"
                )
            if self.proration_date.tzinfo is None:
                raise InvalidValue("proration_date", "without an offset from UTC")

    @property
    def costs(self) -> bool:
        """Whether the gateway would prorate what was already paid."""
        return any(it is not None for it in (self.product, self.price, self.quantity))


@attrs.frozen
class CheckChange:
    """The rules for a change and for its preview, which must be the same."""

    price: FindPrice
    clock: Clock

    async def __call__(self, change: Change, *, caller: Caller) -> Price | None:
        """Return the new price of a change; None if the price stays.

        Raises:
            PriceNotAllowed, UnknownReference: see `FindPrice`.
        """
        if change.product is None and change.price is None:
            return None
        return await self.price(
            product=change.product, price=change.price, caller=caller
        )

    def rule(
        self,
        id_: SubscriptionId,
        change: Change,
        price: Price | None,
        *,
        caller: Caller,
    ) -> Rule:
        """Return the rule that an account must meet for the change.

        The rule raises:
            SubscriptionNotFound, SubscriptionEnded, AlreadySubscribed, PreviewExpired.
            TrialNotAllowed, PeriodNotPaid: see `payments_core.use_cases.price_rules`.
        """

        def rule(account: PaymentAccount) -> None:
            subscription = account.subscription(id_)
            if subscription.is_terminal:
                raise SubscriptionEnded(subscription.status)
            report = subscription.report
            product = price.product if price else report.product
            not_subscribed_to(product, besides=id_)(account)
            if change.proration_date is not None:
                require_recent(change.proration_date, subscription, now=self.clock())
            if change.costs and not caller.is_admin:
                require_paid_for(
                    subscription,
                    price=price,
                    quantity=change.quantity,
                    is_disputed=account.summary.some_disputed,
                )

        return rule


@attrs.frozen
class ChangeSubscription:
    reach: GetAuthorizedAccount
    execute: ExecuteOperation
    check: CheckChange
    confirm: ConfirmOpen
    declines: LimitDeclines

    async def __call__(  # noqa: PLR0913  # who changes what of whose
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        change: Change,
        *,
        caller: Caller,
        key: str | None,
        despite_declines: bool = False,
    ) -> ExecutedOperation:
        """Change a subscription. A change that costs more waits until it is paid.

        Raises:
            PriceNotAllowed: the caller may name products only.
            UnknownReference: the product or price is not sold.
            SubscriptionNotFound: the user has no subscription with this id.
            SubscriptionEnded: it has ended and can no longer be changed.
            AlreadySubscribed: the user has a subscription to the price's product.
            PreviewExpired: the proration date is too old, or of another period.
            TrialNotAllowed: it is in a trial, which is for one price and quantity.
            PeriodNotPaid: it would refund what was not paid.
            AccountNotFound: see `GetAuthorizedAccount`.
            IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
            TooManyDeclines, ScopeRequired: see `LimitDeclines`.
        """
        wanted = OperationParams(**attrs.asdict(change))

        def request_of(user_id: UserId) -> OperationRequest:
            return OperationRequest(
                user_id=user_id,
                kind=IntentKind.CHANGE_SUBSCRIPTION,
                wanted=wanted,
                about=id_,
                subject=id_,
                key=key,
            )

        found = await find_operation(
            self.reach, self.execute, user, request_of, caller=caller, rule=has(id_)
        )
        request = found.request
        if found.executed is not None:
            return found.executed
        if change.costs or despite_declines:
            await self.declines(found, caller=caller, despite=despite_declines)
        price = await self.check(change, caller=caller)
        if price is not None:
            priced = attrs.evolve(wanted, price=price.id, product=price.product)
            request = attrs.evolve(request, wanted=priced, requested=wanted)
        rule = self.check.rule(id_, change, price, caller=caller)
        try:
            return await self.execute(request, rule, found=found)
        except AlreadySubscribed as refusal:
            if await self.confirm(request.user_id, refusal):
                raise
        except (PeriodNotPaid, TrialNotAllowed):
            await self.confirm.sync(request.user_id, id_)
        return await self.execute(request, rule)


@attrs.frozen
class PreviewChange:
    reach: GetAuthorizedAccount
    check: CheckChange
    gateway: PaymentGateway
    confirm: ConfirmOpen

    async def __call__(
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        change: Change,
        *,
        caller: Caller,
    ) -> Preview:
        """Return what a change would cost if it is made with the preview's date.

        The date is the gateway's current second, unless the change gives one.

        Raises:
            InvalidValue: the change has no product, price or quantity.
            PriceNotAllowed, UnknownReference: see `ChangeSubscription`.
            SubscriptionNotFound, SubscriptionEnded: see `ChangeSubscription`.
            AlreadySubscribed, PreviewExpired: see `ChangeSubscription`.
            TrialNotAllowed, PeriodNotPaid: see `ChangeSubscription`.
            GatewayRefused: the change cannot be made.
        """
        account = await self.reach(user, caller=caller)
        subscription = account.subscription(id_)
        if not change.costs:
            raise InvalidValue("", "give a product, a price or a quantity")
        price = await self.check(change, caller=caller)
        rule = self.check.rule(id_, change, price, caller=caller)
        try:
            rule(account)
        except (PeriodNotPaid, TrialNotAllowed):
            account = await self.confirm.sync(account.user_id, id_)
            rule(account)
            subscription = account.subscription(id_)
        update = UpdateSubscription(
            subscription=subscription.gateway_id,
            item_id=subscription.report.item_id,
            price=price.id if price else None,
            quantity=change.quantity,
            proration_date=change.proration_date or await self._date(subscription),
        )
        try:
            return await self.gateway.preview(subscription.report.customer_id, update)
        except GatewayRefused as error:
            if error.field == "proration_date":
                # The period that we know has ended at the gateway.
                raise PreviewExpired(error.reason) from error
            raise

    async def _date(self, subscription: Subscription) -> datetime:
        """Return the current second by the gateway's clock, which prorates.

        By our clock if it is behind: the change may use the date at once, and we refuse
        a date in our future.
        """
        found = await self.gateway.subscription(subscription.gateway_id)
        ours = self.check.clock().replace(microsecond=0)
        return ours if found.report.period_start <= ours < found.at else found.at
