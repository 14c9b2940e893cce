"""Register users, find their accounts and read their payment status."""

import attrs

from payments_core.account import PaymentAccount
from payments_core.account_version import AnswerVersion
from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.decide import subscription_job
from payments_core.entitlement import Standing
from payments_core.errors import (
    AccountNotFound,
    CustomerTaken,
    GatewayObjectMissing,
    UnknownReference,
)
from payments_core.events import SyncNeeded
from payments_core.facts import CustomerDeleted, Fact, SourcedFacts, UserRegistered
from payments_core.gateway import FetchedCustomer
from payments_core.identity import CustomerId, Email, UserId
from payments_core.policy import Policy
from payments_core.ports import AccountDirectory, Clock, PaymentGateway
from payments_core.use_cases.record_facts import RecordFacts


@attrs.frozen
class RegisterUser:
    """Create or update the payment account of a user of the users micro-service.

    Registering again changes the e-mail, or nothing. Unlinked payments and
    subscriptions with the user's id, customer or e-mail are linked. `by_hand` replaces
    the bound customer by another, if the old one has nothing open. The customer is not
    looked up at the gateway: see `RegisterCustomer`.
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
            CustomerTaken: another user has the customer, or the user has another
                customer.
            AccountBusy: every try met a concurrent change; call again.
        """
        fact = UserRegistered(
            user_id=user_id, email=email, customer_id=customer_id, by_hand=by_hand
        )
        recorded = await self.record.one(SourcedFacts(facts=(fact,)))
        if recorded.account is None:
            raise RuntimeError("a registration that has no account")
        return recorded.account


def facts_of_deletion(
    account: PaymentAccount | None, customer: CustomerId
) -> tuple[Fact, ...]:
    """Return the facts of a customer's deletion, which ends its subscriptions."""
    subscriptions = account.subscriptions if account else ()
    ended = (
        SyncNeeded(subscription_job(it.gateway_id), "its customer was deleted")
        for it in subscriptions
        if not it.is_terminal and it.report.customer_id == customer
    )
    return (CustomerDeleted(customer), *ended)


async def usable_customer(
    gateway: PaymentGateway, user_id: UserId, customer_id: CustomerId
) -> FetchedCustomer:
    """Fetch a customer, and refuse it if nothing could be sold to it.

    Raises:
        UnknownReference: the gateway has no such customer, or has deleted it.
        CustomerTaken: its metadata names another user.
        GatewayUnavailable: the customer could not be fetched.
    """
    try:
        customer = await gateway.customer(customer_id)
    except GatewayObjectMissing:
        reason = "Stripe has none"
        raise UnknownReference("customer_id", reason) from None
    if customer.deleted:
        raise UnknownReference("customer_id", "Stripe has deleted it")
    if customer.metadata_user_id not in {None, user_id}:
        raise CustomerTaken("its metadata names another user")
    return customer


@attrs.frozen
class RegisterCustomer:
    """Register a user with an existing customer: see `RegisterUser`."""

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

        If a bound customer is to be replaced, it is fetched too: it may be deleted, or
        have a subscription that we do not know yet.

        Raises:
            EmailTaken, CustomerTaken, AccountBusy: see `RegisterUser`.
            OperationInProgress: an operation of the user may use the old customer.
            UnknownReference: the gateway has no such customer, or has deleted it.
            GatewayUnavailable: a customer could not be fetched.
        """
        known = await self.directory.find(user_id)
        before = known.customer_id if known else None
        if before != customer_id:
            await usable_customer(self.gateway, user_id, customer_id)
        if before not in {None, customer_id} and by_hand is not None:
            await self._check_place(known, before)
        return await self.register(user_id, email, customer_id, by_hand)

    async def _check_place(
        self, known: PaymentAccount | None, before: CustomerId | None
    ) -> None:
        """Refuse to replace a customer that has an open subscription."""
        if known is None or before is None:
            return
        try:
            deleted = (await self.gateway.customer(before)).deleted
        except GatewayObjectMissing:
            # It never existed: customers were once bound without a look-up.
            return
        if deleted:
            facts = facts_of_deletion(known, before)
            await self.register.record.one(SourcedFacts(facts=facts))
            return
        sold = await self.gateway.subscriptions_of(before)
        if any(not it.is_terminal for it in sold):
            reason = "the user's other customer has an open subscription"
            raise CustomerTaken(reason)


@attrs.frozen
class PaymentStatusView:
    """What the API shows of an account."""

    account: PaymentAccount
    standing: Standing
    version: AnswerVersion


@attrs.frozen
class GetAuthorizedAccount:
    """Find the account of a request. A user's first call registers the user."""

    directory: AccountDirectory
    register: RegisterUser

    async def __call__(
        self, user: UserId | Email, *, caller: Caller, reading: bool = False
    ) -> PaymentAccount:
        """Return the account; `reading`: see `Caller.require_access`.

        Raises:
            AccountNotFound: no account has this id or e-mail, or another user has it.
            EmailTaken: the token of a new user carries another user's e-mail.
        """
        account = await self.directory.find(user)
        if account is None:
            account = await self._first_call(user, caller)
        caller.require_access(account.user_id, reading=reading)
        return account

    async def _first_call(self, user: UserId | Email, caller: Caller) -> PaymentAccount:
        email = caller.token.email
        if email is None or not caller.names(user):
            raise AccountNotFound
        known = await self.directory.find(caller.user_id)
        if known is not None:
            # A concurrent call registered the user first. An old token with an old
            # e-mail must not rename the account back.
            wanted = user.key if isinstance(user, Email) else user
            if wanted not in {known.user_id, known.email.key}:
                raise AccountNotFound
            return known
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
        return self.view(await self.reach(user, caller=caller, reading=True))

    def view(self, account: PaymentAccount) -> PaymentStatusView:
        now, verdict = self.clock(), account.verdict
        end = verdict.entitled_until(self.policy)
        return PaymentStatusView(
            account,
            verdict.standing(now, self.policy),
            AnswerVersion.of(account.version, () if end is None else (end,), now),
        )


@attrs.frozen
class CheckAnswer:
    """Say whether an answer is still current, without loading the account."""

    directory: AccountDirectory
    clock: Clock

    async def __call__(
        self, user: UserId | Email, shown: AnswerVersion, *, caller: Caller
    ) -> UserId | None:
        """Return the account's owner if the answer is current; None if it may not be.

        Raises:
            AccountNotFound: another user has the account.
        """
        found = await self.directory.version_of(user)
        if found is None:
            return None
        caller.require_access(found.user_id, reading=True)
        return found.user_id if shown.holds(found.version, self.clock()) else None
