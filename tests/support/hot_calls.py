"""Every call of the adapters of Postgres, and how many rows it may read.

Of tables that `support.many_rows` has filled.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import attrs

from contracts.examples import (
    APPLIED,
    NOON,
    NOW,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    a_token,
    an_account,
    an_event,
    an_intent,
)
from contracts.stores import SAVED, Stores, beside, moved, opened
from payments_adapters.postgres import backlog, deployment_mode, erasures
from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.work_queue import CANDIDATES_MAX
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.changes import Changes, JobFinish, Lookup, SaveResult
from payments_core.deliveries import Delivery, DeliveryKey, DeliveryQuery, SendResult
from payments_core.entitlement import PaymentStatus, PaymentSummary, PrepaidMonths
from payments_core.events import EventKey, EventState, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import IntentId
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import FormerKey, KeyKind, LinkKeys
from payments_core.object_lists import CreatedBetween, ObjectList
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPlace
from payments_core.retention import PurgeKind
from payments_core.revocations import RevocationQuery
from payments_core.subscription import Subscription
from payments_core.timeline import place_of
from payments_core.tokens import TokenRevocation, UserTokenRevocation
from payments_core.user_list import UserFilter
from support.many_rows import COUNT, ENDPOINT, HEAVY, LIGHT
from support.postgres_stores import TOMBSTONES

PAGE: Final = 10
OF_HEAVY, OF_LIGHT = UserId(HEAVY), UserId(LIGHT)
THEIR_EMAIL: Final = Email.of("a7@x.org")
THEIR_CUSTOMER: Final = CustomerId("cus_7")
FREE: Final = LinkKeys(
    frozenset({UserId("free")}),
    frozenset({CustomerId("cus_free")}),
    frozenset({"free@x.org"}),
)
SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
# Before all that there is, so that nothing that is needed goes; and after it.
EARLY, LATE = NOON - timedelta(days=365), NOON + timedelta(days=365)
BY: Final = ByHand(by="operator", reason="")
HELD: Final = Outcome(EventState.PENDING, "waits", JobKey(JobKind.PAYMENT, "ch_x_7"))


@attrs.frozen
class World:
    """All adapters over one store; `mark` is in the name of what a walk makes."""

    store: PostgresStore
    on: Stores
    mark: str

    @property
    def user(self) -> UserId:
        return UserId(f"new{self.mark}")

    async def save(self, *groups: Changes) -> None:
        assert await self.on.save(*groups) == [SAVED] * len(groups)


class Call(NamedTuple):
    """`name` is the class and the method, or the module and the function.

    `planned_anew`: each time for its values.
    """

    name: str
    rows_max: int
    work: Callable[[World], Awaitable[object]]
    planned_anew: bool = False


# What a load and a save come to


async def _load_all(it: World) -> None:
    """Load by every key, what is there and what is not; of unlinked things a page."""
    await it.on.ledger.load(
        Lookup(
            keys=LinkKeys(
                frozenset({OF_LIGHT}),
                frozenset({THEIR_CUSTOMER}),
                frozenset({THEIR_EMAIL.key, "old7@x.org"}),
            ),
            payments=frozenset({PaymentId("ch_heavy_7"), PaymentId("ch_none")}),
            subscriptions=frozenset({"sub_7"}),
            events=frozenset({EventKey("evt_7", "charge.succeeded")}),
            periods_of=frozenset({"sub_7"}),
            link_keys=LinkKeys(frozenset({OF_LIGHT})),
            intents=frozenset({IntentId("int_7")}),
            idempotency_keys=frozenset({"key 8"}),
            open_intents=frozenset({OF_LIGHT}),
        )
    )


async def _load_of_heavy(it: World) -> None:
    """As an event of a payment has it that is the latest one."""
    await it.on.ledger.load(
        Lookup(
            keys=LinkKeys(frozenset({OF_HEAVY})),
            payments=frozenset({PaymentId("ch_heavy_7")}),
            events=frozenset({EventKey("evt_new", "charge.succeeded")}),
        )
    )


async def _load_history(it: World) -> None:
    await it.on.ledger.load(
        Lookup(
            keys=LinkKeys(frozenset({OF_LIGHT})),
            histories=frozenset({OF_LIGHT}),
            periods_of=frozenset({"sub_8"}),
        )
    )


async def _load_of_former(it: World) -> None:
    """Unlinked payments by an e-mail that somebody had before."""
    email = LinkKeys(frozenset({OF_LIGHT}), email_keys=frozenset({"old11@x.org"}))
    await it.on.ledger.load(Lookup(unlinked=email))


async def _load_long_history(it: World) -> None:
    """In sums: each payment of one account is read, a few times over."""
    ledger = PostgresLedger(it.store, PAGE, TOMBSTONES)
    await ledger.load(
        Lookup(keys=LinkKeys(frozenset({OF_HEAVY})), histories=frozenset({OF_HEAVY}))
    )


def _mark(it: World, *names: str) -> tuple[str, ...]:
    return tuple(f"{name}{it.mark}" for name in names)


async def _save_new(it: World) -> None:
    """A user, with all that can come with one; and what has no owner."""
    account = an_account(it.user, customer=CustomerId(f"cus_new{it.mark}"))
    payment, sold, event, intent, free = _mark(it, "ch", "sub", "evt", "int", "chf")
    await it.save(
        opened(
            account,
            link_versions={f"user {it.user}": 0},
            former_keys=(
                FormerKey(
                    kind=KeyKind.EMAIL,
                    key=f"{payment}@x.org",
                    user_id=it.user,
                    since=None,
                    until=NOON,
                ),
            ),
            by_hand=(
                ChangeByHand(
                    action=ActionByHand.LINK_PAYMENT,
                    subject=payment,
                    user_id=it.user,
                    decided=BY,
                ),
            ),
            payments=(
                a_record(
                    attrs.evolve(
                        a_payment(payment),
                        invoice_id=f"in_{payment}",
                        invoice_known=True,
                    ),
                    owner=it.user,
                ),
            ),
            subscriptions=(a_subscription(a_report(sold), owner=it.user),),
            periods=(a_term(sold),),
            events=(
                (an_event(event), APPLIED),
                (an_event(f"{event}w", a_payment(payment)), HELD),
            ),
            jobs=(a_job(sold),),
            intents=(an_intent(intent, user=it.user),),
        ),
        Changes(key="free", payments=(a_record(a_payment(free)),)),
    )


async def _of_new(
    it: World,
) -> tuple[PaymentAccount, PaymentRecord, Subscription]:
    payment, sold = _mark(it, "ch", "sub")
    return (
        await it.on.account(it.user),
        await it.on.payment(payment),
        await it.on.subscription(sold),
    )


async def _save_again(it: World) -> None:
    """All of it once more: it was loaded, and is otherwise by now."""
    event, intent = _mark(it, "evt", "int")
    account, payment, sold = await _of_new(it)
    after = attrs.evolve(
        account.renamed(Email.of(f"{event}@x.org"), at=NOON),
        summary=PaymentSummary(prepaid=PrepaidMonths(NOON, 1)),
    )
    await it.save(
        moved(
            account,
            after,
            link_versions={f"user {it.user}": 1},
            payments=(payment,),
            subscriptions=(sold,),
            resolved=((EventKey(f"{event}w", "charge.succeeded"), APPLIED),),
            intents=(await it.on.intent(intent),),
        )
    )


async def _save_unlinked(it: World) -> None:
    """What was a user's is nobody's from now on, and the other way round."""
    account, payment, sold = await _of_new(it)
    await it.save(
        beside(
            account,
            payments=(attrs.evolve(payment, user_id=None),),
            subscriptions=(attrs.evolve(sold, user_id=None),),
        )
    )


async def _save_late(it: World) -> None:
    """By who has not seen what was saved meanwhile; beside who has."""
    account, _, _ = await _of_new(it)
    late = attrs.evolve(account, version=account.version - 1)
    words = await it.on.save(
        moved(late, attrs.evolve(late, summary=PaymentSummary(prepaid=None))),
        Changes(key="job", jobs=(a_job(f"late{it.mark}"),)),
    )
    assert words == [SaveResult.CHANGED, SAVED]


async def _save_event(it: World) -> None:
    """As most webhooks do: a new charge of somebody who has very many."""
    account = await it.on.account(OF_HEAVY)
    (id_,) = _mark(it, "ch_of_heavy")
    after = attrs.evolve(
        account, summary=PaymentSummary(prepaid=PrepaidMonths(NOON, 1))
    )
    await it.save(
        moved(
            account,
            after,
            payments=(a_record(a_payment(id_), owner=HEAVY),),
            events=((an_event(f"evt_{id_}", a_payment(id_)), APPLIED),),
        )
    )


async def _save_finish(it: World) -> None:
    job = await _claimed(it)
    finish = JobFinish(job, job.finished(), APPLIED, NOON)
    await it.save(Changes(key="a finish", finished=(finish,)))


# Work


async def _claimed(it: World) -> Job:
    claimed = await it.on.queue.claim(now=NOON, limit=PAGE)
    return next(one.work for one in claimed if isinstance(one.work, Job))


async def _released(it: World) -> None:
    job = await _claimed(it)
    await it.on.queue.release(job, job.released(NOON))


async def _sent(it: World) -> Sequence[Delivery]:
    return await it.on.deliveries.claim(ENDPOINT, now=NOON, limit=2)


async def _finish_delivery(it: World) -> None:
    for one in await _sent(it):
        assert await it.on.deliveries.finish(one)


async def _release_delivery(it: World) -> None:
    failed = SendResult(is_delivered=False, reason="503")
    for one in await _sent(it):
        assert await it.on.deliveries.release(one, one.failed(NOON, failed, 0.5))


async def _checkpoint(it: World) -> None:
    name = f"loop{it.mark}"
    await it.on.loops.find(name)
    if claimed := await it.on.loops.claim(name, now=NOON, lease=HOUR):
        assert await it.on.loops.save(attrs.evolve(claimed, position="1"))


# Pages


async def _payments(it: World) -> None:
    first = await it.on.payments.page(OF_HEAVY, limit=PAGE)
    assert first.after
    await it.on.payments.page(OF_HEAVY, limit=PAGE, after=first.after)
    untimed = PaymentPlace(None, PaymentId("ch_heavy_7"))
    await it.on.payments.page(OF_HEAVY, limit=PAGE, after=untimed)


async def _timeline(it: World) -> None:
    found = await it.on.timelines.newest(OF_HEAVY, limit=PAGE)
    before = place_of(found[-1])
    await it.on.timelines.newest(OF_HEAVY, limit=PAGE, before=before)


async def _users(it: World) -> None:
    for wanted in (
        UserFilter(),
        UserFilter(status=PaymentStatus.FAILED),
        UserFilter(product="prod"),
        UserFilter(text="u1"),
        UserFilter(email=THEIR_EMAIL),
        UserFilter(customer_id=THEIR_CUSTOMER),
    ):
        first = await it.on.user_list.page(wanted, limit=PAGE)
        await it.on.user_list.page(wanted, limit=PAGE, after=first.after)


async def _audit(it: World) -> None:
    first = await it.on.audit.page(limit=PAGE)
    await it.on.audit.page(limit=PAGE, after=first.after)
    await it.on.audit.page(user_id=OF_HEAVY, limit=PAGE)
    await it.on.audit.page(subject="s", since=EARLY, limit=PAGE)
    await it.on.audit.page(action=ActionByHand.RETRY_JOB, limit=PAGE)


async def _events(it: World) -> None:
    for state in (None, EventState.PENDING, EventState.QUARANTINED):
        first = await it.on.events.page(state=state, limit=PAGE)
        await it.on.events.page(state=state, limit=PAGE, after=first.after)
        await it.on.events.page(state=state, since=NOON, limit=PAGE)


async def _jobs(it: World) -> None:
    for failing in (True, False):
        first = await it.on.job_list.page(failing=failing, limit=PAGE)
        await it.on.job_list.page(failing=failing, limit=PAGE, after=first.after)
        kind = JobKind.CUSTOMER
        await it.on.job_list.page(failing=failing, kind=kind, since=EARLY, limit=PAGE)


async def _deliveries(it: World) -> None:
    for dead in (True, False):
        wanted = DeliveryQuery(endpoint=ENDPOINT, dead=dead)
        first = await it.on.delivery_list.page(wanted, limit=PAGE)
        await it.on.delivery_list.page(wanted, limit=PAGE, after=first.after)
        await it.on.delivery_list.page(DeliveryQuery(dead=dead), limit=PAGE)


async def _facts(it: World) -> None:
    account = await it.on.accounts.find(OF_HEAVY)
    assert account
    await it.on.history.facts(account)


async def _made(it: World) -> None:
    created = CreatedBetween(start=EARLY, end=LATE)
    for list_ in (ObjectList.PAYMENTS, ObjectList.SUBSCRIPTIONS):
        await it.on.kept.made_between(list_, created, limit=PAGE)


# Tokens, retention, and the rest


async def _revoke(it: World) -> None:
    await it.on.tokens.invalidate(
        TokenRevocation(
            issuer="https://users.example",
            jti=f"jti{it.mark}",
            expires_at=LATE,
            invalidated_at=NOON,
        )
    )


async def _cut_off(it: World) -> None:
    # One who is there, one who is new, and what was known already.
    for user in (OF_LIGHT, it.user, it.user):
        revocation = UserTokenRevocation(user_id=user, at=LATE)
        await it.on.tokens.revoke_issued_before(revocation)


async def _cut_off_all(it: World) -> None:
    # Each walk's is later than that of the walk before.
    at = EARLY - SECOND * len(it.mark)
    for _ in range(2):
        await it.on.tokens.revoke_all_issued_before(at)


async def _revoked_until(it: World) -> None:
    for user in (it.user, None):
        await it.on.tokens.revoked_until(user)


async def _revocations(it: World) -> None:
    first = await it.on.tokens.page(limit=PAGE)
    await it.on.tokens.page(limit=PAGE, after=first.after)


async def _poll(it: World, *, after: int) -> None:
    await it.on.revocations.poll(
        RevocationQuery(
            process_id=it.mark,
            heard=0,
            mark=None,
            after=after,
            limit=PAGE,
            expires_from=EARLY,
            issued_from=NOON - timedelta(days=10_000),
        )
    )


async def _purge(it: World) -> None:
    for kind in PurgeKind:
        if kind is not PurgeKind.BODY_DAYS:
            await it.on.purges.purge(kind, LATE, limit=PAGE)
            await it.on.purges.purge(kind, EARLY, limit=PAGE)


async def _purged(it: World) -> None:
    for kind in PurgeKind:
        await it.on.purges.count(kind, LATE, limit=PAGE)


async def _budget(it: World) -> None:
    await PostgresCallBudget(it.store).take("endpoint", per_s=1, now=NOON)


async def _spare_budget(it: World) -> None:
    await PostgresCallBudget(it.store).take_spare("endpoint", per_s=1, now=NOON)


async def _calls_left(it: World) -> None:
    await PostgresCallBudget(it.store).left(per_s=1, now=NOON)


def _key(position: int) -> DeliveryKey:
    return DeliveryKey(ENDPOINT, position)


CALLS: Final[Sequence[Call]] = (
    Call("PostgresDirectory.find", 4, lambda it: it.on.accounts.find(OF_LIGHT)),
    Call("PostgresDirectory.find", 4, lambda it: it.on.accounts.find(THEIR_EMAIL)),
    Call(
        "PostgresDirectory.owner_of_customer",
        2,
        lambda it: it.on.accounts.owner_of_customer(THEIR_CUSTOMER),
    ),
    Call(
        "PostgresDirectory.version_of",
        2,
        lambda it: it.on.accounts.version_of(OF_LIGHT),
    ),
    Call(
        "PostgresDirectory.version_of",
        2,
        lambda it: it.on.accounts.version_of(THEIR_EMAIL),
    ),
    Call(
        "PostgresBacklog.read",
        # A page and one of each of seven kinds, and an endpoint's position.
        7 * (PAGE + 1) + 3,
        lambda it: it.on.backlog.read(due_by=LATE, endpoints=[ENDPOINT], limit=PAGE),
        planned_anew=True,
    ),
    Call("PostgresCallBudget.left", 1, _calls_left),
    Call("PostgresAccountHistory.facts", 1_200, _facts, planned_anew=True),
    Call(
        "PostgresAccountHistory.verdict_at",
        2,
        lambda it: it.on.history.verdict_at(OF_HEAVY, NOON),
        planned_anew=True,
    ),
    Call("PostgresLedger.load", 40, _load_all),
    Call("PostgresLedger.load", 10, _load_of_heavy),
    Call("PostgresLedger.load", 20, _load_history),
    Call(
        "PostgresLedger.load",
        3 * COUNT,
        lambda it: it.on.ledger.load(Lookup(unlinked=FREE)),
    ),
    Call("PostgresLedger.load", 20, _load_of_former),
    Call("PostgresLedger.load", 5 * COUNT, _load_long_history),
    Call("PostgresLedger.save", 40, _save_new),
    Call("PostgresLedger.save", 60, _save_again),
    Call("PostgresLedger.save", 60, _save_unlinked),
    Call("PostgresLedger.save", 40, _save_late),
    Call("PostgresLedger.save", 30, _save_event),
    Call("PostgresLedger.save", CANDIDATES_MAX + 100, _save_finish),
    Call(
        "PostgresWorkQueue.claim",
        CANDIDATES_MAX + 100,
        lambda it: it.on.queue.claim(now=NOON, limit=PAGE),
    ),
    Call(
        "PostgresWorkQueue.claim",
        CANDIDATES_MAX + 100,
        lambda it: it.on.queue.claim(now=LATE, limit=PAGE),
    ),
    Call("PostgresWorkQueue.release", CANDIDATES_MAX + 100, _released),
    Call(
        "PostgresWorkQueue.request_overdue",
        50,
        lambda it: it.on.queue.request_overdue(now=NOW, limit=PAGE),
    ),
    Call(
        "PostgresWorkQueue.request_ended",
        50,
        lambda it: it.on.queue.request_ended(now=NOW, limit=PAGE),
    ),
    Call(
        "PostgresIntentDirectory.find",
        2,
        lambda it: it.on.intents.find(IntentId("int_7")),
    ),
    Call(
        "PostgresJobDirectory.find",
        1,
        lambda it: it.on.job_list.find(JobKey(JobKind.PAYMENT, "ch_x_7")),
    ),
    Call("PostgresJobDirectory.page", 150, _jobs),
    Call(
        "PostgresJobDirectory.count_failing",
        60,
        lambda it: it.on.job_list.count_failing(limit=50),
    ),
    Call("PostgresEventLog.page", 400, _events),
    Call("PostgresEventLog.find", 6, lambda it: it.on.events.find("evt_7")),
    Call(
        "PostgresEventLog.with_bodies",
        6,
        lambda it: it.on.events.with_bodies([EventKey("evt_7", "charge.succeeded")]),
    ),
    Call(
        "PostgresEventLog.count",
        50,
        lambda it: it.on.events.count(EventState.PENDING, limit=50),
    ),
    Call(
        "PostgresEventLog.known",
        3,
        lambda it: it.on.events.known(frozenset({"evt_7", "x"})),
    ),
    Call(
        "PostgresEventLog.open_about", 4, lambda it: it.on.events.open_about("ch_x_7")
    ),
    Call(
        "PostgresEventLog.has_closed", 2, lambda it: it.on.events.has_closed("ch_z_7")
    ),
    Call(
        "PostgresEventLog.received_between",
        10,
        lambda it: it.on.events.received_between(EARLY, LATE),
    ),
    Call(
        "PostgresPaymentDirectory.find",
        1,
        lambda it: it.on.payments.find(PaymentId("ch_7")),
    ),
    Call("PostgresPaymentDirectory.page", 50, _payments),
    Call("PostgresTimelines.newest", 120, _timeline),
    Call("PostgresUserList.page", 12 * 600, _users),
    Call("PostgresAuditLog.page", 80, _audit),
    Call("PostgresLogGaps.page", 40, lambda it: it.on.gaps.page(None, PAGE)),
    Call("PostgresKeptObjects.made_between", 40, _made),
    Call(
        "PostgresKeptObjects.note_listed",
        10,
        lambda it: it.on.kept.note_listed(NOON + SECOND, [CustomerId("cus_new")]),
    ),
    Call("PostgresFeedSequencer.give", 200, lambda it: it.on.sequencer.give(PAGE)),
    Call("PostgresFeedReader.page", 50, lambda it: it.on.feed.page(COUNT, PAGE)),
    Call(
        "PostgresFeedReader.page",
        2_100,
        lambda it: it.on.feed.page(COUNT, PAGE, latest=True),
    ),
    Call("PostgresFeedReader.last", 1, lambda it: it.on.feed.last()),
    Call(
        "PostgresDeliveries.begin",
        4,
        lambda it: it.on.deliveries.begin(f"new{it.mark}", from_start=True),
    ),
    Call(
        "PostgresDeliveries.take_over",
        COUNT + 60,
        lambda it: it.on.deliveries.take_over(ENDPOINT, now=NOON, limit=PAGE),
    ),
    Call(
        "PostgresDeliveries.claim",
        2 * COUNT + 60,
        lambda it: it.on.deliveries.claim(ENDPOINT, now=NOON, limit=PAGE),
    ),
    Call("PostgresDeliveries.finish", 2 * COUNT + 60, _finish_delivery),
    Call("PostgresDeliveries.release", 2 * COUNT + 60, _release_delivery),
    Call(
        "PostgresDeliveries.replay",
        COUNT + 60,
        lambda it: it.on.deliveries.replay([_key(4), _key(6)], now=NOON),
    ),
    Call(
        "PostgresDeliveries.replayable",
        10,
        lambda it: it.on.delivery_list.replayable([_key(8)], now=NOON),
    ),
    Call("PostgresDeliveries.find", 1, lambda it: it.on.delivery_list.find(_key(8))),
    Call("PostgresDeliveries.page", 200, _deliveries),
    Call(
        "PostgresDeliveries.passed",
        30,
        lambda it: it.on.delivery_list.passed(ENDPOINT, EARLY, LATE, limit=PAGE),
    ),
    Call(
        "PostgresDeliveries.backlogs",
        3 * COUNT,
        lambda it: it.on.delivery_list.backlogs(),
    ),
    Call(
        "PostgresTokens.is_revoked",
        4,
        lambda it: it.on.tokens.is_revoked(a_token("jti_7")),
    ),
    Call("PostgresTokens.invalidate", 8, _revoke),
    Call("PostgresTokens.revoke_issued_before", 12, _cut_off),
    Call("PostgresTokens.revoke_all_issued_before", 12, _cut_off_all),
    Call("PostgresRevocationLog.poll", 40, lambda it: _poll(it, after=0)),
    Call("PostgresRevocationLog.poll", 40, lambda it: _poll(it, after=COUNT)),
    Call("PostgresRevocationLog.is_heard", 8, lambda it: it.on.revocations.is_heard(1)),
    Call("PostgresRevocationLog.leave", 8, lambda it: it.on.revocations.leave(it.mark)),
    Call(
        "PostgresIntentDirectory.declines_of",
        PAGE,
        lambda it: it.on.intents.declines_of(OF_HEAVY, after=EARLY, limit=PAGE),
    ),
    Call("PostgresTokens.revoked_until", 8, _revoked_until),
    Call("PostgresTokens.page", 30, _revocations),
    Call("PostgresCheckpoints.find", 20, _checkpoint),
    Call("PostgresCheckpoints.claim", 20, _checkpoint),
    Call("PostgresCheckpoints.save", 20, _checkpoint),
    Call("PostgresCallBudget.take", 20, _budget),
    Call("PostgresCallBudget.take_spare", 20, _spare_budget),
    Call("PostgresPurgeStore.purge", 400, _purge),
    Call("PostgresPurgeStore.count", 150, _purged),
    Call(
        "PostgresErasures.is_erased", 1, lambda it: it.on.erasures.is_erased(OF_LIGHT)
    ),
    Call("PostgresErasures.is_any", 1, lambda it: it.on.erasures.is_any()),
    Call("PostgresErasures.left", 1, lambda it: it.on.erasures.left(NOON)),
    Call(
        "PostgresErasures.unfinished", 3, lambda it: it.on.erasures.unfinished(OF_LIGHT)
    ),
    Call(
        "erasures.is_erasure_key",
        3,
        lambda it: erasures.is_erasure_key(it.store, TOMBSTONES),
    ),
    Call("PostgresStore.ping", 0, lambda it: it.store.ping()),
    Call(
        "backlog.read_jobs",
        5 * COUNT,
        lambda it: backlog.read_jobs(it.store, due_before=LATE),
    ),
    Call("backlog.read_events", 3 * COUNT, lambda it: backlog.read_events(it.store)),
    Call("backlog.read_clock", 0, lambda it: backlog.read_clock(it.store)),
    Call(
        "deployment_mode.stamped_livemode",
        2,
        lambda it: deployment_mode.stamped_livemode(it.store, livemode=False),
    ),
    Call(
        "deployment_mode.read_livemode",
        2,
        lambda it: deployment_mode.read_livemode(it.store),
    ),
)
