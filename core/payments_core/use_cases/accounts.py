"""Who a user is, and what the world may know of their payments."""

from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.errors import (
    AccountNotFound,
    ChangedElsewhere,
    CustomerTaken,
    EmailTaken,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.ports import AccountDirectory, Clock, LinkKeys, OpenUnitOfWork
from payments_core.revocation import Caller
from payments_core.standing import Policy, Standing
from payments_core.use_cases.books import Books
from payments_core.use_cases.posting import adopt_unlinked, save

RETRIES_MAX: Final = 5


@attrs.frozen
class RegisterUser:
    """Unify a user of the users micro-service with a payment account.

    Registering again changes the e-mail, or nothing. Payments that were nobody's
    and carry the user's id, customer or e-mail are linked.
    """

    open_unit_of_work: OpenUnitOfWork
    clock: Clock

    async def __call__(
        self, user_id: UserId, email: Email, customer_id: CustomerId | None = None
    ) -> PaymentAccount:
        """Return the account.

        Raises:
            EmailTaken: another user has the e-mail.
            CustomerTaken: the customer is another user's, or the user has another.
            ChangedElsewhere: others change the account all the time; do it again.
        """
        for _ in range(RETRIES_MAX):
            try:
                return await self._once(user_id, email, customer_id)
            except ChangedElsewhere:
                continue
        return await self._once(user_id, email, customer_id)

    async def _once(
        self, user_id: UserId, email: Email, customer_id: CustomerId | None
    ) -> PaymentAccount:
        customers = frozenset({customer_id} if customer_id else ())
        keys = LinkKeys(frozenset({user_id}), customers, frozenset({email.key}))
        async with self.open_unit_of_work() as work:
            await work.hold(keys, exclusive=True)
            books = Books()
            books.know(await work.accounts(keys))
            before = books.find(user_id)
            account = before or PaymentAccount(user_id=user_id, email=email)
            if books.holder_of(email) not in (None, user_id):
                raise EmailTaken
            account = account.renamed(email)
            if customer_id is not None:
                if books.holder_of(customer_id) not in (None, user_id):
                    raise CustomerTaken
                is_new = account.bound(customer_id) != before
            else:
                is_new = account != before
            if not is_new:
                return account
            books.open(account)
            if customer_id is not None:
                books.bind(user_id, customer_id, is_new=False)
            await adopt_unlinked(work, books, keys)
            await save(work, books, self.clock)
            await work.commit()
        kept = books.account(user_id)
        return attrs.evolve(kept, version=kept.version + 1)


@attrs.frozen
class PaymentStatusView:
    """What the API shows of an account."""

    account: PaymentAccount
    standing: Standing


@attrs.frozen
class ReachAccount:
    """Find the account that a request is about. The first call registers a user."""

    directory: AccountDirectory
    register: RegisterUser

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> PaymentAccount:
        """Return the account.

        Raises:
            AccountNotFound: nobody has this id or e-mail, or it is another's.
            EmailTaken: the token of a new user carries another user's e-mail.
        """
        account = await self.directory.find(user)
        if account is None:
            account = await self._first_call(user, caller)
        caller.require_reach(account)
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
    reach: ReachAccount
    clock: Clock
    policy: Policy

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> PaymentStatusView:
        """Return a user's status.

        Raises:
            AccountNotFound, EmailTaken: see `ReachAccount`.
        """
        return self.view(await self.reach(user, caller=caller))

    def view(self, account: PaymentAccount) -> PaymentStatusView:
        return PaymentStatusView(
            account, account.standing(now=self.clock(), policy=self.policy)
        )
