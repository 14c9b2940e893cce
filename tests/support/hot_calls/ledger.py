"""Loads and saves of the ledger."""

import attrs

from contracts.examples import (
    APPLIED,
    NOON,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    an_intent,
)
from contracts.stores import SAVED, beside, moved, opened
from payments_adapters.postgres.ledger import PostgresLedger
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ChangeByHand
from payments_core.changes import Changes, JobFinish, Lookup, SaveResult
from payments_core.entitlement import PaymentSummary, PrepaidMonths
from payments_core.events import EventKey
from payments_core.identity import CustomerId, Email
from payments_core.intent import IntentId
from payments_core.linking import FormerKey, KeyKind, LinkKeys
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.subscription import Subscription
from support.hot_calls.adapters import (
    BY,
    HELD,
    OF_HEAVY,
    OF_LIGHT,
    PAGE,
    THEIR_CUSTOMER,
    THEIR_EMAIL,
    World,
)
from support.hot_calls.work import claimed_job
from support.many_rows import HEAVY
from support.postgres_stores import TOMBSTONES


async def load_all(it: World) -> None:
    """Load by every key, existing and missing; a page of unlinked things."""
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


async def load_of_heavy(it: World) -> None:
    """As an event of the latest payment loads it."""
    await it.on.ledger.load(
        Lookup(
            keys=LinkKeys(frozenset({OF_HEAVY})),
            payments=frozenset({PaymentId("ch_heavy_7")}),
            events=frozenset({EventKey("evt_new", "charge.succeeded")}),
        )
    )


async def load_history(it: World) -> None:
    await it.on.ledger.load(
        Lookup(
            keys=LinkKeys(frozenset({OF_LIGHT})),
            histories=frozenset({OF_LIGHT}),
            periods_of=frozenset({"sub_8"}),
        )
    )


async def load_of_former(it: World) -> None:
    """Unlinked payments by a user's former e-mail."""
    email = LinkKeys(frozenset({OF_LIGHT}), email_keys=frozenset({"old11@x.org"}))
    await it.on.ledger.load(Lookup(unlinked=email))


async def load_long_history(it: World) -> None:
    """In sums: each payment of one account is read, a few times."""
    ledger = PostgresLedger(it.store, PAGE, TOMBSTONES)
    await ledger.load(
        Lookup(keys=LinkKeys(frozenset({OF_HEAVY})), histories=frozenset({OF_HEAVY}))
    )


def _mark(it: World, *names: str) -> tuple[str, ...]:
    return tuple(f"{name}{it.mark}" for name in names)


async def save_new(it: World) -> None:
    """A user with everything that they can have; and things without an owner."""
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


async def save_again(it: World) -> None:
    """All of it once more: loaded, and changed since."""
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


async def save_unlinked(it: World) -> None:
    """Unlink what a user owns, and link what has no owner."""
    account, payment, sold = await _of_new(it)
    await it.save(
        beside(
            account,
            payments=(attrs.evolve(payment, user_id=None),),
            subscriptions=(attrs.evolve(sold, user_id=None),),
        )
    )


async def save_late(it: World) -> None:
    """From a stale load; and from a current one."""
    account, _, _ = await _of_new(it)
    late = attrs.evolve(account, version=account.version - 1)
    words = await it.on.save(
        moved(late, attrs.evolve(late, summary=PaymentSummary(prepaid=None))),
        Changes(key="job", jobs=(a_job(f"late{it.mark}"),)),
    )
    assert words == [SaveResult.CHANGED, SAVED]


async def save_event(it: World) -> None:
    """As most webhooks do: a new charge of a user with very many payments."""
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


async def save_finish(it: World) -> None:
    job = await claimed_job(it)
    finish = JobFinish(job, job.finished(), APPLIED, NOON)
    await it.save(Changes(key="a finish", finished=(finish,)))
