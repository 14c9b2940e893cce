"""Erase a user permanently, and continue an interrupted erasure.

Rule 1: if something open prevents the erasure, that is reported and nothing is done. It
        is checked again in the transaction that erases.
Rule 2: one transaction moves everything found of the user to a pseudonym and writes the
        tombstones: nothing that arrives later is linked to the user. Saves that were
        running then have ended a little later; then the events are searched.
Rule 3: an interrupted erasure continues when it is requested again; a finished one
        cannot be undone. An e-mail means first the user who has it now.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.changes import Lookup, Snapshot
from payments_core.erasure import SETTLED, Erasure, pseudonym, what_is_open
from payments_core.errors import (
    AccountBusy,
    AccountErased,
    AccountInUse,
    AccountNotFound,
    InvalidValue,
)
from payments_core.identity import Email, UserId
from payments_core.linking import FormerKey, LinkKeys
from payments_core.ports import AccountDirectory, Clock, Erasures, NewId
from payments_core.use_cases.patience import Patience
from payments_core.use_cases.record_facts import RecordFacts

SETTLED_S: Final = SETTLED.total_seconds()


@attrs.frozen(kw_only=True)
class Erased:
    """The pseudonym that owns what is left, and how many events named the user."""

    pseudonym: UserId
    events: int


class ErasureListener:
    """Receives the progress of an erasure; this class ignores it."""

    def begun(self, wait_s: float) -> None:
        """Receive that all but the events is erased; they follow in `wait_s`."""

    def settled(self) -> None:
        """Receive that the events are being searched."""


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
        """Return the user it would erase, and what prevents it.

        Raises:
            ScopeRequired: the caller is no administrator.
            AccountErased: the user is already erased.
            AccountNotFound: there is no such account.
            ErasureKeyUnusable: the key of the tombstones is not configured.
        """
        caller.require_admin()
        unfinished = await self._unfinished(user)
        if unfinished is not None:
            return unfinished, ()
        account = await self._account(user)
        known = await self._known(account)
        return account.user_id, await self._open(account, known)

    async def __call__(
        self,
        user: UserId | Email,
        by_hand: ByHand,
        *,
        caller: Caller,
        settled_s: float = SETTLED_S,
        listener: ErasureListener | None = None,
    ) -> Erased:
        """Erase a user, and their events `settled_s` later.

        Raises:
            ScopeRequired, AccountErased, AccountNotFound, ErasureKeyUnusable: as above.
            AccountInUse: something of the user is open.
            InvalidValue: the reason, which is stored, names the user.
            AccountBusy: every try met a concurrent change; call again.
            StoreUnavailable: call again to continue.
        """
        caller.require_admin()
        whose = await self._unfinished(user)
        if whose is None:
            whose = await self._begun(user, by_hand)
        heard = listener or ErasureListener()
        heard.begun(settled_s)
        await self.sleep(settled_s)
        heard.settled()
        return Erased(pseudonym=whose, events=await self.erasures.finish(whose))

    async def _unfinished(self, user: UserId | Email) -> UserId | None:
        found = await self.erasures.unfinished(user)
        if isinstance(user, Email) and await self.accounts.find(user):
            # The user who has the e-mail now is meant.
            return None
        return found

    async def _begun(self, user: UserId | Email, by_hand: ByHand) -> UserId:
        async def begun() -> UserId:
            account = await self._account(user)
            known = await self._known(account)
            _refuse_naming(account, known.former_keys, by_hand)
            if found := await self._open(account, known):
                raise AccountInUse(found)
            erasure = Erasure(
                user_id=account.user_id,
                pseudonym=pseudonym(self.new_id()),
                decided=by_hand,
                at=self.clock(),
            )
            if not await self.erasures.begin(account, erasure):
                raise AccountBusy
            return erasure.pseudonym

        # Retried while others change the account.
        return await Patience(self.sleep)(begun)

    async def _account(self, user: UserId | Email) -> PaymentAccount:
        account = await self.accounts.find(user)
        if account is None:
            was_erased = await self.erasures.is_erased(user)
            raise AccountErased if was_erased else AccountNotFound
        return account

    async def _known(self, account: PaymentAccount) -> Snapshot:
        user = frozenset({account.user_id})
        return await self.record.snapshot(
            Lookup(
                histories=user,
                whole_histories=user,
                open_intents=user,
                # This loads the former e-mails and customers of these users.
                unlinked=LinkKeys(user),
            )
        )

    async def _open(self, account: PaymentAccount, known: Snapshot) -> Sequence[str]:
        others = await self.erasures.open_without_owner(account.user_id)
        subscriptions = [*account.subscriptions, *others.subscriptions]
        payments = [*known.histories, *others.payments]
        return [*what_is_open(subscriptions, payments, known.intents)]


def _refuse_naming(
    account: PaymentAccount, former: Sequence[FormerKey], by_hand: ByHand
) -> None:
    """Refuse a reason that names the user.

    Raises:
        InvalidValue: the reason names the user.
    """
    said = by_hand.reason.lower()
    names = [account.email.text, account.email.key, account.customer_id]
    names += [it.key for it in former if it.user_id == account.user_id]
    # Not inside a word, but next to any other character.
    user = rf"(?<![^\W_]){re.escape(account.user_id.lower())}(?![^\W_])"
    if re.search(user, said) or any(it and it.lower() in said for it in names):
        raise InvalidValue("reason", "it names the user, and is stored permanently")
