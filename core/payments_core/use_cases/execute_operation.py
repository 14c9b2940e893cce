"""Execute an operation at the gateway: begin, run and answer it, for every caller.

Rule 1: the intent is saved before anything is sent. The process that runs it holds its
        lease; after the lease has expired, the worker or a repeated request continues.
Rule 2: the caller waits for a limited time and is answered from the intent. The
        operation continues without the caller.
Rule 3: the outcome and all facts that follow from it are saved in one transaction.
Rule 4: a save whose reply was lost is retried, and recognises what it wrote.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.decide import customer_job, subscription_job
from payments_core.errors import (
    Abandoned,
    AccountBusy,
    CalledOff,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    GatewayUnavailable,
    IdempotencyKeyReused,
    NotToBeCalledOff,
    OperationInProgress,
    PaymentsError,
    Rejected,
    SaveTimedOut,
    StoreUnavailable,
)
from payments_core.events import SyncNeeded
from payments_core.facts import CardObserved, Fact, SourcedFacts, SubscriptionObserved
from payments_core.identity import CustomerId, UserId
from payments_core.intent import (
    REISSUE_AFTER,
    Intent,
    IntentOutcome,
    IntentState,
    Refusal,
    Step,
)
from payments_core.linking import LinkKeys
from payments_core.now import Now
from payments_core.operations import OPERATIONS
from payments_core.operations.run import (
    Expired,
    LeaseLost,
    OperationResult,
    OperationRun,
    RetryLater,
    StopRun,
    key_refusal,
    refusal_of,
)
from payments_core.operations.start import (
    NEED_CUSTOMER,
    OperationRequest,
    Rule,
    StartedOperation,
    StartState,
    account_in,
    beginning,
    customer_for,
    find_under_key,
    lookup_of,
    new_intent,
    no_rule,
    start_operation,
)
from payments_core.ports import Clock, Ledger, NewId, PaymentGateway, SystemClock
from payments_core.use_cases.record_facts import RecordedState, RecordFacts

# After that long a waiting browser gets the URL to poll.
ANSWER_WITHIN_S: Final = 8.0
SAVE_TRIES_MAX: Final = 5
STARTS_MAX: Final = 25
BACK_OFF_S: Final = 0.02
CUSTOMER_WITHIN: Final = timedelta(seconds=5)
_ABANDONED: Final = IntentOutcome(
    refusal=Refusal(code=Abandoned.code, reason=str(Abandoned()))
)

_ABANDONED_RESULT: Final = OperationResult(
    state=IntentState.ABANDONED, outcome=_ABANDONED
)

_T = TypeVar("_T")


@attrs.frozen
class ExecutedOperation:
    """An intent when its caller is answered: ended, or still open."""

    intent: Intent
    replayed: bool = False


@attrs.frozen
class FoundOperation:
    """What exists before an operation begins; `executed`: it was requested before."""

    request: OperationRequest
    snapshot: Snapshot
    executed: ExecutedOperation | None

    @property
    def account(self) -> PaymentAccount:
        return account_in(self.snapshot)


@attrs.define
class ExecuteOperation:
    ledger: Ledger
    record: RecordFacts
    gateway: PaymentGateway
    clock: Clock
    system_clock: SystemClock
    new_id: NewId
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    on_declined: Callable[[Intent], None] = lambda _: None
    _running: set["asyncio.Task[Intent]"] = attrs.field(init=False, factory=set)

    async def find(
        self, request: OperationRequest, rule: Rule = no_rule
    ) -> FoundOperation:
        """Return what exists before an operation begins.

        `rule` raises what is wrong with the account.

        Raises:
            AccountNotFound: there is no such user.
            IdempotencyKeyReused: the key was used with another request.
            OperationInProgress: another process runs the operation of the key.
            StoreUnavailable: call again.
        """
        snapshot = await self.ledger.load(lookup_of(request))
        rule(account_in(snapshot))
        started = find_under_key(snapshot, request, "", self.system_clock())
        if started is None or started.state is StartState.LEASED:
            return FoundOperation(request, snapshot, None)
        return FoundOperation(request, snapshot, _answer(started))

    async def __call__(
        self,
        request: OperationRequest,
        rule: Rule = no_rule,
        *,
        found: FoundOperation | None = None,
        wait_s: float | None = ANSWER_WITHIN_S,
    ) -> ExecutedOperation:
        """Execute a request and return its intent, ended if that took at most `wait_s`.

        `rule` raises what the account forbids. `wait_s` of None: wait until it ends or
        must be retried later.

        Raises:
            AccountNotFound, IdempotencyKeyReused, OperationInProgress: see `find`; or
                another operation of the kind is open on the subject.
            AccountBusy: every try met a concurrent change of the account.
            StoreUnavailable: call again, with the same key.
        """
        started, snapshot = await self._started(
            request, rule, found.snapshot if found else None
        )
        if started.state is not StartState.LEASED:
            return _answer(started)
        running = asyncio.create_task(
            self._resumed(started.intent, snapshot, started.customer)
        )
        # The event loop keeps no strong reference to a task.
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        finished, _ = await asyncio.wait({running}, timeout=wait_s)
        return ExecutedOperation(running.result() if finished else started.intent)

    async def drain(self) -> None:
        """Wait until no operation runs."""
        while self._running:
            await asyncio.wait(self._running)

    async def resume(self, intent: Intent) -> Intent:
        """Continue an intent that is leased to us, as far as possible.

        Return it as it is then: ended, or open, to be continued later.

        Raises:
            StoreUnavailable: it is open; the worker continues when its lease expires.
        """
        return await self._resumed(intent, await self._load(intent.user_id), None)

    async def resume_open(self, user_id: UserId) -> None:
        """Continue a user's open intents that no process runs, as far as possible.

        One after the other, because one may need another. Intents that cannot continue
        get the same due time as after an attempt of the worker.

        Raises:
            AccountNotFound: there is no such user.
            StoreUnavailable: see `resume`.
        """
        snapshot = await self._load(user_id)
        mine = [it for it in snapshot.intents if it.open and it.user_id == user_id]
        for intent in sorted(mine, key=lambda it: it.created_at):
            now, until = self.system_clock(), intent.lease.until
            if until is not None and now < until:
                continue
            try:
                claimed = await self._save(intent.claimed(now))
            except StopRun:
                # Another process was first.
                continue
            await self.resume(claimed)

    async def call_off(self, intent: Intent) -> Intent:
        """End an open intent that no process runs; return it as it is then.

        Raises:
            NotToBeCalledOff: what it may have done cannot be undone.
            OperationInProgress: a process runs it now.
            StoreUnavailable: call again.
        """
        if not intent.may_be_called_off:
            raise NotToBeCalledOff
        now = self.system_clock()
        until = intent.lease.until
        if until is not None and now < until:
            raise OperationInProgress(intent.id)
        try:
            mine = await self._save(intent.claimed(now))
        except StopRun:
            raise OperationInProgress(intent.id) from None
        account = account_in(await self._load(intent.user_id))
        facts, touched = [], list[str]()
        if mine.calls and account.customer_id is not None:
            job = customer_job(account.customer_id)
            # A subscription that it creates later is found by this sync, and cancelled.
            facts.append(SyncNeeded(job, _CALLED_OFF, after=REISSUE_AFTER))
            touched = await self._made_by(mine, account.customer_id)
        refusal = Refusal(code=CalledOff.code, reason=str(CalledOff()))
        result = OperationResult(
            state=IntentState.REFUSED,
            outcome=IntentOutcome(refusal=refusal),
            facts=facts,
            touched=touched,
        )
        return (await self._end(mine, account, result))[0]

    async def _made_by(self, intent: Intent, customer: CustomerId) -> list[str]:
        """Return the subscriptions known to be created by an intent so far."""
        answers = (it.answer.subscription for it in intent.calls if it.answer)
        made = [it.gateway_id for it in answers if it]
        try:
            sold = await self.gateway.subscriptions_of(customer)
        except (GatewayUnavailable, GatewayObjectMissing, GatewayRefused):
            # Events and a later sync will report the rest.
            return made
        return [*made, *(it.gateway_id for it in sold if it.intent_id == intent.id)]

    def _now(self) -> Now:
        return Now(at=self.clock(), system=self.system_clock())

    # Starting

    async def _started(
        self, request: OperationRequest, rule: Rule, snapshot: Snapshot | None
    ) -> tuple[StartedOperation, Snapshot]:
        """Save the intent of a request, or find the existing one."""
        new = new_intent(request, self.new_id, self._now())
        for _ in range(STARTS_MAX):
            if snapshot is None:
                snapshot = await self.ledger.load(lookup_of(request, new.id))
            started = start_operation(
                snapshot, request, rule, new, new_id=self.new_id, now=self._now()
            )
            if started.changes is None:
                return started, snapshot
            save = partial(self._save_groups, started.changes)
            saved = await self._again_if_lost(save)
            if saved is SaveResult.SAVED:
                return started.saved(), snapshot
            if saved is SaveResult.LOCKED:
                await self.sleep(BACK_OFF_S)
            snapshot = None
        raise AccountBusy

    # Running

    async def _load(self, user_id: UserId) -> Snapshot:
        keys, users = LinkKeys(frozenset({user_id})), frozenset({user_id})
        return await self.ledger.load(Lookup(keys=keys, open_intents=users))

    async def _resumed(
        self, intent: Intent, snapshot: Snapshot, customer: Intent | None
    ) -> Intent:
        account = account_in(snapshot)
        if intent.state is IntentState.NEW and intent.may_be_abandoned(self.clock()):
            # A request older than a day is no longer carried out.
            return (await self._end(intent, account, _ABANDONED_RESULT))[0]
        if intent.kind in NEED_CUSTOMER and account.customer_id is None:
            customer = customer or await self._customer_started(intent, snapshot)
            if customer is None:
                return await self._reschedule(intent, self._soon())
            made, account = await self._run(customer, account, snapshot.sequence)
            if made.outcome is None:
                return await self._reschedule(intent, RetryLater(made.lease.due_at))
            if made.state is not IntentState.SUCCEEDED:
                result = OperationResult(state=made.state, outcome=made.outcome)
                return (await self._end(intent, account, result))[0]
            if account.customer_id is None:
                # Another operation created the customer meanwhile.
                account = account_in(await self._load(account.user_id))
            if account.customer_id is None:
                # It was bound to another account; waiting does not change that.
                return await self._reschedule(intent, RetryLater())
        return (await self._run(intent, account, snapshot.sequence))[0]

    def _soon(self) -> RetryLater:
        """Return when to retry, while another operation creates the customer."""
        return RetryLater(self.system_clock() + CUSTOMER_WITHIN)

    async def _customer_started(
        self, intent: Intent, snapshot: Snapshot
    ) -> Intent | None:
        """Begin to create the customer that an intent needs; None if it must wait."""
        new = customer_for(
            intent.kind,
            snapshot,
            self.new_id(),
            new_id=self.new_id,
            now=self._now(),
        )
        if new is None:
            return None
        started = StartedOperation(new, StartState.LEASED)
        changes = beginning(account_in(snapshot), started)
        saved = await self._again_if_lost(partial(self._save_groups, changes))
        return started.saved().intent if saved is SaveResult.SAVED else None

    async def _run(
        self, intent: Intent, account: PaymentAccount, sequence: int
    ) -> tuple[Intent, PaymentAccount]:
        """Run an intent; return it and the account as they are then."""
        run = OperationRun(
            intent,
            account,
            sequence,
            self.gateway,
            self.clock,
            self.system_clock,
            self._save,
        )
        try:
            result = await self._result(run)
        except StopRun as stop:
            match stop.reason:
                case LeaseLost():
                    await self._record_lost(_syncs(_touched(run)))
                    return await self._current(intent), account
                case RetryLater() as reason:
                    return await self._reschedule(run.intent, reason), account
                case Expired():
                    pass
            result = _abandoned(run)
        except PaymentsError:
            raise
        except Exception:
            # A bug costs an attempt: the intent is retried with back-off.
            await self._reschedule(run.intent, RetryLater())
            raise
        return await self._end(run.intent, account, run.counted(result))

    async def _result(self, run: OperationRun) -> OperationResult:
        try:
            return await OPERATIONS[run.intent.kind](run)
        except GatewayRefused as error:
            return _refused(run, refusal_of(error))
        except Rejected as error:
            # Deleted since the request, here or at the gateway: a retry does not help.
            return _refused(run, Refusal(code=error.code, reason=str(error)))
        except GatewayMisconfigured as error:
            if run.awaits_answer:
                raise StopRun(RetryLater()) from error
            return _refused(run, key_refusal(error))
        except (GatewayNotAttempted, GatewayOutcomeUnknown) as error:
            is_new = run.intent.state is IntentState.NEW
            if is_new and run.intent.may_be_abandoned(run.now):
                return _abandoned(run)
            raise StopRun(RetryLater()) from error

    async def _end(
        self, intent: Intent, account: PaymentAccount, result: OperationResult
    ) -> tuple[Intent, PaymentAccount]:
        """Save the outcome and all that follows from it in one transaction."""
        ended = attrs.evolve(
            intent.ended(result.state, result.outcome), writer=self.new_id()
        )
        if ended.is_key_refused:
            # The operation was not decided on: a repeated request with its key begins
            # anew.
            ended = attrs.evolve(ended, key=None)
        facts = (*result.facts, *_syncs(result.touched))
        source = SourcedFacts(facts=facts, intent=ended)
        recorded = await self._again_if_lost(lambda: self.record.one(source))
        if recorded.state is RecordedState.LEASE_LOST:
            await self._record_lost(facts)
            return await self._current(intent), account
        if ended.is_declined:
            self.on_declined(ended)
        after = recorded.account
        if after is None:
            after = account_in(await self._load(account.user_id))
        return attrs.evolve(ended, version=ended.version + 1), after

    async def _record_lost(self, facts: Sequence[Fact]) -> None:
        """Record the facts found, which hold although another process has the intent.

        A subscription is synced instead: it may be one too many, and a sync cancels it.
        A card is synced too: it may no longer be the one that pays.
        """
        for fact in facts:
            await self.record([SourcedFacts(facts=(_synced(fact),))])

    async def _reschedule(self, intent: Intent, reason: RetryLater) -> Intent:
        """Release the intent, to be continued later."""
        try:
            after = intent.rescheduled(self.system_clock(), reason.until)
            return await self._save(after)
        except StopRun:
            return await self._current(intent)

    async def _current(self, intent: Intent) -> Intent:
        """Return an intent as it is now, whichever process has it."""
        snapshot = await self.ledger.load(Lookup(intents=frozenset({intent.id})))
        return next(iter(snapshot.intents), intent)

    # Saving

    async def _save(self, intent: Intent) -> Intent:
        """Save an intent that is leased to us; return it as saved.

        Raises:
            StopRun: another process has it now.
            StoreUnavailable: it may or may not be saved.
        """
        intent = attrs.evolve(intent, writer=self.new_id())
        changes = Changes(key=f"intent {intent.id}", intents=(intent,))
        for _ in range(STARTS_MAX):
            saved = await self._again_if_lost(lambda: self._save_groups(changes))
            if saved is SaveResult.LOCKED:
                await self.sleep(BACK_OFF_S)
                continue
            kept = attrs.evolve(intent, version=intent.version + 1)
            # The reply to an earlier save may have been lost.
            if saved is not SaveResult.SAVED and not _is_same_save(
                await self._current(intent), kept
            ):
                raise StopRun(LeaseLost())
            return kept
        raise StoreUnavailable

    async def _save_groups(self, changes: Changes) -> SaveResult:
        try:
            (saved,) = await self.ledger.save([changes], at=self.clock())
        except SaveTimedOut as error:
            # The same for the caller: the outcome is unknown, retry.
            raise StoreUnavailable from error
        return saved

    async def _again_if_lost(self, save: Callable[[], Awaitable[_T]]) -> _T:
        """Retry a save whose reply was lost; it recognises what it wrote."""
        for _ in range(SAVE_TRIES_MAX - 1):
            try:
                return await save()
            except StoreUnavailable:
                await self.sleep(BACK_OFF_S)
        return await save()


def _answer(started: StartedOperation) -> ExecutedOperation:
    if started.state is StartState.KEY_REUSED:
        raise IdempotencyKeyReused
    if started.state is StartState.BUSY:
        raise OperationInProgress(started.intent.id)
    return ExecutedOperation(started.intent, replayed=True)


def _is_same_save(known: Intent, kept: Intent) -> bool:
    return known.version == kept.version and known.writer == kept.writer


def _refused(run: OperationRun, refusal: Refusal) -> OperationResult:
    customer = run.account.customer_id
    facts = []
    if customer is not None and refusal.field == "customer":
        # Maybe deleted, without an event yet: a sync then unbinds it.
        facts.append(SyncNeeded(customer_job(customer), "it was refused"))
    return OperationResult(
        state=IntentState.REFUSED,
        outcome=IntentOutcome(refusal=refusal),
        facts=[*facts, *_card_syncs(run)],
        touched=_touched(run),
    )


def _abandoned(run: OperationRun) -> OperationResult:
    return OperationResult(
        state=IntentState.ABANDONED,
        outcome=_ABANDONED,
        facts=_card_syncs(run),
        touched=_touched(run),
    )


_ASKED: Final = "something was asked of it"
_CALLED_OFF: Final = "an operation was called off"


def _synced(fact: Fact) -> Fact:
    """Return the sync of what was observed; any other fact as it is."""
    match fact:
        case SubscriptionObserved(report=report):
            return SyncNeeded(subscription_job(report.gateway_id), _ASKED)
        case CardObserved(customer_id=customer):
            return SyncNeeded(customer_job(customer), _ASKED)
        case _:
            return fact


def _syncs(gateway_ids: Sequence[str]) -> list[SyncNeeded]:
    return [
        SyncNeeded(job=subscription_job(it), reason=_ASKED)
        for it in dict.fromkeys(gateway_ids)
    ]


def _card_syncs(run: OperationRun) -> list[SyncNeeded]:
    """Request a sync of the card, if an intent that failed may have changed it."""
    if run.intent.call(Step.MAKE_DEFAULT) is None:
        return []
    return [SyncNeeded(customer_job(run.customer_id), "a new card was made default")]


def _touched(run: OperationRun) -> Sequence[str]:
    """Return the subscriptions that an intent touched before it failed."""
    answers = [call.answer for call in run.intent.calls if call.answer]
    made = [it.subscription.gateway_id for it in answers if it.subscription]
    return [*made, *run.touched]
