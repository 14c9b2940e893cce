"""Compare what is kept with what the gateway has, both ways; report, and repair.

Rule 1: a sweep is made of steps of one page. Whoever knows the place of the next step
        goes on with it, in another process too; a step that is taken twice costs calls.
Rule 2: nothing is changed, unless a repair is asked for. A repair records the very
        facts of which the drift was found, and compares once more.
Rule 3: what is being synced already is no drift, until its job is failing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.changes import Lookup, Snapshot
from payments_core.drift import Drift, DriftKind, drift_of
from payments_core.errors import (
    AccountNotFound,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.events import EventState, SyncNeeded
from payments_core.facts import Fact, SourcedFacts
from payments_core.identity import CustomerId, UserId
from payments_core.job import JobKey, JobKind, JobState
from payments_core.jobs.fetch import fetch
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.payment import PaymentId
from payments_core.ports import (
    AccountDirectory,
    EventLog,
    GatewayLists,
    JobDirectory,
    KeptObjects,
    PaymentGateway,
)
from payments_core.sweep import (
    KEPT,
    Suspect,
    SweepPlace,
    missing_of,
    suspects_of,
    suspects_of_customer,
    wanted_of,
)
from payments_core.use_cases.record_facts import RecordFacts

# More than this is not kept of what is on one page of the gateway's.
KEPT_MAX: Final = 1_000
# A gateway delivers an event within this, if anybody is there to take it.
DELIVERED_WITHIN: Final = timedelta(hours=1)
# What has a customer, in the order in which it is compared.
OF_CUSTOMER: Final = (
    ObjectList.SUBSCRIPTIONS,
    ObjectList.INVOICES,
    ObjectList.PAYMENTS,
)
_MISSING: Final[Mapping[JobKind, DriftKind]] = MappingProxyType(
    {
        JobKind.SUBSCRIPTION: DriftKind.SUBSCRIPTION_MISSING,
        JobKind.PAYMENT: DriftKind.PAYMENT_MISSING,
    }
)


class DriftCause(StrEnum):
    """Why something differs, as far as that is known here; see `CAUSES`."""

    JOB_FAILED = "job_failed"
    EVENT_QUARANTINED = "event_quarantined"
    WHILE_DOWN = "while_down"
    EVENT_LOST = "event_lost"
    OWN_BUG = "own_bug"


CAUSES: Final[Mapping[DriftCause, str]] = MappingProxyType(
    {
        DriftCause.JOB_FAILED: "A job about it is failing.",
        DriftCause.EVENT_QUARANTINED: "An event about it was quarantined.",
        DriftCause.WHILE_DOWN: "No event was received in the hour after it was made.",
        DriftCause.EVENT_LOST: "None of the others: Stripe's events did not arrive.",
        DriftCause.OWN_BUG: "It differs still after it was repaired.",
    }
)


@attrs.frozen(kw_only=True)
class Finding:
    """A drift, its cause, and whether it was repaired."""

    drift: Drift
    cause: DriftCause
    repaired: bool = False


@attrs.frozen(kw_only=True)
class SweepStep:
    """What a step found; `place` is where the next one begins, None at the end."""

    place: SweepPlace | None
    objects: int
    suspects: int
    findings: Sequence[Finding]


@attrs.frozen
class Reconcile:
    lists: GatewayLists
    gateway: PaymentGateway
    record: RecordFacts
    accounts: AccountDirectory
    jobs: JobDirectory
    events: EventLog
    kept: KeptObjects

    async def step(
        self, place: SweepPlace, created: CreatedBetween, *, repairs: bool
    ) -> SweepStep:
        """Read one page, and compare it.

        Raises:
            GatewayNotAttempted, GatewayOutcomeUnknown: take the same step later.
            StoreUnavailable: the same.
        """
        page = await self.lists.page(place.list_, created, after=place.after)
        snapshot = await self.record.snapshot(wanted_of(page))
        suspects = [*suspects_of(page, snapshot)]
        between = place.whole(page, created)
        if place.list_ in KEPT and between is not None:
            kept = await self.kept.made_between(place.list_, between, limit=KEPT_MAX)
            suspects += missing_of(place.list_, kept, place, page)
        findings = list[Finding]()
        for suspect in suspects:
            findings += await self.compare(suspect, repairs=repairs)
        return SweepStep(
            place=place.next(page),
            objects=len(page.objects),
            suspects=len(suspects),
            findings=findings,
        )

    async def user(self, user_id: UserId, *, repairs: bool) -> Sequence[Finding]:
        """Compare all of one user: their customer, and what it has.

        Raises:
            AccountNotFound: there is no such user.
            GatewayNotAttempted, GatewayOutcomeUnknown, StoreUnavailable: try it later.
        """
        account = await self.accounts.find(user_id)
        if account is None:
            raise AccountNotFound(user_id)
        customer = account.customer_id
        if customer is None:
            return []
        findings = [*await self.compare(_customer(customer), repairs=repairs)]
        listed = set[str]()
        for list_ in OF_CUSTOMER:
            async for page in self._pages(list_, customer):
                listed.update(it.id for it in page.objects)
                snapshot = await self.record.snapshot(wanted_of(page))
                for suspect in suspects_of_customer(page, snapshot):
                    findings += await self.compare(suspect, repairs=repairs)
        for subscription in account.subscriptions:
            id_ = subscription.gateway_id
            if id_ not in listed:
                suspect = Suspect(subject=id_, job=JobKey(JobKind.SUBSCRIPTION, id_))
                findings += await self.compare(suspect, repairs=repairs)
        return findings

    async def _pages(
        self, list_: ObjectList, customer: CustomerId
    ) -> AsyncIterator[ObjectPage]:
        ever = CreatedBetween(start=None, end=self.record.clock() + DELIVERED_WITHIN)
        page = await self.lists.page(list_, ever, customer=customer)
        yield page
        while page.after is not None:
            page = await self.lists.page(
                list_, ever, customer=customer, after=page.after
            )
            yield page

    async def compare(self, suspect: Suspect, *, repairs: bool) -> Sequence[Finding]:
        """Compare one thing closely; repair it, if that is asked for.

        Raises:
            GatewayNotAttempted, StoreUnavailable: compare it later.
        """
        if suspect.unreadable is not None:
            return [await self._unreadable(suspect, suspect.unreadable)]
        if await self._is_being_synced(suspect):
            return []
        try:
            return await self._compared(suspect, repairs=repairs)
        except GatewayNotAttempted:
            raise
        except GatewayObjectMissing:
            return await self._missing(suspect)
        except (GatewayOutcomeUnknown, GatewayRefused) as error:
            return [await self._unreadable(suspect, str(error))]

    async def _compared(self, suspect: Suspect, *, repairs: bool) -> Sequence[Finding]:
        facts, drifts = await self._drifts(suspect)
        if not drifts:
            return []
        cause = await self._cause(suspect)
        if not repairs:
            return [Finding(drift=it, cause=cause) for it in drifts]
        await self.record.one(SourcedFacts(facts=_repairing(suspect, facts, drifts)))
        _, left = await self._drifts(suspect)
        kinds = {it.kind for it in left}
        return [
            Finding(drift=it, cause=DriftCause.OWN_BUG)
            if it.kind in kinds
            else Finding(drift=it, cause=cause, repaired=True)
            for it in drifts
        ]

    async def _drifts(
        self, suspect: Suspect
    ) -> tuple[tuple[Fact, ...], Sequence[Drift]]:
        """Return what the gateway says, and what recording it would change."""
        facts = suspect.facts
        if suspect.job is not None:
            # The number of a load is greater than all before: what is fetched after it
            # is newer.
            sequence = (await self.record.snapshot(Lookup())).sequence
            facts = await fetch(self.gateway, self.accounts, suspect.job, sequence)
        snapshot, decision = await self.record.decided([SourcedFacts(facts=facts)])
        (decided,) = decision.decided
        if decided.failure is not None:
            raise decided.failure
        drifts = drift_of(snapshot, decided.changes) if decided.changes else ()
        return facts, drifts

    async def _is_being_synced(self, suspect: Suspect) -> bool:
        job = await self.jobs.find(suspect.job) if suspect.job else None
        return job is not None and job.state is JobState.OPEN and not job.is_failing

    async def _unreadable(self, suspect: Suspect, reason: str) -> Finding:
        drift = Drift(
            kind=DriftKind.UNREADABLE,
            subject=suspect.subject,
            user_id=None,
            ours=None,
            theirs=reason,
        )
        return Finding(drift=drift, cause=await self._cause(suspect))

    async def _missing(self, suspect: Suspect) -> Sequence[Finding]:
        """Say what is here, and not at the gateway; nothing, if it was not here."""
        kind = _MISSING.get(suspect.job.kind) if suspect.job else None
        if kind is None or suspect.since is not None:
            # It was listed, and is gone meanwhile.
            return []
        snapshot = await self.record.snapshot(_of(suspect))
        drift = _kept(snapshot, kind, suspect.subject)
        return [Finding(drift=drift, cause=await self._cause(suspect))]

    async def _cause(self, suspect: Suspect) -> DriftCause:
        job = await self.jobs.find(suspect.job) if suspect.job else None
        if job is not None and job.is_failing:
            return DriftCause.JOB_FAILED
        unsettled = await self.events.unsettled(suspect.subject)
        if any(it.outcome.state is EventState.QUARANTINED for it in unsettled):
            return DriftCause.EVENT_QUARANTINED
        since = suspect.since
        if since is not None and not await self.events.received_between(
            since, since + DELIVERED_WITHIN
        ):
            return DriftCause.WHILE_DOWN
        return DriftCause.EVENT_LOST


def _customer(customer: CustomerId) -> Suspect:
    return Suspect(subject=customer, job=JobKey(JobKind.CUSTOMER, customer))


def _of(suspect: Suspect) -> Lookup:
    return Lookup(
        payments=frozenset({PaymentId(suspect.subject)}),
        subscriptions=frozenset({suspect.subject}),
    )


def _kept(snapshot: Snapshot, kind: DriftKind, subject: str) -> Drift:
    """Return the drift of a thing that is here only."""
    if kind is DriftKind.PAYMENT_MISSING:
        records = (it for it in snapshot.payments if it.payment.id == subject)
        record = next(records, None)
        user = record.user_id if record else None
        ours = record.payment.state.value if record else None
        since = record.as_of if record else None
    else:
        every = (
            *snapshot.subscriptions,
            *(it for account in snapshot.accounts for it in account.subscriptions),
        )
        known = next((it for it in every if it.gateway_id == subject), None)
        user = known.user_id if known else None
        ours = known.status.value if known else None
        since = known.as_of if known else None
    return Drift(
        kind=kind, subject=subject, user_id=user, ours=ours, theirs=None, since=since
    )


def _repairing(
    suspect: Suspect, facts: tuple[Fact, ...], drifts: Sequence[Drift]
) -> tuple[Fact, ...]:
    """Return the facts that repair: of a subscription that is new also a sync.

    It ends one that was made twice.
    """
    is_new = any(it.kind is DriftKind.SUBSCRIPTION_UNKNOWN for it in drifts)
    if suspect.job is None or not is_new:
        return facts
    return (*facts, SyncNeeded(suspect.job, "found by a reconciliation"))
