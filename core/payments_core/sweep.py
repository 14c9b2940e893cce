"""Find the objects of a gateway's list that must be compared closely.

Rule 1: a list is cheap and says less than an object: what differs is a suspect, and
        drift only after it was fetched by itself. A false suspect costs a call.
Rule 2: a list is read from the newest to the oldest object. A stored object that was
        created between the ends of two pages and is on neither page is a suspect too.
Rule 3: many objects may be created in one second. Stored objects of the last second of
        a page are compared with the next page, which may continue that second.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Lookup, Snapshot
from payments_core.erasure import is_pseudonym
from payments_core.facts import Fact, PeriodPaid
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import LinkKeys
from payments_core.object_lists import (
    CreatedBetween,
    Listed,
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
    ObjectPage,
)
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentRecord
from payments_core.subscription import (
    PaidPeriod,
    Subscription,
    newest_own_card,
)

LISTS: Final = tuple(ObjectList)
# The lists whose objects we store with their creation time: missing ones are found.
KEPT: Final[Mapping[ObjectList, JobKind]] = MappingProxyType(
    {
        ObjectList.SUBSCRIPTIONS: JobKind.SUBSCRIPTION,
        ObjectList.PAYMENTS: JobKind.PAYMENT,
    }
)
# The lists that are read whole, with objects of any age. Disputes are few, and may be
# decided long after their creation.
WHOLE: Final = frozenset(
    {ObjectList.CUSTOMERS, ObjectList.SUBSCRIPTIONS, ObjectList.DISPUTES}
)
# A sweep that takes longer is given up.
GIVEN_UP_AFTER: Final = timedelta(days=7)
# With more objects in one second, missing ones are not searched.
EDGE_MAX: Final = 1_000
_SECOND: Final = timedelta(seconds=1)


@attrs.frozen(kw_only=True)
class SweepPlace:
    """How far a sweep is: the list, the place in it, and the end of the last page.

    `edge` is the oldest second read of the list, `edge_ids` are its objects. `before`
    is where the list is started again because the object at its place was gone.
    """

    list_: ObjectList = LISTS[0]
    after: str | None = None
    edge: datetime | None = None
    edge_ids: tuple[str, ...] = ()
    before: datetime | None = None

    def again(self) -> "SweepPlace | None":
        """Return where to continue if the object that the page begins after is gone.

        That second is read once more. None: there is no other place.
        """
        if self.after is None or self.edge is None:
            return None
        return attrs.evolve(self, after=None, before=self.edge + _SECOND)

    def next(self, page: ObjectPage) -> "SweepPlace | None":
        """Return the place after a page; None after the last one of all."""
        if page.after is None:
            number = LISTS.index(self.list_) + 1
            return SweepPlace(list_=LISTS[number]) if number < len(LISTS) else None
        oldest = min((it.created_at for it in page.objects), default=self.edge)
        ids = [it.id for it in page.objects if it.created_at == oldest]
        if oldest == self.edge:
            ids += self.edge_ids
        return attrs.evolve(
            self, after=page.after, edge=oldest, edge_ids=tuple(ids[:EDGE_MAX])
        )

    def whole(self, page: ObjectPage, created: CreatedBetween) -> CreatedBetween | None:
        """Return the seconds that are complete with this page, and were not before.

        None: there are none, or one second has too many objects to tell.
        """
        end = created.end if self.edge is None else self.edge + _SECOND
        if self.edge is not None and len(self.edge_ids) >= EDGE_MAX:
            end = self.edge
        start = created.start
        if page.after is not None:
            # The next page may continue the oldest second.
            oldest = min((it.created_at for it in page.objects), default=end)
            start = oldest + _SECOND
        if start is not None and start >= end:
            return None
        return CreatedBetween(start=start, end=end)


@attrs.frozen(kw_only=True)
class SweepRange:
    """What a sweep compares: the whole lists (`WHOLE`), and others from `since` on.

    Nothing created after `until`: its events may be on their way.
    """

    since: datetime | None
    until: datetime

    def of(self, place: SweepPlace) -> CreatedBetween:
        """Return the range of creation times to list, from this place on."""
        since = None if place.list_ in WHOLE else self.since
        return CreatedBetween(start=since, end=place.before or self.until)


@attrs.frozen(kw_only=True)
class Suspect:
    """An object to be compared closely.

    It is fetched as by its sync `job`, or `facts` are already complete. `unreadable`
    says why neither is possible. `since` is its creation time at the gateway. `names`
    is a user without a customer whom this customer names.
    """

    subject: str
    job: JobKey | None = None
    facts: tuple[Fact, ...] = ()
    names: UserId | None = None
    unreadable: str | None = None
    since: datetime | None = None


def wanted_of(page: ObjectPage) -> Lookup:
    """Return the lookup that is needed to compare a page."""
    lookup = Lookup()
    for listed in page.objects:
        lookup |= _wanted(listed.it)
    return lookup


def _wanted(it: Listed) -> Lookup:
    match it:
        case ListedCustomer():
            named = it.metadata_user_id
            users = LinkKeys(frozenset({UserId(named)} if named else ()))
            return Lookup(keys=_keys(it.customer_id) | users)
        case ListedSubscription():
            id_ = frozenset({it.report.gateway_id})
            keys = _keys(it.report.customer_id)
            return Lookup(subscriptions=id_, periods_of=id_, keys=keys)
        case ListedInvoice():
            ids = frozenset(period.gateway_id for period in it.paid_periods)
            return Lookup(subscriptions=ids, periods_of=ids)
        case ListedPayment():
            keys = _keys(it.payment.customer_id)
            return Lookup(payments=frozenset({it.payment.id}), keys=keys)
        case ListedDispute():
            return Lookup(payments=frozenset({it.payment_id}))
        case ListedUnreadable():
            return Lookup()


def _keys(customer: CustomerId | None) -> LinkKeys:
    return LinkKeys(customer_ids=frozenset({customer} if customer else ()))


def suspects_of(page: ObjectPage, snapshot: Snapshot) -> Sequence[Suspect]:
    """Return the objects of a page that differ from what is known, each once."""
    known = _Known.of(snapshot)
    found = [
        it
        for listed in page.objects
        if not known.is_erased(listed.it)
        for it in known.suspects(listed)
    ]
    # If several customers name one user, the newest counts: it is listed first.
    newest = {it.names: it.subject for it in reversed(found) if it.names is not None}
    suspects = {(it.subject, it.job): it for it in found}.values()
    return [it for it in suspects if it.names is None or newest[it.names] == it.subject]


def missing_of(
    list_: ObjectList, kept: Collection[str], place: SweepPlace, page: ObjectPage
) -> Sequence[Suspect]:
    """Return what is stored and was not listed."""
    listed = {it.id for it in page.objects}.union(place.edge_ids)
    kind = KEPT[list_]
    return [
        Suspect(subject=id_, job=JobKey(kind, id_)) for id_ in kept if id_ not in listed
    ]


@attrs.frozen
class _Known:
    subscriptions: Mapping[str, Subscription]
    accounts: Mapping[CustomerId, PaymentAccount]
    users: Mapping[UserId, PaymentAccount]
    payments: Mapping[PaymentId, PaymentRecord]
    periods: Mapping[tuple[str, str], PaidPeriod]
    erased: Mapping[str, datetime]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "_Known":
        accounts = snapshot.accounts
        all_ = [
            *(it for account in accounts for it in account.subscriptions),
            *snapshot.subscriptions,
        ]
        return cls(
            {it.gateway_id: it for it in all_},
            {it.customer_id: it for it in accounts if it.customer_id},
            {it.user_id: it for it in accounts},
            {it.payment.id: it for it in snapshot.payments},
            {(it.gateway_id, it.invoice_id): it for it in snapshot.periods},
            snapshot.erased,
        )

    def is_erased(self, it: Listed) -> bool:
        """Say whether it belongs to an erased customer: it is ignored."""
        customers = _wanted(it).keys.customer_ids if self.erased else ()
        return any(f"customer {customer}" in self.erased for customer in customers)

    def suspects(self, listed: ListedObject) -> Iterator[Suspect]:
        it, since = listed.it, listed.created_at
        job = None
        match it:
            case ListedUnreadable():
                yield Suspect(subject=listed.id, unreadable=it.reason, since=since)
            case ListedCustomer():
                yield from self._of_customer(it, since)
            case ListedSubscription():
                if self._differs(it):
                    job = JobKey(JobKind.SUBSCRIPTION, it.report.gateway_id)
                # The card may differ alone, or also.
                if self._shows_otherwise(it):
                    customer = JobKey(JobKind.CUSTOMER, it.report.customer_id)
                    yield Suspect(subject=customer.subject, job=customer, since=since)
            case ListedInvoice():
                yield from self._unpaid(it, since)
            case ListedPayment() if self._is_otherwise(it.payment):
                job = JobKey(JobKind.PAYMENT, it.payment.id)
            case ListedDispute() if self._disputed_otherwise(it):
                job = JobKey(JobKind.PAYMENT, it.payment_id)
            case _:
                pass
        if job is not None:
            yield Suspect(subject=job.subject, job=job, since=since)

    def _of_customer(self, it: ListedCustomer, since: datetime) -> Iterator[Suspect]:
        job = JobKey(JobKind.CUSTOMER, it.customer_id)
        suspect = Suspect(subject=job.subject, job=job, since=since)
        account = self.accounts.get(it.customer_id)
        if account is not None and shows_another_card(account, it):
            yield suspect
        elif user := self._named_without_customer(it):
            yield attrs.evolve(suspect, names=user)

    def _named_without_customer(self, it: ListedCustomer) -> UserId | None:
        """Return the user without a customer whom an unbound customer names."""
        account = self.users.get(UserId(it.metadata_user_id or ""))
        if account is None or account.customer_id is not None:
            return None
        is_free = it.customer_id not in self.accounts
        return (
            account.user_id if is_free and not is_pseudonym(account.user_id) else None
        )

    def _differs(self, it: ListedSubscription) -> bool:
        known = self.subscriptions.get(it.report.gateway_id)
        if known is None or self._lacks_user(known, it.report.customer_id):
            return True
        # An ended subscription no longer changes.
        is_other = it.report.of_own_item(known.report) != known.report
        return (is_other and not known.is_terminal) or any(
            self._is_new(period, known) for period in it.paid_periods
        )

    def _shows_otherwise(self, it: ListedSubscription) -> bool:
        """Say whether its pinned card is the shown card with other details."""
        account = self.accounts.get(it.report.customer_id)
        shown, own = account.card if account else None, it.own_card
        return (
            shown is not None
            and own is not None
            and (shown.id == own.id and shown != own)
        )

    def _unpaid(self, it: ListedInvoice, since: datetime) -> Iterator[Suspect]:
        for period in it.paid_periods:
            known = self.subscriptions.get(period.gateway_id)
            # A subscription that is not known is a suspect of its own list.
            if known is not None and self._is_new(period, known):
                facts = (PeriodPaid(period),)
                yield Suspect(subject=period.invoice_id, facts=facts, since=since)

    def _is_new(self, period: PaidPeriod, known: Subscription) -> bool:
        if period.item_id not in {None, known.report.item_id}:
            return False
        kept = self.periods.get((period.gateway_id, period.invoice_id))
        if kept is None:
            return True
        # The amount is not part of the comparison of periods.
        paid = kept.amount_paid_minor, period.amount_paid_minor
        return kept != period or paid[0] != paid[1]

    def _is_otherwise(self, listed: Payment) -> bool:
        known = self.payments.get(listed.id)
        if known is None or self._lacks_user(known, listed.customer_id):
            return True
        return _told(known.payment) != _told(listed)

    def _lacks_user(
        self, known: Subscription | PaymentRecord, customer: CustomerId | None
    ) -> bool:
        is_free = known.user_id is None and not known.linked_by_hand
        return is_free and customer in self.accounts

    def _disputed_otherwise(self, it: ListedDispute) -> bool:
        known = self.payments.get(it.payment_id)
        # Each of several disputes is listed: the fetched payment says which one
        # decides.
        return known is None or known.payment.dispute is not it.state


def shows_another_card(account: PaymentAccount, it: ListedCustomer) -> bool:
    """Say whether an account shows another card than its customer has.

    Only known subscriptions count: one that is unknown or differs is a suspect itself,
    and its card follows.
    """
    reports = (sub.report for sub in account.subscriptions)
    own = newest_own_card(
        report for report in reports if report.customer_id == it.customer_id
    )
    if own is None or (it.card is not None and it.card.id == own):
        return account.card != it.card
    # The list only has the default card.
    return account.card is None or account.card.id != own


def suspects_of_customer(page: ObjectPage, snapshot: Snapshot) -> Sequence[Suspect]:
    """Return what of a customer's page must be compared.

    Disputes cannot be listed by customer: a disputed payment is a suspect.
    """
    disputed = [
        Suspect(subject=it.payment.id, job=JobKey(JobKind.PAYMENT, it.payment.id))
        for it in (listed.it for listed in page.objects)
        if isinstance(it, ListedPayment) and it.payment.dispute is not DisputeState.NONE
    ]
    found = [*suspects_of(page, snapshot), *disputed]
    return list({it.subject: it for it in reversed(found)}.values())[::-1]


def _told(payment: Payment) -> tuple[object, ...]:
    """Return what a list says about a payment, without the state of a dispute."""
    is_disputed = payment.dispute is not DisputeState.NONE
    return payment.state, payment.amount, payment.refunded_minor, is_disputed
