"""Who a user is, and what the world may know of their payments."""

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.entitlement import Standing
from payments_core.errors import (
    AccountNotFound,
    CustomerTaken,
    GatewayObjectMissing,
    UnknownReference,
)
from payments_core.facts import SourcedFacts, UserRegistered
from payments_core.identity import CustomerId, Email, UserId
from payments_core.policy import Policy
from payments_core.ports import AccountDirectory, Clock, PaymentGateway
from payments_core.use_cases.record_facts import RecordFacts


@attrs.frozen
class RegisterUser:
    """Unify a user of the users micro-service with a payment account.

    Registering again changes the e-mail, or nothing. Payments and subscriptions without
    an owner that carry the user's id, customer or e-mail are linked. `by_hand` binds a
    customer in the place of another one that has nothing any more; whether there is
    such a customer is not asked (`RegisterCustomer`).
    """

    record: RecordFacts

    async def __call__(
        self,
        user_id: UserId,
        email: Email,
        customer_id: CustomerId | None = None,
        by_hand: ByHand | None = None,
    ) -> PaymentAccount:
        """Return the account.

        Raises:
            EmailTaken: another user has the e-mail.
            CustomerTaken: the customer is another user's, or the user has another.
            AccountBusy: others change the account all the time; do it again.
        """
        fact = UserRegistered(
            user_id=user_id, email=email, customer_id=customer_id, by_hand=by_hand
        )
        recorded = await self.record.one(SourcedFacts(facts=(fact,)))
        if recorded.account is None:
            raise RuntimeError("a registration that has no account")
        return recorded.account


@attrs.frozen
class RegisterCustomer:
    """Register a user with a customer that the gateway has: see `RegisterUser`."""

    register: RegisterUser
    directory: AccountDirectory
    gateway: PaymentGateway

    async def __call__(
        self,
        user_id: UserId,
        email: Email,
        customer_id: CustomerId,
        by_hand: ByHand | None = None,
    ) -> PaymentAccount:
        """Return the account.

        Raises:
            EmailTaken, CustomerTaken, AccountBusy: see `RegisterUser`.
            UnknownReference: the gateway has no such customer, or has deleted it.
            GatewayUnavailable: it could not be asked.
        """
        await self._check(user_id, customer_id)
        return await self.register(user_id, email, customer_id, by_hand)

    async def _check(self, user_id: UserId, customer_id: CustomerId) -> None:
        """Refuse a customer that nothing could be sold to: binding is for long."""
        known = await self.directory.find(user_id)
        if known is not None and known.customer_id == customer_id:
            return
        try:
            customer = await self.gateway.customer(customer_id)
        except GatewayObjectMissing:
            reason = "the payment gateway has none"
            raise UnknownReference("customer_id", reason) from None
        if customer.deleted:
            raise UnknownReference("customer_id", "the payment gateway has deleted it")
        if customer.metadata_user_id not in {None, user_id}:
            raise CustomerTaken("its metadata names another user")


@attrs.frozen
class PaymentStatusView:
    """What the API shows of an account."""

    account: PaymentAccount
    standing: Standing


@attrs.frozen
class GetAuthorizedAccount:
    """Find the account that a request is about. The first call registers a user."""

    directory: AccountDirectory
    register: RegisterUser

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> PaymentAccount:
        """Return the account.

        Raises:
            AccountNotFound: no account has this id or e-mail, or it is another user's.
            EmailTaken: the token of a new user carries another user's e-mail.
        """
        account = await self.directory.find(user)
        if account is None:
            account = await self._first_call(user, caller)
        caller.require_access(account)
        return account

    async def _first_call(self, user: UserId | Email, caller: Caller) -> PaymentAccount:
        email = caller.token.email
        if email is None or not caller.names(user):
            raise AccountNotFound
        # An old token with an old e-mail must not rename an account back.
        if await self.directory.find(caller.user_id) is not None:
            raise AccountNotFound
        return await self.register(caller.user_id, email)


@attrs.frozen
class GetPaymentStatus:
    reach: GetAuthorizedAccount
    clock: Clock
    policy: Policy

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> PaymentStatusView:
        """Return a user's status.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        return self.view(await self.reach(user, caller=caller))

    def view(self, account: PaymentAccount) -> PaymentStatusView:
        return PaymentStatusView(
            account, account.standing(now=self.clock(), policy=self.policy)
        )
