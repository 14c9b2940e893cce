"""Decide on an event that was not applied: link it to a user, or close it.

Rule 1: to link an event is to link its payment or subscription, and then to apply it
        again, with every quarantined event about the same object.
Rule 2: a closed event is no longer open, is never applied and is not replayed; what is
        known of its object does not change.
"""

from collections.abc import Sequence

import attrs

from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.decide import subscription_job
from payments_core.errors import (
    EventApplied,
    EventBodyGone,
    EventClosed,
    EventNotFound,
    EventNotLinkable,
    EventOfOtherMode,
)
from payments_core.events import EventState, ObjectChanged, SyncNeeded
from payments_core.facts import CloseDecided, Fact, SourcedFacts
from payments_core.identity import UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.kept_events import KeptEvent
from payments_core.payment import Payment, PaymentId
from payments_core.ports import EventLog, EventReader, PaymentGateway
from payments_core.subscription import PaidPeriod, SubscriptionReport
from payments_core.use_cases.payment_links import LinkPayment
from payments_core.use_cases.record_facts import RecordFacts
from payments_core.use_cases.replays import replay_of
from payments_core.use_cases.subscription_links import LinkSubscription

_LINKABLE = frozenset({JobKind.PAYMENT, JobKind.SUBSCRIPTION})


@attrs.frozen
class FindUnappliedEvents:
    events: EventLog

    async def __call__(
        self, event_id: str, type_: str | None = None, *, caller: Caller
    ) -> Sequence[KeptEvent]:
        """Return the events of this id, and type, that were neither applied nor closed.

        Raises:
            ScopeRequired: the caller is no administrator.
            EventNotFound: no such event is stored.
            EventApplied, EventClosed: all of them are.
        """
        caller.require_admin()
        found = await self.events.find(event_id)
        kept = [it for it in found if type_ in (None, it.key.type)]
        states = {it.outcome.state for it in kept}
        if not kept:
            raise EventNotFound(event_id)
        if states == {EventState.APPLIED}:
            raise EventApplied(event_id)
        ended = {EventState.APPLIED, EventState.CLOSED}
        if states <= ended:
            raise EventClosed(event_id)
        return [it for it in kept if it.outcome.state not in ended]


@attrs.frozen
class CloseEvent:
    record: RecordFacts
    unapplied: FindUnappliedEvents

    async def __call__(
        self, event_id: str, reason: str, type_: str | None = None, *, caller: Caller
    ) -> Sequence[KeptEvent]:
        """Close an event that was not applied; return what was closed.

        Raises:
            ScopeRequired, EventNotFound, EventApplied, EventClosed: see
                `FindUnappliedEvents`.
            InvalidValue: the reason is invalid.
        """
        caller.require_admin()
        decided = ByHand.of(caller.user_id, reason)
        found = await self.unapplied(event_id, type_, caller=caller)
        for it in found:
            facts: tuple[Fact, ...] = (
                CloseDecided(it.key, decided, before=it.outcome.reason),
            )
            job = it.outcome.waits_for
            if job is not None and job.kind is JobKind.EVENT:
                # The job then has nothing left to do, and ends.
                facts = (*facts, SyncNeeded(job, "closed by hand"))
            await self.record.one(SourcedFacts(facts=facts))
        return found


@attrs.frozen
class LinkEvent:
    unapplied: FindUnappliedEvents
    reader: EventReader
    gateway: PaymentGateway
    payments: LinkPayment
    subscriptions: LinkSubscription

    async def things(
        self, event_id: str, type_: str | None = None, *, caller: Caller
    ) -> tuple[Sequence[KeptEvent], Sequence[JobKey]]:
        """Return the unapplied events with this id, and the sync jobs of what to link.

        Raises:
            ScopeRequired, EventNotFound, EventApplied, EventClosed: see
                `FindUnappliedEvents`.
            EventOfOtherMode: it can never be applied.
            EventBodyGone: its body is no longer stored.
            EventNotLinkable: it is about neither a payment nor a subscription.
            GatewayUnavailable: its object could not be fetched.
        """
        found = await self.unapplied(event_id, type_, caller=caller)
        things = dict[JobKey, None]()
        for it in found:
            if it.livemode is not self.payments.record.policy.livemode:
                raise EventOfOtherMode(event_id)
            if it.body is None:
                raise EventBodyGone(event_id)
            things |= dict.fromkeys(await self._about(it.body))
        if not things:
            raise EventNotLinkable(event_id)
        return found, list(things)

    async def __call__(  # each said by who decides
        self,
        event_id: str,
        user_id: UserId,
        reason: str,
        type_: str | None = None,
        *,
        caller: Caller,
    ) -> Sequence[JobKey]:
        """Link an event's object to a user and apply the event again.

        Return the sync jobs of what was linked.

        Raises:
            ScopeRequired, EventNotFound, EventApplied, EventClosed, EventOfOtherMode,
                EventBodyGone, EventNotLinkable, GatewayUnavailable: see `things`.
            InvalidValue: the reason is invalid.
            AccountNotFound: there is no such user.
            PaymentNotFound, PaymentLinked, PaymentOfSubscription: see `LinkPayment`.
            SubscriptionNotFound, SubscriptionLinked: see `LinkSubscription`.
        """
        caller.require_admin()
        decided = ByHand.of(caller.user_id, reason)
        found, things = await self.things(event_id, type_, caller=caller)
        again = {it.key: it for it in found}
        for subject in {it.object_id for it in found if it.object_id}:
            for it in await self.unapplied.events.open_about(subject):
                if it.outcome.state is EventState.QUARANTINED:
                    again.setdefault(it.key, it)
        replays = [fact for it in again.values() for fact in replay_of(it, decided)]
        for number, thing in enumerate(things, 1):
            # Replayed with the last link: by then everything is linked.
            also = replays if number == len(things) else ()
            if thing.kind is JobKind.PAYMENT:
                await self.payments(
                    PaymentId(thing.subject), user_id, reason, also=also, caller=caller
                )
            else:
                await self.subscriptions(
                    thing.subject, user_id, reason, also=also, caller=caller
                )
        return things

    async def _about(self, body: bytes) -> Sequence[JobKey]:
        """Return the sync jobs of an event's objects that a user can own."""
        jobs: Sequence[JobKey]
        match self.reader.reread(body).report:
            case Payment(id=id_):
                jobs = [JobKey(JobKind.PAYMENT, id_)]
            case SubscriptionReport(gateway_id=id_) | PaidPeriod(gateway_id=id_):
                jobs = [subscription_job(id_)]
            case SyncNeeded(job=job):
                jobs = [job]
            case ObjectChanged() as changed:
                jobs = await self.gateway.jobs_of(changed)
            case _:
                jobs = []
        return [it for it in jobs if it.kind in _LINKABLE]
