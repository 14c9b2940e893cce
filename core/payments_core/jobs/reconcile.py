"""Compare what is stored with the gateway, both ways; report and repair drift.

Rule 1: a sweep reads pages. A process that knows the place of the next page can
        continue another's sweep; a page that is compared twice only costs calls.
Rule 2: nothing is changed unless a repair is requested. A repair records the same facts
        that showed the drift, and compares once more.
Rule 3: what has an open sync job is not drift, until the job is failing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Lookup, Snapshot
from payments_core.drift import Drift, DriftKind, drift_of
from payments_core.errors import (
    AccountNotFound,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayRefused,
)
from payments_core.events import EventState, SyncNeeded
from payments_core.facts import Fact, SourcedFacts
from payments_core.identity import CustomerId, UserId
from payments_core.job import JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs.drift_cause import DELIVERED_WITHIN, DriftCause, FindCause
from payments_core.jobs.fetch import fetch, fetch_named
from payments_core.linking import LinkKeys
from payments_core.object_lists import (
    CreatedBetween,
    ListedCustomer,
    ObjectList,
    ObjectPage,
)
from payments_core.payment import PaymentId
from payments_core.ports import (
    AccountDirectory,
    Checkpoints,
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
    SweepRange,
    missing_of,
    shows_another_card,
    suspects_of,
    suspects_of_customer,
    wanted_of,
)
from payments_core.use_cases.record_facts import RecordFacts

# The most that is read from the database for one page of the gateway.
KEPT_MAX: Final = 1_000
# The lists by customer, in the order in which they are compared.
OF_CUSTOMER: Final = (
    ObjectList.SUBSCRIPTIONS,
    ObjectList.INVOICES,
    ObjectList.PAYMENTS,
)
# Of a user's payments that are not their customer's, how many of the newest are
# compared.
PAYMENTS_MAX: Final = 100
_MISSING: Final[Mapping[JobKind, DriftKind]] = MappingProxyType(
    {
        JobKind.SUBSCRIPTION: DriftKind.SUBSCRIPTION_MISSING,
        JobKind.PAYMENT: DriftKind.PAYMENT_MISSING,
        JobKind.CUSTOMER: DriftKind.CUSTOMER_MISSING,
    }
)


@attrs.frozen(kw_only=True)
class Finding:
    """A drift, its cause, and whether it was repaired."""

    drift: Drift
    cause: DriftCause
    repaired: bool = False


@attrs.frozen(kw_only=True)
class SweptPage:
    """A page that was read; `place` is where the next begins, None at the end."""

    place: SweepPlace | None
    objects: int
    suspects: Sequence[Suspect]


@attrs.frozen
class Reconcile:
    lists: GatewayLists
    gateway: PaymentGateway
    record: RecordFacts
    accounts: AccountDirectory
    jobs: JobDirectory
    events: EventLog
    kept: KeptObjects
    checkpoints: Checkpoints

    @property
    def _causes(self) -> FindCause:
        return FindCause(self.jobs, self.events, self.checkpoints, self.record.clock)

    async def read(self, place: SweepPlace, range_: SweepRange) -> SweptPage:
        """Read one page, and return what must be compared closely.

        Raises:
            GatewayNotAttempted, GatewayOutcomeUnknown: read the same page later.
            GatewayObjectMissing: the object at the place is gone, and no other is
                known.
            StoreUnavailable: the database does not answer.
        """
        created = range_.of(place)
        try:
            page = await self.lists.page(place.list_, created, after=place.after)
        except GatewayObjectMissing:
            again = place.again()
            if again is None:
                raise
            return await self.read(again, range_)
        snapshot = await self.record.snapshot(wanted_of(page))
        suspects = [*suspects_of(page, snapshot)]
        between = place.whole(page, created)
        if place.list_ in KEPT and between is not None:
            kept = await self.kept.made_between(place.list_, between, limit=KEPT_MAX)
            suspects += missing_of(place.list_, kept, place, page)
        if place.list_ is ObjectList.CUSTOMERS:
            suspects += await self._unlisted(page, range_)
        elif place.after is None:
            # The list of customers was read to its end: its last page is not read
            # again.
            await self.kept.forget_listed(range_.until)
        return SweptPage(
            place=place.next(page), objects=len(page.objects), suspects=suspects
        )

    async def _unlisted(
        self, page: ObjectPage, range_: SweepRange
    ) -> Sequence[Suspect]:
        """Return the bound customers that no page lists: deleted ones are missing."""
        customers = [CustomerId(it.id) for it in page.objects]
        await self.kept.note_listed(range_.until, customers)
        if page.after is not None:
            return []
        unlisted = await self.kept.unlisted(range_.until, limit=KEPT_MAX)
        return [*map(_customer, unlisted)]

    async def suspects_of(
        self, user_id: UserId, *, payments_max: int | None = None
    ) -> Sequence[Suspect]:
        """Return what of one user must be compared closely.

        The user's customer, its objects that differ, and the user's stored things that
        are not the customer's (linked by an e-mail, or of a former customer); of such
        payments the newest, `payments_max` or `PAYMENTS_MAX`. If the user has no
        customer, the one that has their e-mail and names them.

        Raises:
            AccountNotFound: there is no such user.
            GatewayNotAttempted, GatewayOutcomeUnknown, StoreUnavailable: retry later.
        """
        account = await self.accounts.find(user_id)
        if account is None:
            raise AccountNotFound(user_id)
        found, listed = list[Suspect](), set[str]()
        customer, names = account.customer_id, None
        if customer is None:
            customer, names = await self._named_customer(account), user_id
        if customer is not None:
            named = attrs.evolve(_customer(customer), names=names)
            if names is not None or await self._differs(account, customer):
                found.append(named)
            try:
                for list_ in OF_CUSTOMER:
                    async for page in self._pages(list_, customer):
                        listed.update(it.id for it in page.objects)
                        snapshot = await self.record.snapshot(wanted_of(page))
                        found += suspects_of_customer(page, snapshot)
            except GatewayObjectMissing:
                # The customer does not exist: it and all its stored objects are
                # suspects.
                if named not in found:
                    found.append(named)
                listed.clear()
        payments = await self._payments(user_id)
        kept = [(JobKind.SUBSCRIPTION, it.gateway_id) for it in account.subscriptions]
        # Listed objects are compared above and do not count here.
        most = PAYMENTS_MAX if payments_max is None else payments_max
        newest = [it for it in payments if it not in listed][:most]
        kept += [(JobKind.PAYMENT, it) for it in newest]
        found += [
            Suspect(subject=id_, job=JobKey(kind, id_))
            for kind, id_ in kept
            if id_ not in listed
        ]
        return found

    async def _named_customer(self, account: PaymentAccount) -> CustomerId | None:
        """Return the unbound customer that names a user without a customer."""
        customer = await self.gateway.customer_of(account.user_id, account.email.text)
        if customer is None or await self.accounts.owner_of_customer(customer):
            return None
        return customer

    async def _differs(self, account: PaymentAccount, customer: CustomerId) -> bool:
        """Say whether a user's customer is a suspect, by the rules of a list."""
        try:
            found = await self.gateway.customer(customer)
        except GatewayNotAttempted:
            raise
        except Exception:  # noqa: BLE001  # the close comparison reports it
            return True
        listed = ListedCustomer(customer, found.metadata_user_id, found.card)
        return found.deleted or shows_another_card(account, listed)

    async def _payments(self, user_id: UserId) -> Sequence[str]:
        """Return the payments of a user that have a date, the newest first."""
        user = frozenset({user_id})
        lookup = Lookup(histories=user, whole_histories=user)
        history = (await self.record.snapshot(lookup)).histories
        dated = [
            (it.payment.created_at, it.payment.id)
            for it in history
            if it.payment.created_at is not None
        ]
        return [id_ for _, id_ in sorted(dated, reverse=True)]

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
        """Compare one thing closely; repair it if `repairs`.

        Raises:
            GatewayNotAttempted, GatewayOutcomeUnknown, AccountBusy, StoreUnavailable:
                retry later.
        """
        if suspect.unreadable is not None:
            return [await self.unreadable(suspect, suspect.unreadable)]
        if await self._is_being_synced(suspect):
            return []
        try:
            return await self._compared(suspect, repairs=repairs)
        except GatewayObjectMissing:
            return await self._missing(suspect)
        except GatewayRefused as error:
            return [await self.unreadable(suspect, str(error))]

    async def _compared(self, suspect: Suspect, *, repairs: bool) -> Sequence[Finding]:
        facts, drifts = await self._drifts(suspect)
        if not drifts:
            return []
        since = min((it.since for it in drifts if it.since is not None), default=None)
        cause = await self._causes(suspect, facts, since)
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
        """Return the fetched facts, and what recording them would change."""
        facts = await self.facts_of(suspect)
        snapshot, decision = await self.record.decided([SourcedFacts(facts=facts)])
        (decided,) = decision.decided
        if decided.failure is not None:
            raise decided.failure
        drifts = drift_of(snapshot, decided.changes) if decided.changes else ()
        outcome = decided.outcome
        is_apart = outcome is not None and outcome.state is EventState.QUARANTINED
        if not drifts and is_apart and not await self._is_closed(suspect.subject):
            drifts = [
                Drift(
                    kind=DriftKind.OWNER_CONFLICT,
                    subject=suspect.subject,
                    user_id=None,
                    ours=None,
                    theirs=outcome.reason if outcome else None,
                )
            ]
        return facts, drifts

    async def facts_of(self, suspect: Suspect) -> tuple[Fact, ...]:
        """Fetch a suspect and return its facts.

        Raises:
            GatewayUnavailable, StoreUnavailable: retry later.
            GatewayObjectMissing, GatewayRefused: the gateway does not have it, or
                refuses the call.
        """
        if suspect.job is None:
            return suspect.facts
        # A load's number is greater than all before, so what is fetched next is newer.
        sequence = (await self.record.snapshot(Lookup())).sequence
        return await self._fetched(suspect, suspect.job, sequence)

    async def _fetched(
        self, suspect: Suspect, job: JobKey, sequence: int
    ) -> tuple[Fact, ...]:
        if suspect.names is None:
            return await fetch(self.gateway, self.accounts, job, sequence)
        customer = CustomerId(suspect.subject)
        return await fetch_named(
            self.gateway, self.accounts, customer, suspect.names, sequence
        )

    async def _is_closed(self, subject: str) -> bool:
        """Say whether every event of a conflict was closed by hand."""
        return await self.events.has_closed(subject) and not any(
            it.outcome.state is EventState.QUARANTINED
            for it in await self.events.open_about(subject)
        )

    async def _is_being_synced(self, suspect: Suspect) -> bool:
        job = await self.jobs.find(suspect.job) if suspect.job else None
        return job is not None and job.state is JobState.OPEN and not job.is_failing

    async def unreadable(self, suspect: Suspect, reason: str) -> Finding:
        """Return the finding that something cannot be compared, and why."""
        return Finding(
            drift=_unreadable(suspect, reason), cause=await self._causes(suspect)
        )

    def failed(self, suspect: Suspect, error: Exception) -> Finding:
        """Return the finding that a bug of ours prevents a comparison."""
        return Finding(
            drift=_unreadable(suspect, f"failed: {type(error).__name__}"),
            cause=DriftCause.OWN_BUG,
        )

    async def _missing(self, suspect: Suspect) -> Sequence[Finding]:
        """Return the finding that something stored does not exist at the gateway.

        There is none if it is not stored, or was unlinked by hand.
        """
        kind = _MISSING.get(suspect.job.kind) if suspect.job else None
        if kind is None or suspect.since is not None or suspect.names is not None:
            # It was listed, and was deleted meanwhile.
            return []
        snapshot = await self.record.snapshot(_of(suspect))
        is_settled = any(it.unlinked_by_hand for it in snapshot.payments) or any(
            it.unlinked_by_hand for it in snapshot.subscriptions
        )
        if is_settled:
            return []
        drift = _kept(snapshot, kind, suspect.subject)
        return [Finding(drift=drift, cause=DriftCause.UNKNOWN)]


def _unreadable(suspect: Suspect, reason: str) -> Drift:
    return Drift(
        kind=DriftKind.UNREADABLE,
        subject=suspect.subject,
        user_id=None,
        ours=None,
        theirs=reason,
    )


def _customer(customer: CustomerId) -> Suspect:
    return Suspect(subject=customer, job=JobKey(JobKind.CUSTOMER, customer))


def _of(suspect: Suspect) -> Lookup:
    return Lookup(
        keys=LinkKeys(customer_ids=frozenset({CustomerId(suspect.subject)})),
        payments=frozenset({PaymentId(suspect.subject)}),
        subscriptions=frozenset({suspect.subject}),
    )


def _kept(snapshot: Snapshot, kind: DriftKind, subject: str) -> Drift:
    """Return the drift of a thing that only exists here."""
    user: UserId | None
    ours: str | None
    since: datetime | None
    if kind is DriftKind.CUSTOMER_MISSING:
        owners = (it for it in snapshot.accounts if it.customer_id == subject)
        owner = next(owners, None)
        user, ours, since = owner.user_id if owner else None, subject, None
    elif kind is DriftKind.PAYMENT_MISSING:
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
    """Return the facts that repair; for a new subscription also a sync job.

    The sync ends a subscription that was created twice.
    """
    is_new = any(it.kind is DriftKind.SUBSCRIPTION_UNKNOWN for it in drifts)
    if suspect.job is None or not is_new:
        return facts
    return (*facts, SyncNeeded(suspect.job, "found by a reconciliation"))
