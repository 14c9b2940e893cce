"""List users, a user's payments and a user's timeline."""

import attrs

from payments_core.caller import Caller
from payments_core.identity import Email, UserId
from payments_core.payment_list import PaymentPage, PaymentPlace
from payments_core.ports import PaymentDirectory, Timelines, UserList
from payments_core.timeline import (
    TimelinePage,
    TimelinePlace,
    lives_of,
    newest,
    place_of,
)
from payments_core.use_cases.accounts import (
    GetAuthorizedAccount,
    GetPaymentStatus,
    PaymentStatusView,
)
from payments_core.user_list import UserFilter, UserPlace


@attrs.frozen
class ListedUsers:
    """Some users as the API shows them, and where the next page starts."""

    users: tuple[PaymentStatusView, ...]
    after: UserPlace | None


@attrs.frozen
class ListUsers:
    users: UserList
    status: GetPaymentStatus

    async def __call__(
        self,
        wanted: UserFilter,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
        caller: Caller,
    ) -> ListedUsers:
        """Return one page: see `UserList`.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        page = await self.users.page(wanted, limit=limit, after=after)
        return ListedUsers(tuple(map(self.status.view, page.accounts)), page.after)


@attrs.frozen
class ListPayments:
    reach: GetAuthorizedAccount
    payments: PaymentDirectory

    async def __call__(
        self,
        user: UserId | Email,
        *,
        limit: int = 100,
        after: PaymentPlace | None = None,
        caller: Caller,
    ) -> PaymentPage:
        """Return a user's payments, the newest first.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        account = await self.reach(user, caller=caller, reading=True)
        return await self.payments.page(account.user_id, limit=limit, after=after)


@attrs.frozen
class ReadTimeline:
    reach: GetAuthorizedAccount
    timelines: Timelines

    async def __call__(
        self,
        user: UserId | Email,
        *,
        limit: int = 100,
        after: TimelinePlace | None = None,
        caller: Caller,
    ) -> TimelinePage:
        """Return what happened to a user, the newest first.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        account = await self.reach(user, caller=caller, reading=True)
        most = limit + 1
        kept = await self.timelines.newest(account.user_id, limit=most, before=after)
        every = [*kept, *lives_of(account.subscriptions)]
        found = newest(every, before=after, limit=most)
        items = found[:limit]
        return TimelinePage(items, place_of(items[-1]) if len(found) > limit else None)
