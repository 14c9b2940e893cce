"""What concurrent writers are promised: no lost update, no deadlock, no gap."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from contracts.examples import (
    ADA,
    APPLIED,
    CUS_1,
    NOON,
    SUB_1,
    SUB_2,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    an_event,
    an_intent,
    email_of,
)
from contracts.stores import SAVED, Stores, moved, opened, users
from payments_core.account import PaymentAccount
from payments_core.changes import Changes, SaveResult
from payments_core.entitlement import PaymentSummary
from payments_core.facts import SourcedFacts, SubscriptionObserved, facts_of
from payments_core.identity import Email, UserId
from payments_core.linking import LinkKeys
from payments_core.payment import PaymentId
from payments_core.policy import Policy
from payments_core.use_cases import RecordedState, RecordFacts, RegisterUser

WORKERS_COUNT: Final = 20
# Far beyond any regular run: only a deadlock takes that long.
DEADLOCK_S: Final = 60.0

_T = TypeVar("_T")


async def at_once(work: Callable[[int], Awaitable[_T]]) -> list[_T]:
    """Run `work(0)` to `work(19)` together; fail on a deadlock."""
    async with asyncio.timeout(DEADLOCK_S):
        return await asyncio.gather(*(work(number) for number in range(WORKERS_COUNT)))


def recording(stores: Stores) -> RecordFacts:
    """Return a `RecordFacts` that never gives up: its time does not move."""
    return RecordFacts(
        stores.ledger, lambda: NOON, lambda: NOON, Policy(), monotonic=lambda: 0.0
    )


async def recorded(record: RecordFacts, *sources: SourcedFacts) -> None:
    answers = await record(sources)
    assert {it.state for it in answers} <= {
        RecordedState.SAVED,
        RecordedState.DUPLICATE,
    }


def paying(number: int, **whose: Any) -> SourcedFacts:
    """Return an event's report of a payment that names this owner."""
    return facts_of(an_event(f"evt_{number}", a_payment(f"ch_{number}", **whose)))


class LedgerRacesContract:
    async def test_f20_t78_twenty_writers_of_one_account_lose_no_update(
        self, stores: Stores
    ) -> None:
        """
        Each loads the account and adds one letter, until it is saved.
        """
        await stores.keep(an_account())

        async def write(_: int) -> None:
            while True:
                account = await stores.account(ADA)
                longer = Email.of(f"x{account.email.text}")
                (word,) = await stores.save(
                    moved(account, account.renamed(longer, at=NOON))
                )
                if word is SAVED:
                    return

        await at_once(write)

        account = await stores.account(ADA)
        assert account.email.text.startswith("x" * WORKERS_COUNT + "ada")
        assert account.version == WORKERS_COUNT + 1

    async def test_twenty_who_record_payments_of_one_account_lose_none(
        self, stores: Stores
    ) -> None:
        """
        Each payment buys a month, once, though each event comes twice.
        """
        await stores.keep(an_account())
        record = recording(stores)

        async def bring(number: int) -> None:
            await recorded(record, paying(number // 2, user=ADA))

        await at_once(bring)

        found = await stores.load(histories=frozenset({ADA}))
        account = await stores.account(ADA)
        payments = [it.payment for it in found.histories]
        assert len(payments) == WORKERS_COUNT // 2
        assert account.summary == PaymentSummary.replay(payments)
        assert account.summary.prepaid is not None
        assert account.summary.prepaid.months == WORKERS_COUNT // 2
        assert account.version == WORKERS_COUNT // 2 + 1
        assert len(await stores.account_log()) == account.version

    async def test_of_twenty_who_save_the_same_one_does(self, stores: Stores) -> None:
        """
        An event, an account, an intent, a payment or a subscription: the others learn
        that it changed.
        """
        await stores.keep(an_account())
        things: dict[str, Callable[[int], Changes]] = {
            "event": lambda _: Changes(key="it", events=((an_event(), APPLIED),)),
            "account": lambda _: opened(an_account("eve")),
            "intent": lambda n: Changes(key="it", intents=(an_intent(f"int_{n}"),)),
            "payment": lambda _: Changes(key="it", payments=(a_record(),)),
            "subscription": lambda _: Changes(
                key="it", subscriptions=(a_subscription(),)
            ),
            "link key": lambda _: Changes(key="it", link_versions={"user eve": 0}),
        }
        for name, group in things.items():
            words = await at_once(partial(_saved, stores, group))
            assert (name, words.count(SAVED)) == (name, 1)
            assert (name, set(words)) == (name, {SAVED, SaveResult.CHANGED})

    async def test_of_twenty_who_take_one_email_one_gets_it(
        self, stores: Stores
    ) -> None:
        """
        The others learn that it is taken.
        """

        def take(number: int) -> Changes:
            account = an_account(f"user-{number}")
            return opened(account.renamed(email_of(ADA), at=NOON))

        words = await at_once(partial(_saved, stores, take))
        assert words.count(SAVED) == 1
        assert set(words) == {SAVED, SaveResult.TAKEN}

    async def test_twenty_who_ask_for_one_job_are_all_counted(
        self, stores: Stores
    ) -> None:
        """
        The process that does it sees that it was requested meanwhile.
        """

        async def ask(number: int) -> None:
            jobs = (a_job(SUB_1), a_job(SUB_2))
            group = Changes(key="it", jobs=jobs[:: 1 if number % 2 else -1])
            while await stores.save(group) != [SAVED]:
                pass

        await at_once(ask)

        for subject in (SUB_1, SUB_2):
            job = await stores.job(a_job_key(subject))
            assert job == attrs.evolve(a_job(subject), requests=WORKERS_COUNT)

    async def test_f18_overlapping_saves_in_opposite_orders_all_end(
        self, stores: Stores
    ) -> None:
        """
        Twenty change all of five accounts, their unlinked payments, link keys and jobs,
        in two orders, until each has saved each of them once.
        """
        names = [f"user-{number}" for number in range(5)]
        await stores.keep(
            *map(an_account, names),
            payments=[a_record(a_payment(f"ch-{name}")) for name in names],
        )

        async def rewrite(number: int) -> None:
            left = names if number % 2 else names[::-1]
            while left:
                groups = await _groups(stores, left)
                words = await stores.save(*groups)
                left = [
                    name
                    for name, word in zip(left, words, strict=True)
                    if word is not SAVED
                ]

        await at_once(rewrite)

        found = await stores.load(
            keys=users(*names),
            payments=frozenset(PaymentId(f"ch-{name}") for name in names),
            link_keys=users(*names),
        )
        versions = {
            *(it.version for it in found.accounts),
            *(it.version for it in found.payments),
            *(it + 1 for it in found.link_versions.values()),
            *(it.requests + 1 for it in (await stores.jobs()).values()),
        }
        assert versions == {WORKERS_COUNT + 1}

    async def test_a_payment_does_not_miss_the_registration_of_its_owner(
        self, stores: Stores
    ) -> None:
        """
        Twenty payments race the registrations of their owners, in both orders, by user,
        by customer and by e-mail: all are linked.
        """
        record = recording(stores)
        ids = [UserId(f"user-{number}") for number in range(WORKERS_COUNT)]

        async def race(number: int) -> None:
            user = ids[number]
            whose = ({"email": email_of(user)}, {"user": user})[number % 2]
            both = (
                recorded(record, paying(number, **whose)),
                RegisterUser(record)(user, email_of(user)),
            )
            await asyncio.gather(*both[:: 1 if number % 4 < 2 else -1])

        await at_once(race)

        linked = (await stores.load(histories=frozenset(ids))).histories
        accounts = (await stores.load(keys=users(*ids))).accounts
        assert len(linked) == WORKERS_COUNT
        assert all(account.summary.prepaid for account in accounts)

    async def test_payments_of_one_stranger_do_not_miss_his_registration(
        self, stores: Stores
    ) -> None:
        """
        Nineteen payments of one customer and e-mail while the user registers: all are
        linked to that user.
        """
        record = recording(stores)
        whose = {"email": email_of(ADA), "customer": CUS_1}

        async def race(number: int) -> None:
            if number == WORKERS_COUNT // 2:
                await RegisterUser(record)(ADA, email_of(ADA), CUS_1)
            else:
                await recorded(record, paying(number, **whose))

        await at_once(race)

        found = await stores.load(
            histories=frozenset({ADA}),
            unlinked=LinkKeys(
                customer_ids=frozenset({CUS_1}),
                email_keys=frozenset({email_of(ADA).key}),
            ),
        )
        assert len(found.histories) == WORKERS_COUNT - 1
        assert not found.unlinked.payments

    async def test_p06_a_payment_does_not_miss_the_subscription_it_pays(
        self, stores: Stores
    ) -> None:
        """
        Twenty subscriptions begin while their first payments arrive: none of these buys
        a month, and every account agrees with all of its facts.
        """
        ids = [UserId(f"user-{number}") for number in range(WORKERS_COUNT)]
        await stores.keep(*map(an_account, ids))
        record = recording(stores)

        async def race(number: int) -> None:
            user = ids[number]
            report = a_report(f"sub-{user}", user=user)
            began = SubscriptionObserved(report=report, at=NOON, sequence=1)
            await asyncio.gather(
                recorded(record, SourcedFacts(facts=(began,))),
                recorded(record, paying(number, user=user)),
            )

        await at_once(race)

        found = await stores.load(keys=users(*ids), histories=frozenset(ids))
        assert len(found.histories) == WORKERS_COUNT
        for account in found.accounts:
            own = [
                it.payment for it in found.histories if it.user_id == account.user_id
            ]
            replayed = PaymentSummary.replay(own, account.subscriptions)
            assert len(account.subscriptions) == 1
            assert account.summary == replayed
            assert account.summary.prepaid is None

    async def test_of_twenty_who_draw_at_once_none_has_anothers_number(
        self, stores: Stores
    ) -> None:
        """
        Each number drawn by a later load is greater.
        """

        async def draw(_: int) -> tuple[int, int]:
            return (await stores.load()).sequence, (await stores.load()).sequence

        pairs = await at_once(draw)
        assert all(first < second for first, second in pairs)
        assert len({it for pair in pairs for it in pair}) == 2 * WORKERS_COUNT


async def _saved(
    stores: Stores, group: Callable[[int], Changes], number: int
) -> SaveResult:
    """Save a group, however long it is locked."""
    while True:
        (word,) = await stores.save(group(number))
        if word is not SaveResult.LOCKED:
            return word


async def _groups(stores: Stores, names: Sequence[str]) -> list[Changes]:
    """Return a group of each of these, in its present state, in this order."""
    found = await stores.load(
        keys=users(*names),
        payments=frozenset(PaymentId(f"ch-{name}") for name in names),
        link_keys=users(*names),
    )
    accounts = {it.user_id: it for it in found.accounts}
    payments = {it.payment.id: it for it in found.payments}

    def group(account: PaymentAccount) -> Changes:
        user = account.user_id
        key = f"user {user}"
        return moved(
            account,
            attrs.evolve(account),
            payments=(payments[PaymentId(f"ch-{user}")],),
            link_versions={key: found.link_versions.get(key, 0)},
            jobs=(a_job(user),),
        )

    return [group(accounts[UserId(name)]) for name in names]
