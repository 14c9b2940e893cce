"""Execute an operation at the gateway: begun, run, answered; the same for everybody.

Rule 1: the intent is saved before anything is asked. What runs it holds its lease;
        when that has run out, the worker goes on, or the caller who asks again.
Rule 2: the caller waits for a while and is answered from the intent. The operation
        goes on without the caller.
Rule 3: the outcome, and all facts that follow from it, are saved at once.
Rule 4: a save whose reply was lost is run again, and recognises what it wrote.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeGuard, TypeVar

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.decide import subscription_job
from payments_core.errors import (
    Abandoned,
    AccountBusy,
    AccountNotFound,
    GatewayBusy,
    GatewayRefused,
    GatewaySilent,
    IdempotencyKeyReused,
    OperationInProgress,
    Rejected,
    StoreUnavailable,
)
from payments_core.facts import Fact, SourcedFacts, SubscriptionObserved, SyncNeeded
from payments_core.identity import UserId
from payments_core.intent import (
    NOTHING_WANTED,
    Intent,
    IntentId,
    IntentKind,
    IntentOutcome,
    IntentState,
    Refusal,
    Wanted,
)
from payments_core.lease import Lease
from payments_core.linking import LinkKeys
from payments_core.operations import NEED_CUSTOMER, OPERATIONS
from payments_core.operations.run import (
    Expired,
    LeaseLost,
    OperationResult,
    OperationRun,
    RetryLater,
    StopRun,
    refusal_of,
)
from payments_core.ports import Clock, Ledger, NewId, PaymentGateway
from payments_core.use_cases.record_facts import RecordedState, RecordFacts

# Who waits in a browser is told where to ask after that long.
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

Rule = Callable[[PaymentAccount], None]
_T = TypeVar("_T")


def no_rule(_: PaymentAccount) -> None:
    """Forbid nothing."""


@attrs.frozen(kw_only=True)
class OperationRequest:
    """An operation that somebody asks for.

    `key` is whose it is and the idempotency key, as one text; None without one.
    `about` is what the path of the request names, and `asked` what was asked for in so
    many words, where `wanted` says more: both are for the fingerprint. `subject` is
    what only one operation of the kind may be open on.
    """

    user_id: UserId
    kind: IntentKind
    wanted: Wanted = NOTHING_WANTED
    about: str = ""
    asked: Wanted | None = None
    subject: str = ""
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        return (self.asked or self.wanted).fingerprint(self.kind, self.about)

    @property
    def key_digest(self) -> str | None:
        # A digest: keys come from outside, of any length and look.
        return self.key and hashlib.sha256(self.key.encode()).hexdigest()


class StartState(StrEnum):
    """What became of the wish to start an operation."""

    # It is leased to us, and to be run.
    LEASED = "leased"
    # It ended before: this is its answer once more.
    REPLAYED = "replayed"
    # Somebody else is running it, or another one that stands in the way.
    BUSY = "busy"
    # The idempotency key came with another request.
    KEY_REUSED = "key_reused"


@attrs.frozen
class StartedOperation:
    """An intent, and the one that has to be run before it, if any."""

    intent: Intent
    state: StartState
    customer: Intent | None = None


@attrs.frozen
class ExecutedOperation:
    """An intent as it is when its caller is answered: ended, or still open."""

    intent: Intent
    replayed: bool = False


@attrs.frozen
class FoundOperation:
    """What was there before an operation was begun; `executed` is the same, ended."""

    request: OperationRequest
    snapshot: Snapshot
    executed: ExecutedOperation | None

    @property
    def account(self) -> PaymentAccount:
        return _account_in(self.snapshot)


@attrs.define
class ExecuteOperation:
    ledger: Ledger
    record: RecordFacts
    gateway: PaymentGateway
    clock: Clock
    new_id: NewId
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _running: set["asyncio.Task[Intent]"] = attrs.field(init=False, factory=set)

    async def find(
        self, request: OperationRequest, rule: Rule = no_rule
    ) -> FoundOperation:
        """Return what there is before an operation begins.

        `rule` raises what is wrong with the account.

        Raises:
            AccountNotFound: there is no such user.
            IdempotencyKeyReused: the key came with another request.
            OperationInProgress: somebody else runs what the key names.
            StoreUnavailable: ask again.
        """
        snapshot = await self.ledger.load(_lookup(request))
        rule(_account_in(snapshot))
        started = self._under_key(snapshot, request, "")
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
        """Return the intent of what is asked for, ended if that took no longer.

        `rule` raises what the account forbids. Without `wait_s` it is run as far as it
        goes.

        Raises:
            AccountNotFound, IdempotencyKeyReused, OperationInProgress: see `find`; or
                another operation of the kind is open on the subject.
            AccountBusy: the account was changed by others all the time.
            StoreUnavailable: ask again, with the same key.
        """
        started, snapshot = await self._started(
            request, rule, found.snapshot if found else None
        )
        if started.state is not StartState.LEASED:
            return _answer(started)
        running = asyncio.create_task(
            self._resumed(started.intent, snapshot, started.customer)
        )
        # The loop itself keeps no strong reference to a task.
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        finished, _ = await asyncio.wait({running}, timeout=wait_s)
        return ExecutedOperation(running.result() if finished else started.intent)

    async def drain(self) -> None:
        """Return when nothing runs any more."""
        while self._running:
            await asyncio.wait(self._running)

    async def resume(self, intent: Intent) -> Intent:
        """Go on with an intent that is leased to us, as far as it goes.

        Return it as it is then: ended, or open, to go on later.

        Raises:
            StoreUnavailable: it is open; its lease runs out, and the worker goes on.
        """
        return await self._resumed(intent, await self._load(intent.user_id), None)

    # Starting

    async def _started(
        self, request: OperationRequest, rule: Rule, snapshot: Snapshot | None
    ) -> tuple[StartedOperation, Snapshot]:
        """Save the intent of what is asked for, or find it."""
        new, losses = self._new(request), 0
        for _ in range(STARTS_MAX):
            if snapshot is None:
                snapshot = await self.ledger.load(_lookup(request, new.id))
            account = _account_in(snapshot)
            found = self._found(snapshot, request, new)
            if found is not None and not found.is_unsaved:
                return found.started, snapshot
            if found is None:
                rule(account)
                customer = self._customer(request.kind, snapshot, new.id)
                started = StartedOperation(new, StartState.LEASED, customer)
            else:
                started = found.started
            try:
                saved = await self._save_groups(_beginning(account, started))
            except StoreUnavailable:
                losses += 1
                if losses >= SAVE_TRIES_MAX:
                    raise
                saved = SaveResult.LOCKED
            if saved is SaveResult.SAVED:
                return _kept(started), snapshot
            if saved is SaveResult.LOCKED:
                await self.sleep(BACK_OFF_S)
            snapshot = None
        raise AccountBusy

    def _found(
        self, snapshot: Snapshot, request: OperationRequest, new: Intent
    ) -> "_Found | None":
        """Return what there is already in place of a new intent."""
        for intent in snapshot.intents:
            if intent.id == new.id:
                # The reply to an earlier save was lost.
                making = _open_intent(snapshot, IntentKind.CREATE_CUSTOMER, "")
                customer = making if making and making.writer == new.id else None
                return _Found(StartedOperation(intent, StartState.LEASED, customer))
        started = self._under_key(snapshot, request, new.id) or self._open(
            snapshot, request, new.id
        )
        if started is None:
            return None
        known = {intent.id: intent for intent in snapshot.intents}
        return _Found(started, is_unsaved=known[started.intent.id] != started.intent)

    def _under_key(
        self, snapshot: Snapshot, request: OperationRequest, writer: str
    ) -> StartedOperation | None:
        key = request.key_digest
        for intent in snapshot.intents:
            if key is None or intent.key != key:
                continue
            if intent.fingerprint != request.fingerprint:
                return StartedOperation(intent, StartState.KEY_REUSED)
            if not intent.open:
                return StartedOperation(intent, StartState.REPLAYED)
            return self._taken_over(intent, writer)
        return None

    def _open(
        self, snapshot: Snapshot, request: OperationRequest, writer: str
    ) -> StartedOperation | None:
        intent = _open_intent(snapshot, request.kind, request.subject)
        if intent is None:
            return None
        # Who asks for the very same, with no key to tell the two apart, means it.
        if request.key is None and intent.fingerprint == request.fingerprint:
            return self._taken_over(intent, writer)
        return StartedOperation(intent, StartState.BUSY)

    def _taken_over(self, intent: Intent, writer: str) -> StartedOperation:
        """Go on in the place of who began it, if they are gone."""
        now = self.clock()
        if intent.lease.is_due(now):
            mine = attrs.evolve(intent.claimed(now), writer=writer)
            return StartedOperation(mine, StartState.LEASED)
        own = bool(writer) and intent.writer == writer
        return StartedOperation(intent, StartState.LEASED if own else StartState.BUSY)

    def _customer(
        self, kind: IntentKind, snapshot: Snapshot, writer: str
    ) -> Intent | None:
        """Return the intent, not saved yet, that makes the customer that is needed.

        None if none is needed, or if somebody else is making it.
        """
        account = _account_in(snapshot)
        if kind not in NEED_CUSTOMER or account.customer_id is not None:
            return None
        known = _open_intent(snapshot, IntentKind.CREATE_CUSTOMER, "")
        if known is None:
            request = OperationRequest(
                user_id=account.user_id, kind=IntentKind.CREATE_CUSTOMER
            )
            return attrs.evolve(self._new(request), writer=writer)
        started = self._taken_over(known, writer)
        return started.intent if started.state is StartState.LEASED else None

    def _new(self, request: OperationRequest) -> Intent:
        now = self.clock()
        id_ = self.new_id()
        return Intent(
            id=IntentId(id_),
            user_id=request.user_id,
            kind=request.kind,
            subject=request.subject,
            wanted=request.wanted,
            key=request.key_digest,
            fingerprint=request.fingerprint,
            lease=Lease(due_at=now),
            created_at=now,
            writer=id_,
        ).claimed(now)

    # Running

    async def _load(self, user_id: UserId) -> Snapshot:
        keys, users = LinkKeys(frozenset({user_id})), frozenset({user_id})
        return await self.ledger.load(Lookup(keys=keys, open_intents=users))

    async def _resumed(
        self, intent: Intent, snapshot: Snapshot, customer: Intent | None
    ) -> Intent:
        account = _account_in(snapshot)
        if intent.state is IntentState.NEW and intent.may_be_abandoned(self.clock()):
            # Nobody wants what they asked for the day before yesterday.
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
                # Somebody else made the customer while we were away.
                account = _account_in(await self._load(account.user_id))
            if account.customer_id is None:
                return await self._reschedule(intent, self._soon())
        return (await self._run(intent, account, snapshot.sequence))[0]

    def _soon(self) -> RetryLater:
        """Return when to look again for a customer whom somebody else is making."""
        return RetryLater(self.clock() + CUSTOMER_WITHIN)

    async def _customer_started(
        self, intent: Intent, snapshot: Snapshot
    ) -> Intent | None:
        """Begin to make the customer that an intent needs; None if it has to wait."""
        new = self._customer(intent.kind, snapshot, self.new_id())
        if new is None:
            return None
        account = _account_in(snapshot)
        started = StartedOperation(new, StartState.LEASED)
        saved = await self._save_groups(_beginning(account, started))
        return _kept(started).intent if saved is SaveResult.SAVED else None

    async def _run(
        self, intent: Intent, account: PaymentAccount, sequence: int
    ) -> tuple[Intent, PaymentAccount]:
        """Run an intent; return it and the account as they are then."""
        run = OperationRun(
            intent, account, sequence, self.gateway, self.clock, self._save
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
        return await self._end(run.intent, account, result)

    async def _result(self, run: OperationRun) -> OperationResult:
        try:
            return await OPERATIONS[run.intent.kind](run)
        except GatewayRefused as error:
            return _refused(run, refusal_of(error))
        except Rejected as error:
            # Removed, here or there, since it was asked: no repetition brings it again.
            return _refused(run, Refusal(code=error.code, reason=str(error)))
        except (GatewayBusy, GatewaySilent) as error:
            is_new = run.intent.state is IntentState.NEW
            if is_new and run.intent.may_be_abandoned(run.now):
                return _abandoned(run)
            raise StopRun(RetryLater()) from error

    async def _end(
        self, intent: Intent, account: PaymentAccount, result: OperationResult
    ) -> tuple[Intent, PaymentAccount]:
        """Save the outcome, and all that follows from it, at once."""
        ended = attrs.evolve(
            intent.ended(result.state, result.outcome), writer=self.new_id()
        )
        facts = (*result.facts, *_syncs(result.touched))
        source = SourcedFacts(facts=facts, intent=ended)
        recorded = await self._again_if_lost(lambda: self.record.one(source))
        if recorded.state is RecordedState.LEASE_LOST:
            await self._record_lost(facts)
            return await self._current(intent), account
        after = recorded.account
        if after is None:
            after = _account_in(await self._load(account.user_id))
        return attrs.evolve(ended, version=ended.version + 1), after

    async def _record_lost(self, facts: Sequence[Fact]) -> None:
        """Record what was found although somebody else has the intent: it is true.

        A subscription is synced instead: it may be one too many, and a sync ends that.
        """
        seen = [it.report.gateway_id for it in facts if _is_observed(it)]
        others = [it for it in facts if not _is_observed(it)]
        for fact in (*others, *_syncs(seen)):
            await self.record([SourcedFacts(facts=(fact,))])

    async def _reschedule(self, intent: Intent, reason: RetryLater) -> Intent:
        """Give the intent back, to go on later."""
        try:
            return await self._save(intent.rescheduled(self.clock(), reason.until))
        except StopRun:
            return await self._current(intent)

    async def _current(self, intent: Intent) -> Intent:
        """Return an intent as it is by now, whoever has it."""
        snapshot = await self.ledger.load(Lookup(intents=frozenset({intent.id})))
        return next(iter(snapshot.intents), intent)

    # Saving

    async def _save(self, intent: Intent) -> Intent:
        """Save an intent that is leased to us; return it as it is kept.

        Raises:
            StopRun: somebody else has it by now.
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
        (saved,) = await self.ledger.save([changes], at=self.clock())
        return saved

    async def _again_if_lost(self, save: Callable[[], Awaitable[_T]]) -> _T:
        """Run a save again whose reply was lost; what it wrote is recognised."""
        for _ in range(SAVE_TRIES_MAX - 1):
            try:
                return await save()
            except StoreUnavailable:
                await self.sleep(BACK_OFF_S)
        return await save()


@attrs.frozen
class _Found:
    """An operation that was there before; `is_unsaved` if we have yet to take it."""

    started: StartedOperation
    is_unsaved: bool = False


def _lookup(request: OperationRequest, new: IntentId | None = None) -> Lookup:
    key = request.key_digest
    return Lookup(
        keys=LinkKeys(frozenset({request.user_id})),
        intents=frozenset({new} if new else ()),
        idempotency_keys=frozenset({key} if key else ()),
        open_intents=frozenset({request.user_id}),
    )


def _account_in(snapshot: Snapshot) -> PaymentAccount:
    if not snapshot.accounts:
        raise AccountNotFound
    return snapshot.accounts[0]


def _open_intent(snapshot: Snapshot, kind: IntentKind, subject: str) -> Intent | None:
    user = _account_in(snapshot).user_id
    for intent in snapshot.intents:
        wanted = intent.kind is kind and intent.subject == subject
        if intent.open and wanted and intent.user_id == user:
            return intent
    return None


def _answer(started: StartedOperation) -> ExecutedOperation:
    if started.state is StartState.KEY_REUSED:
        raise IdempotencyKeyReused
    if started.state is StartState.BUSY:
        raise OperationInProgress(started.intent.id)
    return ExecutedOperation(started.intent, replayed=True)


def _beginning(account: PaymentAccount, started: StartedOperation) -> Changes:
    """Save an intent that rests on the account as it was loaded."""
    intents = [it for it in (started.customer, started.intent) if it is not None]
    return Changes(
        key=f"user {account.user_id}",
        before=account,
        after=account,
        intents=tuple(sorted(intents, key=lambda intent: intent.id)),
    )


def _kept(started: StartedOperation) -> StartedOperation:
    def kept(intent: Intent) -> Intent:
        return attrs.evolve(intent, version=intent.version + 1)

    customer = started.customer
    return attrs.evolve(
        started,
        intent=kept(started.intent),
        customer=kept(customer) if customer else None,
    )


def _is_same_save(known: Intent, kept: Intent) -> bool:
    return known.version == kept.version and known.writer == kept.writer


def _refused(run: OperationRun, refusal: Refusal) -> OperationResult:
    return OperationResult(
        state=IntentState.DECLINED,
        outcome=IntentOutcome(refusal=refusal),
        touched=_touched(run),
    )


def _abandoned(run: OperationRun) -> OperationResult:
    return OperationResult(
        state=IntentState.ABANDONED, outcome=_ABANDONED, touched=_touched(run)
    )


def _is_observed(fact: Fact) -> TypeGuard[SubscriptionObserved]:
    return isinstance(fact, SubscriptionObserved)


def _syncs(gateway_ids: Sequence[str]) -> list[SyncNeeded]:
    reason = "something was asked of it"
    return [
        SyncNeeded(job=subscription_job(it), reason=reason)
        for it in dict.fromkeys(gateway_ids)
    ]


def _touched(run: OperationRun) -> Sequence[str]:
    """Return the subscriptions that an intent met before it failed."""
    answers = [call.answer for call in run.intent.calls if call.answer]
    made = [it.subscription.gateway_id for it in answers if it.subscription]
    return [*made, *run.touched]
