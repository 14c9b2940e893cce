"""Bind many existing customers of the gateway, and read their history.

Rule 1: a row is bound whole or refused, independent of the others. A refusal names the
        field and the reason; a bug is reported as such, with its trace once to
        `RecordFacts.on_bug`.
Rule 2: it takes no other user's e-mail or customer, and replaces no bound customer. The
        e-mail of a known user is unchanged.
Rule 3: a customer is bound before its history is read, so the owners of its payments
        are decided with the binding. A row that is run again only costs the reading of
        its lists.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.changes import Lookup
from payments_core.errors import GatewayOutcomeUnknown, PaymentsError, Rejected
from payments_core.facts import SourcedFacts, UserRegistered
from payments_core.gateway import FetchedCustomer
from payments_core.identity import CustomerId, Email, UserId
from payments_core.jobs.read_history import ReadHistory
from payments_core.linking import LinkKeys
from payments_core.use_cases.accounts import usable_customer
from payments_core.use_cases.record_facts import RecordedState

# Rows per batch, and rows whose customers are fetched at the same time.
BATCH: Final = 100
TOGETHER: Final = 8

_T = TypeVar("_T")
_Key = TypeVar("_Key")


@attrs.frozen(kw_only=True)
class ImportRow:
    """A user and the user's customer; `number` is the row's place."""

    number: int
    user_id: UserId
    email: Email
    customer_id: CustomerId


class RowState(StrEnum):
    IMPORTED = "imported"
    # The customer was already bound to the user.
    KNOWN = "known"
    REFUSED = "refused"


@attrs.frozen(kw_only=True)
class RowResult:
    """The result of a row; of a refused row, the field and the reason.

    The field `history`: the row is bound, but not everything that the customer has
    could be read or recorded. `code` is the refusal's.
    """

    row: ImportRow
    state: RowState
    field: str | None = None
    reason: str | None = None
    code: str | None = None
    warnings: tuple[str, ...] = ()


class ImportListener:
    """Receives the progress of a batch; this class ignores it."""

    def asked(self, count: int) -> None:
        """Receive how many customers of the batch were fetched."""

    def read(self, count: int) -> None:
        """Receive of how many customers of the batch the history was read."""


@attrs.frozen
class ImportCustomers:
    history: ReadHistory
    listener: ImportListener = attrs.Factory(ImportListener)

    async def __call__(
        self, rows: Sequence[ImportRow], by_hand: ByHand, *, dry_run: bool = False
    ) -> Sequence[RowResult]:
        """Import some rows, at most `BATCH`; a dry run only checks them.

        Raises:
            AccountBusy, GatewayUnavailable: it failed several times in a row. What was
                bound stays bound: import the same rows again.
            StoreUnavailable: the database does not answer; the same applies.
        """
        batch = _Batch(self.history, rows, by_hand, self.listener)
        return await batch.run(dry_run=dry_run)


@attrs.define
class _Batch:
    history: ReadHistory
    rows: Sequence[ImportRow]
    by_hand: ByHand
    listener: ImportListener
    # By index in the batch.
    _results: dict[int, RowResult] = attrs.field(init=False, factory=dict)
    _warnings: dict[int, tuple[str, ...]] = attrs.field(init=False, factory=dict)

    async def run(self, *, dry_run: bool) -> Sequence[RowResult]:
        record = self.history.reconcile.record
        known = await self._known()
        sources = [self._source(row, known) for row in self.rows]
        # This load's number is greater than all before: what is fetched from now on is
        # newer.
        snapshot, decision = await record.decided(sources)
        for number, decided in enumerate(decision.decided):
            if decided.failure is not None:
                self._failed(number, "user_id", decided.failure)
            self._refuse(number, decided.refusal)
        found = await _each(self._left(), self._customer, self.listener.asked)
        left = [it for it in self._left() if it in found]
        for number in left:
            self._warn(number, found[number], known)
        if not dry_run:
            accounts = await self._bound(left, sources)
            read = {
                number: partial(self._read, account, found[number], snapshot.sequence)
                for number, account in accounts.items()
            }
            await _each(list(read), lambda it: read[it](it), self.listener.read)
        for number in self._left():
            row = self.rows[number]
            account = known.get(row.user_id)
            is_known = account is not None and account.customer_id == row.customer_id
            self._end(number, RowState.KNOWN if is_known else RowState.IMPORTED)
        return [self._results[number] for number in range(len(self.rows))]

    async def _known(self) -> Mapping[UserId, PaymentAccount]:
        users = frozenset(row.user_id for row in self.rows)
        lookup = Lookup(keys=LinkKeys(user_ids=users))
        snapshot = await self.history.reconcile.record.snapshot(lookup)
        return {account.user_id: account for account in snapshot.accounts}

    def _source(
        self, row: ImportRow, known: Mapping[UserId, PaymentAccount]
    ) -> SourcedFacts:
        account = known.get(row.user_id)
        fact = UserRegistered(
            user_id=row.user_id,
            email=account.email if account else row.email,
            customer_id=row.customer_id,
            imported=self.by_hand,
        )
        return SourcedFacts(facts=(fact,))

    async def _customer(self, number: int) -> FetchedCustomer | None:
        row = self.rows[number]
        ask = partial(
            usable_customer,
            self.history.reconcile.gateway,
            row.user_id,
            row.customer_id,
        )
        try:
            return await self.history.patience(ask)
        except Rejected as refusal:
            self._refuse(number, refusal)
        except GatewayOutcomeUnknown as error:
            self._end(number, RowState.REFUSED, "customer_id", str(error), error.code)
        except PaymentsError:
            raise
        except Exception as error:  # noqa: BLE001  # one customer's bug is not the others'
            self._failed(number, "customer_id", error)
        return None

    def _warn(
        self,
        number: int,
        customer: FetchedCustomer | None,
        known: Mapping[UserId, PaymentAccount],
    ) -> None:
        row, warnings = self.rows[number], list[str]()
        account = known.get(row.user_id)
        if account is not None and account.email.key != row.email.key:
            warnings.append("email: the user has another e-mail here, which stays")
        if customer and customer.email_key not in {None, row.email.key}:
            warnings.append("email: the customer has another e-mail at Stripe")
        self._warnings[number] = tuple(warnings)

    async def _bound(
        self, left: Sequence[int], sources: Sequence[SourcedFacts]
    ) -> Mapping[int, PaymentAccount]:
        """Bind the customers; return the accounts of the bound ones."""
        record, patience = self.history.reconcile.record, self.history.patience
        accounts = dict[int, PaymentAccount]()
        all_ = await record([sources[number] for number in left])
        for number, first in zip(left, all_, strict=True):
            recorded = first
            try:
                if first.state is not RecordedState.SAVED:
                    recorded = await patience(partial(record.one, sources[number]))
            except Rejected as refusal:
                self._refuse(number, refusal)
            except PaymentsError:
                raise
            except Exception as error:  # noqa: BLE001  # as in `_customer`
                self._failed(number, "user_id", error)
            else:
                if recorded.account is not None:
                    accounts[number] = recorded.account
        return accounts

    async def _read(
        self,
        account: PaymentAccount,
        customer: FetchedCustomer | None,
        sequence: int,
        number: int,
    ) -> None:
        card = customer.card if customer else None
        try:
            left_out = await self.history(account, card, sequence)
        except PaymentsError:
            raise
        except Exception as error:  # noqa: BLE001  # as in `_customer`
            self._failed(number, "history", error)
            return
        if left_out:
            self._end(number, RowState.REFUSED, "history", "; ".join(left_out))

    def _left(self) -> list[int]:
        return [it for it in range(len(self.rows)) if it not in self._results]

    def _refuse(self, number: int, refusal: Rejected | None) -> None:
        if refusal is not None:
            # Any other refusal is about the user.
            field = getattr(refusal, "field", None) or "user_id"
            reason = getattr(refusal, "reason", None) or str(refusal)
            self._end(number, RowState.REFUSED, field, reason, refusal.code)

    def _failed(self, number: int, field: str, error: Exception) -> None:
        record, row = self.history.reconcile.record, self.rows[number]
        record.on_bug(row.customer_id, error)
        reason = f"failed: {type(error).__name__}"
        self._end(number, RowState.REFUSED, field, reason)

    def _end(
        self,
        number: int,
        state: RowState,
        field: str | None = None,
        reason: str | None = None,
        code: str | None = None,
    ) -> None:
        self._results[number] = RowResult(
            row=self.rows[number],
            state=state,
            field=field,
            reason=reason,
            code=code,
            warnings=self._warnings.get(number, ()),
        )


async def _each(
    items: Sequence[_Key],
    action: Callable[[_Key], Awaitable[_T]],
    heard: Callable[[int], None],
) -> Mapping[_Key, _T]:
    """Run the action for each item, `TOGETHER` at a time; an error ends the rest.

    `heard` is called after each with the number done.
    """
    room, done = asyncio.Semaphore(TOGETHER), dict[_Key, _T]()

    async def one(item: _Key) -> None:
        async with room:
            done[item] = await action(item)
            heard(len(done))

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done
