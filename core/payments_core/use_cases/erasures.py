"""Erase a user for good, and go on with an erasure that was cut off.

Rule 1: what stands against it is said, and nothing is done. It is looked at once more
        in the moment in which it is done.
Rule 2: in one moment all that is found of the user is a pseudonym's, and the tombstones
        are there: nothing that comes later is theirs. What was being recorded at that
        moment has ended a little later; then the events are looked through.
Rule 3: cut off, it goes on when it is asked for again. Done, it is done for good.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.changes import Lookup
from payments_core.erasure import Erasure, pseudonym, what_is_open
from payments_core.errors import (
    AccountBusy,
    AccountErased,
    AccountInUse,
    AccountNotFound,
    InvalidValue,
)
from payments_core.identity import Email, UserId
from payments_core.ports import AccountDirectory, Clock, Erasures, NewId
from payments_core.use_cases.record_facts import RecordFacts

# Longer than anything is being recorded.
SETTLED_S: Final = 10.0
_TRIES: Final = 10


@attrs.frozen(kw_only=True)
class Erased:
    """Who has what is left, and how many events mentioned the user."""

    pseudonym: UserId
    events: int


class ErasureListener:
    """Hears how far an erasure is; this one drops it."""

    def begun(self, wait_s: float) -> None:
        """Hear that all but the events is done; they are looked at in `wait_s`."""

    def settled(self) -> None:
        """Hear that the events are being looked through."""


@attrs.frozen
class EraseAccount:
    record: RecordFacts
    accounts: AccountDirectory
    erasures: Erasures
    clock: Clock
    new_id: NewId
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def what_is_open(
        self, user: UserId | Email, *, caller: Caller
    ) -> tuple[UserId, Sequence[str]]:
        """Return whom it would erase, and what stands against it.

        Raises:
            ScopeRequired: the caller is no administrator.
            AccountErased: it was done before.
            AccountNotFound: there is no such account.
            ErasureKeyUnusable: there is no key for the tombstones.
        """
        caller.require_admin()
        unfinished = await self.erasures.unfinished(user)
        if unfinished is not None:
            return unfinished, ()
        account = await self._account(user)
        return account.user_id, await self._open(account)

    async def __call__(
        self,
        user: UserId | Email,
        by_hand: ByHand,
        *,
        caller: Caller,
        settled_s: float = SETTLED_S,
        listener: ErasureListener | None = None,
    ) -> Erased:
        """Erase a user; `settled_s` later their events.

        Raises:
            ScopeRequired, AccountErased, AccountNotFound, ErasureKeyUnusable: as above.
            AccountInUse: something of theirs is under way.
            InvalidValue: the reason, which is kept, names the user.
            AccountBusy: others change the account all the time; do it again.
            StoreUnavailable: ask for it again, it goes on.
        """
        caller.require_admin()
        whose = await self.erasures.unfinished(user)
        if whose is None:
            whose = await self._begun(user, by_hand)
        heard = listener or ErasureListener()
        heard.begun(settled_s)
        await self.sleep(settled_s)
        heard.settled()
        return Erased(pseudonym=whose, events=await self.erasures.finish(whose))

    async def _begun(self, user: UserId | Email, by_hand: ByHand) -> UserId:
        for _ in range(_TRIES):
            account = await self._account(user)
            _refuse_naming(account, by_hand)
            if found := await self._open(account):
                raise AccountInUse(found)
            erasure = Erasure(
                user_id=account.user_id,
                pseudonym=pseudonym(self.new_id()),
                decided=by_hand,
                at=self.clock(),
            )
            if await self.erasures.begin(account, erasure):
                return erasure.pseudonym
        raise AccountBusy

    async def _account(self, user: UserId | Email) -> PaymentAccount:
        account = await self.accounts.find(user)
        if account is None:
            was_erased = await self.erasures.is_erased(user)
            raise AccountErased if was_erased else AccountNotFound
        return account

    async def _open(self, account: PaymentAccount) -> Sequence[str]:
        user = frozenset({account.user_id})
        lookup = Lookup(histories=user, whole_histories=user, open_intents=user)
        found = await self.record.snapshot(lookup)
        payments = found.histories
        return [*what_is_open(account.subscriptions, payments, found.intents)]


def _refuse_naming(account: PaymentAccount, by_hand: ByHand) -> None:
    """Refuse a reason that says who it was.

    Raises:
        InvalidValue: it does.
    """
    said = by_hand.reason.lower()
    names = (account.email.text, account.email.key, account.customer_id)
    words = said.replace(",", " ").replace(";", " ").split()
    if account.user_id.lower() in words or any(
        it and it.lower() in said for it in names
    ):
        raise InvalidValue("reason", "it names the user, and is kept for good")
