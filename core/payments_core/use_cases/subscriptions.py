"""Start, read and end a user's subscriptions."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.caller import Caller
from payments_core.errors import (
    AlreadySubscribed,
    GatewayObjectMissing,
    InvalidValue,
    SubscriptionNotFound,
)
from payments_core.facts import PeriodPaid, SourcedFacts, SubscriptionObserved
from payments_core.gateway import FetchedSubscription
from payments_core.identity import Email, UserId
from payments_core.intent import IntentKind, OperationParams
from payments_core.operations.start import OperationRequest, Rule
from payments_core.ports import AccountDirectory, PaymentGateway
from payments_core.subscription import Subscription, SubscriptionId, quantity
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.declines import LimitDeclines
from payments_core.use_cases.execute_operation import (
    ExecutedOperation,
    ExecuteOperation,
)
from payments_core.use_cases.find_operation import find_operation
from payments_core.use_cases.price_rules import FindPrice, require_trial_allowed
from payments_core.use_cases.record_facts import RecordFacts
from payments_core.use_cases.references import gateway_reference

TRIAL_DAYS_MAX: Final = 730


@attrs.frozen(kw_only=True)
class Order:
    """What to subscribe to: a product at its default price, or a price.

    Only administrators may give a price or a trial freely: see
    `payments_core.use_cases.price_rules`.

    Raises:
        InvalidValue: both or neither of the two are given, or a value is invalid.
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
    def wanted(self) -> OperationParams:
        return OperationParams(**attrs.asdict(self))


@attrs.frozen
class ConfirmOpen:
    """Fetches a subscription before a refusal is based on it.

    The event of a payment, an end or the end of a trial may not have arrived yet.
    """

    accounts: AccountDirectory
    gateway: PaymentGateway
    record: RecordFacts

    async def __call__(self, user_id: UserId, refusal: AlreadySubscribed) -> bool:
        """Say whether a refusal's subscription is open; if it has ended, record it.

        Raises:
            SubscriptionNotFound: the user has no subscription with this id.
            GatewayNotAttempted, GatewayOutcomeUnknown: it could not be fetched.
        """
        known = await self._known(user_id, SubscriptionId(refusal.subscription_id))
        try:
            fetched = await self.gateway.subscription(known.gateway_id)
        except GatewayObjectMissing:
            return True
        if not fetched.report.is_terminal:
            return True
        await self._record(fetched)
        return False

    async def sync(self, user_id: UserId, id_: SubscriptionId) -> PaymentAccount:
        """Fetch and record a subscription; return the account as it is then.

        Raises:
            SubscriptionNotFound: the user has no subscription with this id.
            GatewayNotAttempted, GatewayOutcomeUnknown: it could not be fetched.
        """
        known = await self._known(user_id, id_)
        with suppress(GatewayObjectMissing):
            await self._record(await self.gateway.subscription(known.gateway_id))
        return await self._account(user_id)

    async def _account(self, user_id: UserId) -> PaymentAccount:
        account = await self.accounts.find(user_id)
        if account is None:
            raise SubscriptionNotFound
        return account

    async def _known(self, user_id: UserId, id_: SubscriptionId) -> Subscription:
        return (await self._account(user_id)).subscription(id_)

    async def _record(self, fetched: FetchedSubscription) -> None:
        # Without a sequence number, as an event of that second: an end applies at once.
        observed = SubscriptionObserved(report=fetched.report, at=fetched.at)
        paid = map(PeriodPaid, fetched.paid_periods)
        await self.record.one(SourcedFacts(facts=(observed, *paid)))


@attrs.frozen
class StartSubscription:
    reach: GetAuthorizedAccount
    execute: ExecuteOperation
    price: FindPrice
    confirm: ConfirmOpen
    declines: LimitDeclines

    async def __call__(
        self,
        user: UserId | Email,
        order: Order,
        *,
        caller: Caller,
        key: str | None,
        despite_declines: bool = False,
    ) -> ExecutedOperation:
        """Subscribe a user to a product.

        Raises:
            PriceNotAllowed, TrialNotAllowed: see `payments_core.use_cases.price_rules`.
            UnknownReference: the product or price is not sold.
            AlreadySubscribed: the user has an open subscription to the product.
            AccountNotFound: see `GetAuthorizedAccount`.
            IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
            TooManyDeclines, ScopeRequired: see `LimitDeclines`.
        """

        def request(user_id: UserId) -> OperationRequest:
            return OperationRequest(
                user_id=user_id,
                kind=IntentKind.START_SUBSCRIPTION,
                wanted=order.wanted,
                about=user_id,
                key=key,
            )

        found = await find_operation(
            self.reach, self.execute, user, request, caller=caller
        )
        if found.executed is not None:
            return found.executed
        await self.declines(found, caller=caller, despite=despite_declines)
        require_trial_allowed(caller, order.trial_days)
        price = await self.price(
            product=order.product, price=order.price, caller=caller
        )
        priced = attrs.evolve(
            found.request,
            wanted=attrs.evolve(order.wanted, price=price.id, product=price.product),
            subject=price.product,
            requested=order.wanted,
            offered_trial_days=self.price.offer(price.product, caller=caller),
        )
        rule = not_subscribed_to(price.product)
        try:
            return await self.execute(priced, rule, found=found)
        except AlreadySubscribed as refusal:
            # The event of its end may not have arrived yet.
            if await self.confirm(priced.user_id, refusal):
                raise
        return await self.execute(priced, rule)


def has(id_: SubscriptionId) -> Rule:
    """Return the rule that the account has the subscription.

    The rule raises:
        SubscriptionNotFound: it has no subscription with this id.
    """

    def rule(account: PaymentAccount) -> None:
        account.subscription(id_)

    return rule


def not_subscribed_to(product: str, *, besides: SubscriptionId | None = None) -> Rule:
    """Return the rule that a user has one open subscription to a product.

    The rule raises:
        AlreadySubscribed: another open subscription is to the product.
    """

    def rule(account: PaymentAccount) -> None:
        living = account.open_subscription(product)
        if living is not None and living.id != besides:
            raise AlreadySubscribed(living.id)

    return rule


@attrs.frozen
class ReadSubscriptions:
    reach: GetAuthorizedAccount

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> Sequence[Subscription]:
        """Return a user's subscriptions, the oldest first, including ended ones.

        Raises:
            AccountNotFound: see `GetAuthorizedAccount`.
        """
        account = await self.reach(user, caller=caller, reading=True)
        return account.subscriptions

    async def one(
        self, user: UserId | Email, id_: SubscriptionId, *, caller: Caller
    ) -> Subscription:
        """Return one of them.

        Raises:
            AccountNotFound: see `GetAuthorizedAccount`.
            SubscriptionNotFound: the user has no subscription with this id.
        """
        account = await self.reach(user, caller=caller, reading=True)
        return account.subscription(id_)


@attrs.frozen
class Ended:
    """The result of ending: already ended (None), or the operation that ends it."""

    subscription: Subscription
    executed: ExecutedOperation | None


def is_ended(subscription: Subscription, *, at_period_end: bool) -> bool:
    """Say whether it has ended, or will end with its period as requested."""
    planned = at_period_end and subscription.report.cancel_at_period_end
    return planned or subscription.is_terminal


@attrs.frozen
class EndSubscription:
    reach: GetAuthorizedAccount
    execute: ExecuteOperation

    async def __call__(
        self,
        user: UserId | Email,
        id_: SubscriptionId,
        *,
        at_period_end: bool,
        caller: Caller,
        key: str | None,
    ) -> Ended:
        """End a subscription; one that has ended, or will as requested, is unchanged.

        Raises:
            SubscriptionNotFound: the user has no subscription with this id.
            AccountNotFound: see `GetAuthorizedAccount`.
            IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
        """

        def request(user_id: UserId) -> OperationRequest:
            return OperationRequest(
                user_id=user_id,
                kind=IntentKind.END_SUBSCRIPTION,
                wanted=OperationParams(cancel_at_period_end=at_period_end),
                about=id_,
                subject=id_,
                key=key,
            )

        found = await find_operation(
            self.reach, self.execute, user, request, caller=caller, rule=has(id_)
        )
        subscription = found.account.subscription(id_)
        if found.executed is not None:
            return Ended(subscription, found.executed)
        if is_ended(subscription, at_period_end=at_period_end):
            return Ended(subscription, None)
        return Ended(subscription, await self.execute(found.request, found=found))
