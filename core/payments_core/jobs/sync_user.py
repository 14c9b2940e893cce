"""Sync a user on request, for example after a checkout.

Rule 1: what differs from the stored data is fetched and recorded as facts, as a sync
        job and a reconciliation do. What the gateway does not have, or a rule forbids,
        is unchanged: a reconciliation reports it.
Rule 2: open operations of the user continue now, and a card that was recently set up in
        the browser is used, as when their webhooks come.
Rule 3: one sync of a user runs at a time in a process, and none begins sooner than
        `SYNC_EVERY_S` after another began, or `AGAIN_S` after one has failed.
Rule 4: the caller waits at most `ANSWER_WITHIN_S`. The sync continues without the
        caller.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.caller import Caller
from payments_core.errors import (
    AccountNotFound,
    GatewayOutcomeUnknown,
    Overloaded,
    PaymentsError,
    Rejected,
    SyncedRecently,
)
from payments_core.events import SyncNeeded
from payments_core.facts import LinkRequested, SourcedFacts
from payments_core.identity import Email, UserId
from payments_core.job_key import JobKind
from payments_core.jobs.reconcile import Reconcile
from payments_core.jobs.sync import update_of_set_up
from payments_core.sweep import Suspect
from payments_core.use_cases.accounts import (
    GetAuthorizedAccount,
    GetPaymentStatus,
    PaymentStatusView,
)
from payments_core.use_cases.execute_operation import (
    ANSWER_WITHIN_S,
    ExecuteOperation,
)

SYNC_EVERY_S: Final = 5.0
# The pause after a failed sync.
AGAIN_S: Final = 1.0
# Syncs at once in a process; the calls of all processes share one budget.
RUNNING_MAX: Final = 32
# Users remembered as recently synced; a process begins fewer in `SYNC_EVERY_S`.
REMEMBERED_MAX: Final = 10_000
# Of payments that are the user's and not the customer's, how many of the newest are
# fetched, one by one.
PAYMENTS_MAX: Final = 10
# Only set-ups begun within this time are used: an older card may have been replaced
# since.
SET_UP_WITHIN: Final = timedelta(hours=1)


@attrs.frozen
class SyncUser:
    """`reconcile` must have the same gateway as users' operations."""

    reach: GetAuthorizedAccount
    reconcile: Reconcile
    execute: ExecuteOperation
    status: GetPaymentStatus
    monotonic: Callable[[], float] = time.monotonic
    within_s: float = ANSWER_WITHIN_S
    _running: dict[UserId, "asyncio.Task[None]"] = attrs.field(init=False, factory=dict)
    # When the latest sync of each user began, the oldest first.
    _began: OrderedDict[UserId, float] = attrs.field(init=False, factory=OrderedDict)

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> PaymentStatusView:
        """Fetch everything about a user from the gateway; return the status then.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
            SyncedRecently: a sync of the user is in progress, or has just begun.
            Overloaded: too many syncs are in progress.
            GatewayUnavailable: it does not answer; what was not fetched is unchanged.
            AccountBusy, StoreUnavailable: call again.
        """
        account = await self.reach(user, caller=caller)
        running = self._start(account.user_id)
        finished, _ = await asyncio.wait({running}, timeout=self.within_s)
        if not finished:
            raise GatewayOutcomeUnknown("the sync continues; read the status later")
        running.result()
        return self.status.view(await self._account(account.user_id))

    async def drain(self) -> None:
        """Wait until no sync runs."""
        while self._running:
            await asyncio.wait(set(self._running.values()))

    def _start(self, user_id: UserId) -> "asyncio.Task[None]":
        now = self.monotonic()
        while self._began:
            first, began = next(iter(self._began.items()))
            is_over = now - began >= SYNC_EVERY_S
            if not is_over and len(self._began) < REMEMBERED_MAX:
                break
            del self._began[first]
        left_s = self._began.get(user_id, -math.inf) + SYNC_EVERY_S - now
        if user_id in self._running or left_s > 0:
            raise SyncedRecently(math.ceil(max(1, left_s)))
        if len(self._running) >= RUNNING_MAX:
            raise Overloaded
        self._began[user_id] = now
        self._began.move_to_end(user_id)
        running = asyncio.ensure_future(self._sync(user_id))
        self._running[user_id] = running
        running.add_done_callback(lambda task: self._ended(user_id, task))
        return running

    def _ended(self, user_id: UserId, task: "asyncio.Task[None]") -> None:
        del self._running[user_id]
        # Also if its caller has gone.
        if task.cancelled() or task.exception() is not None:
            # As if it had begun earlier, so that a retry is possible sooner; not at
            # once, because it cost calls.
            self._began[user_id] = self.monotonic() + AGAIN_S - SYNC_EVERY_S

    async def _account(self, user_id: UserId) -> PaymentAccount:
        account = await self.reconcile.accounts.find(user_id)
        if account is None:
            raise AccountNotFound
        return account

    async def _sync(self, user_id: UserId) -> None:
        await self.execute.resume_open(user_id)
        record = self.reconcile.record
        await record.one(SourcedFacts(facts=(LinkRequested(user_id),)))
        known = {it.gateway_id for it in (await self._account(user_id)).subscriptions}
        for suspect in await self.reconcile.suspects_of(
            user_id, payments_max=PAYMENTS_MAX
        ):
            await self._one(suspect, is_new=suspect.subject not in known)
        await self._use_set_up(await self._account(user_id))

    async def _one(self, suspect: Suspect, *, is_new: bool) -> None:
        record = self.reconcile.record
        try:
            facts = await self.reconcile.facts_of(suspect)
            job = suspect.job
            if is_new and job is not None and job.kind is JobKind.SUBSCRIPTION:
                # It may have been created twice: its sync ends such a twin.
                facts = (*facts, SyncNeeded(job, "found by a sync of its user"))
            if facts:
                await record.one(SourcedFacts(facts=facts))
        except Rejected:
            return
        except PaymentsError:
            raise
        except Exception as error:  # noqa: BLE001  # one thing's bug is not the others'
            record.on_bug(suspect.subject, error)

    async def _use_set_up(self, account: PaymentAccount) -> None:
        """Use the card of the latest set-up, if its webhook has not come."""
        customer, gateway = account.customer_id, self.reconcile.gateway
        if customer is None:
            return
        since = self.reconcile.record.clock() - SET_UP_WITHIN
        try:
            id_ = await gateway.newest_set_up(customer, since=since)
            if id_ is None:
                return
            found = await gateway.set_up(id_)
            card = found.payment_method
            is_there = account.card is not None and account.card.id == card
            if not found.succeeded or card is None or is_there:
                return
            request = update_of_set_up(account.user_id, id_, card)
            await self.execute(request, wait_s=None)
        except Rejected:
            return
