"""Every call of the Postgres adapters, and how many rows it may read.

From tables that `support.many_rows` has filled.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from contracts.examples import NOON, NOW, a_token
from payments_adapters.postgres import backlog, deployment_mode, erasures
from payments_adapters.postgres.work_queue import CANDIDATES_MAX
from payments_core.changes import Lookup
from payments_core.events import EventKey, EventState
from payments_core.identity import CustomerId
from payments_core.intent import IntentId
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import PaymentId
from support.hot_calls.adapters import (
    EARLY,
    FREE,
    LATE,
    OF_HEAVY,
    OF_LIGHT,
    PAGE,
    SECOND,
    THEIR_CUSTOMER,
    THEIR_EMAIL,
    World,
)
from support.hot_calls.ledger import (
    load_all,
    load_history,
    load_long_history,
    load_of_former,
    load_of_heavy,
    save_again,
    save_event,
    save_finish,
    save_late,
    save_new,
    save_unlinked,
)
from support.hot_calls.pages import (
    audit,
    deliveries,
    events,
    facts,
    jobs,
    kept_objects,
    payments,
    timeline,
    users,
)
from support.hot_calls.purges import count_purged, purge
from support.hot_calls.tokens import (
    poll,
    revocations,
    revoke,
    revoke_all_issued_before,
    revoke_issued_before,
    revoked_until,
)
from support.hot_calls.work import (
    call_budget,
    calls_left,
    claim_loop,
    delivery_key,
    finish_delivery,
    release_delivery,
    released,
    spare_budget,
)
from support.many_rows import COUNT, ENDPOINT
from support.postgres_stores import TOMBSTONES


class Call(NamedTuple):
    """`name` is the class and the method, or the module and the function.

    `planned_anew`: planned each time, for its values.
    """

    name: str
    rows_max: int
    work: Callable[[World], Awaitable[object]]
    planned_anew: bool = False


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
        # A page and one row of each of seven kinds, and an endpoint's position.
        7 * (PAGE + 1) + 3,
        lambda it: it.on.backlog.read(due_by=LATE, endpoints=[ENDPOINT], limit=PAGE),
        planned_anew=True,
    ),
    Call("PostgresCallBudget.left", 1, calls_left),
    Call("PostgresAccountHistory.facts", 1_200, facts, planned_anew=True),
    Call(
        "PostgresAccountHistory.verdict_at",
        2,
        lambda it: it.on.history.verdict_at(OF_HEAVY, NOON),
        planned_anew=True,
    ),
    Call("PostgresLedger.load", 40, load_all),
    Call("PostgresLedger.load", 10, load_of_heavy),
    Call("PostgresLedger.load", 20, load_history),
    Call(
        "PostgresLedger.load",
        3 * COUNT,
        lambda it: it.on.ledger.load(Lookup(unlinked=FREE)),
    ),
    Call("PostgresLedger.load", 20, load_of_former),
    Call("PostgresLedger.load", 5 * COUNT, load_long_history),
    Call("PostgresLedger.save", 40, save_new),
    Call("PostgresLedger.save", 60, save_again),
    Call("PostgresLedger.save", 60, save_unlinked),
    Call("PostgresLedger.save", 40, save_late),
    Call("PostgresLedger.save", 30, save_event),
    Call("PostgresLedger.save", CANDIDATES_MAX + 100, save_finish),
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
    Call("PostgresWorkQueue.release", CANDIDATES_MAX + 100, released),
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
    Call("PostgresJobDirectory.page", 150, jobs),
    Call(
        "PostgresJobDirectory.count_failing",
        60,
        lambda it: it.on.job_list.count_failing(limit=50),
    ),
    Call("PostgresEventLog.page", 400, events),
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
    Call("PostgresPaymentDirectory.page", 50, payments),
    Call("PostgresTimelines.newest", 120, timeline),
    Call("PostgresUserList.page", 12 * 600, users),
    Call("PostgresAuditLog.page", 80, audit),
    Call("PostgresLogGaps.page", 40, lambda it: it.on.gaps.page(None, PAGE)),
    Call("PostgresKeptObjects.made_between", 40, kept_objects),
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
    Call("PostgresDeliveries.finish", 2 * COUNT + 60, finish_delivery),
    Call("PostgresDeliveries.release", 2 * COUNT + 60, release_delivery),
    Call(
        "PostgresDeliveries.replay",
        COUNT + 60,
        lambda it: it.on.deliveries.replay(
            [delivery_key(4), delivery_key(6)], now=NOON
        ),
    ),
    Call(
        "PostgresDeliveries.replayable",
        10,
        lambda it: it.on.delivery_list.replayable([delivery_key(8)], now=NOON),
    ),
    Call(
        "PostgresDeliveries.find",
        1,
        lambda it: it.on.delivery_list.find(delivery_key(8)),
    ),
    Call("PostgresDeliveries.page", 200, deliveries),
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
    Call("PostgresTokens.invalidate", 8, revoke),
    Call("PostgresTokens.revoke_issued_before", 12, revoke_issued_before),
    Call("PostgresTokens.revoke_all_issued_before", 12, revoke_all_issued_before),
    Call("PostgresRevocationLog.poll", 40, lambda it: poll(it, after=0)),
    Call("PostgresRevocationLog.poll", 40, lambda it: poll(it, after=COUNT)),
    Call("PostgresRevocationLog.is_heard", 8, lambda it: it.on.revocations.is_heard(1)),
    Call("PostgresRevocationLog.leave", 8, lambda it: it.on.revocations.leave(it.mark)),
    Call(
        "PostgresIntentDirectory.declines_of",
        PAGE,
        lambda it: it.on.intents.declines_of(OF_HEAVY, after=EARLY, limit=PAGE),
    ),
    Call("PostgresTokens.revoked_until", 8, revoked_until),
    Call("PostgresTokens.page", 30, revocations),
    Call("PostgresCheckpoints.find", 20, claim_loop),
    Call("PostgresCheckpoints.claim", 20, claim_loop),
    Call("PostgresCheckpoints.save", 20, claim_loop),
    Call("PostgresCallBudget.take", 20, call_budget),
    Call("PostgresCallBudget.take_spare", 20, spare_budget),
    Call("PostgresPurgeStore.purge", 400, purge),
    Call("PostgresPurgeStore.count", 150, count_purged),
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
