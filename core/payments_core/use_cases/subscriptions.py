"""A user's subscriptions: begun, read, changed, ended."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.errors import (
    AlreadySubscribed,
    GatewayObjectMissing,
    IntentNotFound,
    InvalidValue,
    SubscriptionEnded,
    UnknownReference,
)
from payments_core.gateway import ChangeSubscription as GatewayChange
from payments_core.gateway import Preview, Price
from payments_core.identity import Email, UserId
from payments_core.intent import Intent, IntentId, IntentKind, Wanted
from payments_core.ports import (
    IntentDirectory,
    PaymentGateway,
)
from payments_core.revocation import Caller
from payments_core.subscription import Subscription, SubscriptionId, quantity
from payments_core.use_cases.accounts import ReachAccount
from payments_core.use_cases.begin_intent import Asking, BeginIntent, Begun
from payments_core.use_cases.references import gateway_reference

TRIAL_DAYS_MAX: Final = 730


@attrs.frozen(kw_only=True)
class Order:
    """What somebody wants to subscribe to: a product at its default price, or a price.

    Raises:
        InvalidValue: both or neither of the two; or a value makes no sense.
    """

    product: str | None = None
    price: str | None = None
    quantity: int = 1
    payment_method: str | None = None
    trial_days: int | None = None

    def __attrs_post_init__(self) -> None:
        if (self.product is None) is (self.price is None):
            raise InvalidValue("product", "give a product or a price, one of the two")
        for field in ("product", "price", "payment_method"):
            if (value := getattr(self, field)) is not None:
                gateway_reference(field, value)
        quantity(self.quantity)
        if self.trial_days is not None and not 1 <= self.trial_days <= TRIAL_DAYS_MAX:
            raise InvalidValue("trial_days", f"not in 1..{TRIAL_DAYS_MAX}")

    @property
    def wanted(self) -> Wanted:
        return Wanted(**attrs.asdict(self))


@attrs.frozen
class FindPrice:
    """What a product or a price is sold for."""

    gateway: PaymentGateway

    async def __call__(
        self, *, product: str | None = None, price: str | None = None
    ) -> Price:
        """Return a price that can be subscribed to.

        Raises:
            UnknownReference: there is none, or it is not sold so.
        """
        field, id_ = ("price", price) if price else ("product", product or "")
        find = self.gateway.price if price else self.gateway.price_of
        try:
            found = await find(id_)
        except GatewayObjectMissing as error:
            raise UnknownReference(field, f"no such {error.what}") from error
        if not (found.active and found.recurring):
            raise UnknownReference(field, "not sold as a subscription")
        return found


@attrs.frozen
class StartSubscription:
    reach: ReachAccount
    begin: BeginIntent
    price: FindPrice

    async def __call__(
        self, user: UserId | Email, order: Order, *, caller: Caller, key: str | None
    ) -> Begun:
        """Begin to subscribe a user to a product.

        Raises:
            UnknownReference: the product or price is not sold.
            AlreadySubscribed: the user has a living subscription of the product.
            AccountNotFound: see `ReachAccount`.
            IdempotencyKeyReused, OperationInProgress: see `BeginIntent`.
        """
        account = await self.reach(user, caller=caller)
        asking = Asking(
            user_id=account.user_id,
            kind=IntentKind.START_SUBSCRIPTION,
            wanted=order.wanted,
            about=account.user_id,
            key=key,
        )
        if begun := await self.begin.known(asking):
            return begun
        price = await self.price(product=order.product, price=order.price)
        priced = attrs.evolve(
            asking,
            wanted=attrs.evolve(order.wanted, price=price.id, product=price.product),
            subject=price.product,
            asked=order.wanted,
        )
        return await self.begin(priced, _not_subscribed_to(price.product))


def _not_subscribed_to(
    product: str, *, besides: SubscriptionId | None = None
) -> Callable[[PaymentAccount], None]:
    def rule(account: PaymentAccount) -> None:
        living = account.live_subscription(product)
        if living is not None and living.id != besides:
            raise AlreadySubscribed(living.id)

    return rule


@attrs.frozen
class ReadSubscriptions:
    reach: ReachAccount

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> Sequence[Subscription]:
        """Return a user's subscriptions, the first begun first; ended ones too.

        Raises:
            AccountNotFound: see `ReachAccount`.
        """
        return (await self.reach(user, caller=caller)).subscriptions

    async def one(
        self, user: UserId | Email, id_: SubscriptionId, *, caller: Caller
    ) -> Subscription:
        """Return one of them.

        Raises:
            AccountNotFound: see `ReachAccount`.
            SubscriptionNotFound: the user has none of this id.
        """
        return (await self.reach(user, caller=caller)).subscription(id_)


@attrs.frozen(kw_only=True)
class Change:
    """What should be otherwise with a subscription.

    Raises:
        InvalidValue: nothing should; or a value makes no sense.
    """

    price: str | None = None
    quantity: int | None = None
    cancel_at_period_end: bool | None = None
    proration_date: datetime | None = None

    def __attrs_post_init__(self) -> None:
        if self.price is not None:
            gateway_reference("price", self.price)
        if self.quantity is not None:
            quantity(self.quantity)
        if not self.costs and self.cancel_at_period_end is None:
            raise InvalidValue("", "say what to change: price, quantity or the end")
        if self.proration_date is not None and not self.costs:
            raise InvalidValue("proration_date", "only with a price or a quantity")

    @property
    def costs(self) -> bool:
        """Whether the gateway would reckon up what was paid already."""
        return self.price is not None or self.quantity is not None


@attrs.frozen
class ChangeSubscription:
    reach: ReachAccount
    begin: BeginIntent
    price: FindPrice

    async def __call__(
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        change: Change,
        *,
        caller: Caller,
        key: str | None,
    ) -> Begun:
        """Begin to change a subscription. What costs more is held until it is paid.

        Raises:
            UnknownReference: the price is not sold.
            SubscriptionNotFound: the user has none of this id.
            SubscriptionEnded: nothing can change it.
            AlreadySubscribed: the price is of another product that the user has.
            AccountNotFound: see `ReachAccount`.
            IdempotencyKeyReused, OperationInProgress: see `BeginIntent`.
        """
        account = await self.reach(user, caller=caller)
        known = account.subscription(id_)
        asking = Asking(
            user_id=account.user_id,
            kind=IntentKind.CHANGE_SUBSCRIPTION,
            wanted=Wanted(**attrs.asdict(change)),
            about=id_,
            subject=id_,
            key=key,
        )
        if begun := await self.begin.known(asking):
            return begun
        product = known.report.product
        if change.price is not None:
            product = (await self.price(price=change.price)).product
        return await self.begin(asking, _changeable(id_, product))


def _changeable(id_: SubscriptionId, product: str) -> Callable[[PaymentAccount], None]:
    alone = _not_subscribed_to(product, besides=id_)

    def rule(account: PaymentAccount) -> None:
        subscription = account.subscription(id_)
        if not subscription.live:
            raise SubscriptionEnded(subscription.status)
        alone(account)

    return rule


@attrs.frozen
class PreviewChange:
    reach: ReachAccount
    price: FindPrice
    gateway: PaymentGateway

    async def __call__(
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        change: Change,
        *,
        caller: Caller,
    ) -> Preview:
        """Say what a change would cost, if it is made with the preview's date.

        The date is the gateway's present second, unless the change names another.

        Raises:
            InvalidValue: nothing in it costs.
            UnknownReference: the price is not sold.
            SubscriptionNotFound, SubscriptionEnded: see `ChangeSubscription`.
            GatewayRefused: the change cannot be made.
        """
        account = await self.reach(user, caller=caller)
        subscription = account.subscription(id_)
        _changeable(id_, subscription.report.product)(account)
        if not change.costs:
            raise InvalidValue("price", "give a price or a quantity")
        if change.price is not None:
            await self.price(price=change.price)
        date = change.proration_date
        if date is None:
            # The gateway's clock reckons, not ours.
            date = (await self.gateway.subscription(subscription.gateway_id)).at
        return await self.gateway.preview(
            subscription.report.customer_id,
            GatewayChange(
                subscription=subscription.gateway_id,
                item_id=subscription.report.item_id,
                price=change.price,
                quantity=change.quantity,
                proration_date=date,
            ),
        )


@attrs.frozen
class Ended:
    """What became of a wish to end: it is ended already, or an intent was begun."""

    subscription: Subscription
    begun: Begun | None


@attrs.frozen
class EndSubscription:
    reach: ReachAccount
    begin: BeginIntent

    async def __call__(
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        *,
        at_period_end: bool,
        caller: Caller,
        key: str | None,
    ) -> Ended:
        """Begin to end a subscription; what has ended, or will, stays as it is.

        Raises:
            SubscriptionNotFound: the user has none of this id.
            AccountNotFound: see `ReachAccount`.
            IdempotencyKeyReused, OperationInProgress: see `BeginIntent`.
        """
        account = await self.reach(user, caller=caller)
        subscription = account.subscription(id_)
        asking = Asking(
            user_id=account.user_id,
            kind=IntentKind.END_SUBSCRIPTION,
            wanted=Wanted(cancel_at_period_end=at_period_end),
            about=id_,
            subject=id_,
            key=key,
        )
        if begun := await self.begin.known(asking):
            return Ended(subscription, begun)
        planned = at_period_end and subscription.report.cancel_at_period_end
        if planned or not subscription.live:
            return Ended(subscription, None)
        return Ended(subscription, await self.begin(asking))


@attrs.frozen
class ReadIntent:
    intents: IntentDirectory

    async def __call__(self, id_: IntentId, *, caller: Caller) -> Intent:
        """Return an intent of the caller's, or any for an administrator.

        Raises:
            IntentNotFound: there is none, or it is another's.
        """
        intent = await self.intents.find(id_)
        if intent is None or not (caller.is_admin or intent.user_id == caller.user_id):
            raise IntentNotFound
        return intent
