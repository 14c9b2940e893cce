"""Decide on facts: a pure function of a snapshot, the facts, the time and the policy.

Rule 1: a report of a payment merges into it; an unchanged payment changes nothing. An
        observation of a subscription merges too (`payments_core.subscription_merge`).
Rule 2: `payments_core.linking` says who owns a thing. In a conflict the fact is not
        applied, and its event is quarantined.
Rule 3: facts about one object are joined before its owner is determined: one object is
        in one group, and so is everything of one account.
Rule 4: a new latest payment is added to the account's summary; anything else replays
        all its payments. So do the beginning and the end of a subscription's life, a
        paid period, and what may take a period back.
Rule 5: what must be fetched becomes a job. A payment within a subscription's life
        causes a sync of it, unless it says nothing new.
Rule 6: facts that cannot be decided on, because of a bug, do not stop the others: their
        event is stored as pending, with a job that applies it again.
Rule 7: facts about an erased user are ignored (`payments_core.erasure`).
Rule 8: an event that is delivered again is a duplicate. If it was not applied, it is
        applied again: the job that it waits for is requested, and what prevented it may
        be gone. An event that was closed by hand stays closed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from payments_core.changes import Changes, JobFinish, Lookup, Snapshot
from payments_core.decide.access_ends import end_access
from payments_core.decide.accounts import (
    bind_customer,
    close_event,
    fail_to_read,
    keep_apart,
    link_account,
    log_account,
    note_by_hand,
    observe_card,
    read_object,
    register_user,
    release_customer,
    report_card,
    request_sync,
)
from payments_core.decide.decision import (
    QUARANTINE_REASON,
    QUARANTINED,
    Decided,
    Decision,
    access_end_job,
    believing_nothing,
    comes_again,
    customer_job,
    done_by_hand,
    event_group,
    event_job,
    subscription_job,
)
from payments_core.decide.erased import ignored, is_of_erased
from payments_core.decide.group import Group
from payments_core.decide.known import Known
from payments_core.decide.lookups import lookup_of
from payments_core.decide.payments import (
    SYNC_AFTER_PAYMENT,
    correct_payment,
    decide_link,
    report_payment,
)
from payments_core.decide.subscriptions import (
    decide_subscription_link,
    observe_subscription,
    pay_period,
)
from payments_core.decide.targets import Targets
from payments_core.errors import Rejected
from payments_core.events import (
    NOTHING_FOLLOWS,
    OPEN_STATES,
    CardReported,
    EventKey,
    EventState,
    GatewayEvent,
    ObjectChanged,
    Outcome,
    QuarantineNeeded,
    ReadFailed,
    SyncNeeded,
)
from payments_core.facts import (
    AccessEndDue,
    CardObserved,
    CloseDecided,
    CustomerBound,
    CustomerDeleted,
    DoneByHand,
    LinkDecided,
    LinkRequested,
    LogGapFound,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import UserId
from payments_core.intent import Intent
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_core.linking import NO_KEYS
from payments_core.now import Now
from payments_core.policy import Policy

__all__ = [
    "QUARANTINE_REASON",
    "SYNC_AFTER_PAYMENT",
    "Decided",
    "Decision",
    "access_end_job",
    "customer_job",
    "decide",
    "event_job",
    "lookup_of",
    "set_aside",
    "subscription_job",
]

# When to sync again if a change that is due at the gateway has not happened.
A_DAY: Final = timedelta(days=1)
_OTHER_MODE: Final = Outcome(EventState.QUARANTINED, "livemode is not ours")
_NEW: Final = frozenset({None})
# Also ignored events, by hand: a later release may follow their type.
_REAPPLIED: Final = frozenset({*OPEN_STATES, EventState.IGNORED})

_T = TypeVar("_T")
_Rule = Callable[[Group, Any, SourcedFacts], Outcome | Rejected]
# One rule for each kind of fact.
_RULES: Final[Mapping[type, _Rule]] = MappingProxyType(
    {
        PaymentReported: report_payment,
        PaymentCorrected: correct_payment,
        SubscriptionObserved: observe_subscription,
        PeriodPaid: pay_period,
        CardObserved: observe_card,
        CardReported: report_card,
        UserRegistered: register_user,
        CustomerBound: bind_customer,
        CustomerDeleted: release_customer,
        LinkRequested: link_account,
        LogGapFound: log_account,
        AccessEndDue: end_access,
        LinkDecided: decide_link,
        SubscriptionLinkDecided: decide_subscription_link,
        CloseDecided: close_event,
        DoneByHand: note_by_hand,
        SyncNeeded: request_sync,
        ObjectChanged: read_object,
        QuarantineNeeded: keep_apart,
        ReadFailed: fail_to_read,
    }
)


def decide(
    snapshot: Snapshot,
    sources: Sequence[SourcedFacts],
    *,
    now: Now,
    policy: Policy,
) -> Decision:
    """Decide on the sources; the decision has them in the same order."""
    known = Known.of(snapshot, policy)
    sources = _revived(sources, snapshot)
    decided: list[Decided] = [Decided(duplicate=True)] * len(sources)
    groups: dict[str, tuple[UserId | None, list[int]]] = {}
    targets = Targets(known, sources)
    for number, source in enumerate(sources):
        event = source.event
        if event is not None:
            state = snapshot.events.get(event.key)
            if state not in (_REAPPLIED if source.reapplied else _NEW):
                continue
        is_other = event is not None and event.livemode is not policy.livemode
        try:
            # Most sources need no call.
            if is_other or source.intent is not None or known.has_erased:
                at_once = _at_once(known, source, now.system, is_other=is_other)
                if at_once is not None:
                    decided[number] = at_once
                    continue
            key, owner = targets.of(source)
        except Exception as error:  # noqa: BLE001  # one source's bug is not the others'
            decided[number] = set_aside(source, now.system, error)
            continue
        groups.setdefault(key, (owner, []))[1].append(number)
    more: Lookup | None = None
    for key, (owner, numbers) in groups.items():
        group = _decided_group(known, key, owner, [sources[n] for n in numbers], now)
        if group.more is not None:
            more = group.more if more is None else more | group.more
            continue
        for number, one in zip(numbers, group.decided, strict=True):
            decided[number] = one
    return Decision(decided) if more is None else Decision(more=more)


def _revived(
    sources: Sequence[SourcedFacts], snapshot: Snapshot
) -> Sequence[SourcedFacts]:
    """Return the sources; an open event that comes again is reapplied (rule 8)."""
    if set(OPEN_STATES).isdisjoint(snapshot.events.values()):
        return sources
    return [
        attrs.evolve(it, reapplied=True)
        if it.event and snapshot.events.get(it.event.key) in OPEN_STATES
        else it
        for it in sources
    ]


def _at_once(
    known: Known, source: SourcedFacts, now: datetime, *, is_other: bool
) -> Decided | None:
    """Decide on a source of which no fact is recorded; return None for others.

    `is_other`: its event is of the other mode.
    """
    if is_other:
        return believing_nothing(source, _OTHER_MODE, now, source.event)
    if source.intent is not None:
        return known.claim_on(source.intent)
    if known.has_erased and is_of_erased(known, source):
        return ignored(source, now)
    return None


def _decided_group(
    known: Known,
    key: str,
    owner: UserId | None,
    sources: Sequence[SourcedFacts],
    now: Now,
) -> Decision:
    """Decide on one group; a source that fails becomes a group of its own.

    Sources are tried one after the other only if one of them fails (rule 6).
    """
    try:
        return _decided_together(known, key, owner, sources, now)
    except Exception as error:  # noqa: BLE001  # one source's bug is not the others'
        if len(sources) == 1:
            return Decision([set_aside(sources[0], now.system, error)])
    good: list[SourcedFacts] = []
    failed: dict[int, Decided] = {}
    for number, source in enumerate(sources):
        try:
            _decided_together(known, key, owner, [*good, source], now)
        except Exception as error:  # noqa: BLE001  # as above
            failed[number] = set_aside(source, now.system, error)
        else:
            good.append(source)
    rest = _decided_together(known, key, owner, good, now)
    others = iter(rest.decided)
    return Decision(
        [failed.get(n) or next(others) for n in range(len(sources))]
        if rest.more is None
        else (),
        rest.more,
    )


def _decided_together(
    known: Known,
    key: str,
    owner: UserId | None,
    sources: Sequence[SourcedFacts],
    now: Now,
) -> Decision:
    group = Group(known, key, owner, now)
    answers = [_answer(group, source) for source in sources]
    if group.replays:
        group.replay()
    versions = group.link_versions() if group.link_keys is not NO_KEYS else {}
    if group.more is not None:
        return Decision(more=group.more)
    # One loop instead of one for each field, because every webhook runs this.
    events: list[tuple[GatewayEvent, Outcome]] = []
    settled: list[tuple[EventKey, Outcome]] = []
    finished: list[JobFinish] = []
    intents: list[Intent] = []
    names: dict[str, None] = {}
    for source, answer in zip(sources, answers, strict=True):
        # A refused source has changed nothing, and is not saved.
        if isinstance(answer, Rejected):
            continue
        names[_name(source)] = None
        if (event := source.event) is not None:
            if source.reapplied:
                settled.append((event.key, answer))
            else:
                events.append((event, answer))
        if source.job is not None:
            finished.append(_finish(group, source, source.job, answer))
        if source.intent is not None:
            intents.append(source.intent)
    changes = Changes(
        key=key,
        before=group.before,
        after=group.after,
        payments=_in_order(group.payments) if group.payments else (),
        subscriptions=_in_order(group.subscriptions) if group.subscriptions else (),
        periods=tuple(group.periods),
        events=tuple(events),
        resolved=(*settled, *group.closed),
        link_versions=versions,
        former_keys=tuple(group.former_keys),
        by_hand=tuple(group.by_hand),
        finished=tuple(finished),
        # Read after the jobs are finished: those are not requested again.
        jobs=group.jobs,
        intents=tuple(intents),
        cause=group.cause,
        sources=tuple(filter(None, names)),
        policy=known.policy,
        logs_anyway=group.logs_anyway,
    )
    return Decision(
        [
            Decided(refusal=it)
            if isinstance(it, Rejected)
            else Decided(
                changes=changes,
                outcome=it,
                # Most events are new and need no call.
                duplicate=source.reapplied and comes_again(source),
            )
            for source, it in zip(sources, answers, strict=True)
        ]
    )


def _in_order(things: Mapping[Any, _T]) -> tuple[_T, ...]:
    return tuple(things[key] for key in sorted(things))


def _answer(group: Group, source: SourcedFacts) -> Outcome | Rejected:
    """Apply the facts of one source; return their outcome.

    The first fact that is not applied gives the outcome.
    """
    answer = None
    for fact in source.facts:
        one = _RULES[type(fact)](group, fact, source)
        if isinstance(one, Rejected):
            return one
        if answer is None or answer.state is EventState.APPLIED:
            answer = one
        if one is QUARANTINED and source.intent is None:
            break
    if answer is None and (event := source.event):
        return Outcome(EventState.IGNORED, event.ignored_because or NOTHING_FOLLOWS)
    if answer is None:
        return source.job_outcome
    return answer


def _finish(
    group: Group, source: SourcedFacts, job: Job, outcome: Outcome
) -> JobFinish:
    """Finish the job that produced the facts."""
    group.is_doing(job.key)
    now = group.now.system
    if outcome.waits_for == job.key:
        # A newer report came first; the object may have changed again since then.
        return JobFinish(job, job.requeued(now), None, now)
    again = _again(group, source)
    after = job.released(again) if again else job.finished()
    return JobFinish(job, after, outcome, now)


def _again(group: Group, source: SourcedFacts) -> datetime | None:
    """Return when a job is due again that came too early, or found no due change.

    A gateway with a clock behind ours must not be called again and again. A job that
    came too early is due at its time.
    """
    if source.job is not None and source.job.key in group.rescheduled:
        return group.rescheduled[source.job.key]
    for fact in source.facts:
        if isinstance(fact, SubscriptionObserved):
            known = group.subscription(fact.report.gateway_id)
            next_sync_at = known.next_sync_at if known else None
            if next_sync_at is not None and next_sync_at <= group.now.at:
                return group.now.system + A_DAY
    return None


def _name(source: SourcedFacts) -> str:
    """Return the id of the source of the facts."""
    if source.event is not None:
        return source.event.id
    if source.job is not None and source.job.key.kind is not JobKind.ACCESS_END:
        return source.job.key.subject
    return source.intent.id if source.intent is not None else ""


def set_aside(source: SourcedFacts, now: datetime, error: Exception) -> Decided:
    """Store an event that could not be applied, because of a bug, for the worker."""
    if source.event is None or source.job is not None:
        return Decided(failure=error)
    event, reason = source.event, f"failed: {type(error).__name__}"
    outcome = Outcome(EventState.PENDING, reason, event_job(event.key))
    later = Job.due(event_job(event.key), reason, now).failed(now, reason)
    again = comes_again(source)
    changes = Changes(
        key=event_group(event),
        events=() if again else ((event, outcome),),
        resolved=((event.key, outcome),) if again else (),
        jobs=(later,),
        by_hand=done_by_hand(source),
        cause=reason,
        sources=(event.id,),
    )
    return Decided(changes=changes, outcome=outcome, failure=error, duplicate=again)
