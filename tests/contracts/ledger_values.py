"""What a ledger promises of values: they are returned as they were saved."""

from datetime import timedelta
from typing import Final

import attrs

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    SUB_2,
    a_call,
    a_job,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    an_intent,
    email_of,
    in_trial,
    moments_in,
)
from contracts.full_values import (
    ACCOUNTS,
    CARD,
    DAY,
    FULL_ACCOUNT,
    FULL_INTENT,
    FULL_PAYMENT,
    FULL_SUBSCRIPTION,
    INTENTS,
    RECORDS,
    SUBSCRIPTIONS,
    THEIR_SUBSCRIPTIONS,
)
from contracts.stores import SAVED, Logged, Stores, beside, moved, opened, users
from payments_core.catalogue import Catalogue, CatalogueProduct
from payments_core.changes import Changes, Lookup
from payments_core.entitlement import PaymentStatus
from payments_core.job_key import JobKind
from payments_core.lease import Lease
from payments_core.linking import LinkKeys
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus as S

CATALOGUE: Final = Catalogue.of([CatalogueProduct(product="prod_2")])
SOLD: Final = Policy(catalogue=CATALOGUE)
UTC_OFFSET: Final = {timedelta(0)}
KEYS_OF_ADA: Final = (
    users(ADA),
    LinkKeys(customer_ids=frozenset({CUS_1})),
    LinkKeys(email_keys=frozenset({email_of(ADA).key})),
)


class LedgerValuesContract:
    async def test_accounts_come_back_exactly(self, stores: Stores) -> None:
        """
        Every field of them and of their subscriptions, set or not.
        """
        await stores.keep(*ACCOUNTS.values(), subscriptions=THEIR_SUBSCRIPTIONS)

        ids = [it.user_id for it in ACCOUNTS.values()]
        found = {
            it.user_id: it for it in (await stores.load(keys=users(*ids))).accounts
        }
        assert found == {
            it.user_id: attrs.evolve(
                it,
                version=1,
                subscriptions=tuple(
                    attrs.evolve(one, version=1) for one in it.subscriptions
                ),
            )
            for it in ACCOUNTS.values()
        }
        assert {
            it.utcoffset() for one in found.values() for it in moments_in(one)
        } == UTC_OFFSET

    async def test_every_field_of_an_account_can_change(self, stores: Stores) -> None:
        """
        From nothing to everything and back; a removed value is no longer known.
        """
        await stores.keep(an_account())
        bare = await stores.account(ADA)
        assert await stores.save(moved(bare, FULL_ACCOUNT)) == [SAVED]
        full = await stores.account(ADA)
        assert await stores.save(moved(full, an_account())) == [SAVED]

        assert full == attrs.evolve(FULL_ACCOUNT, version=2)
        assert await stores.account(ADA) == attrs.evolve(an_account(), version=3)

    async def test_payments_come_back_exactly(self, stores: Stores) -> None:
        """
        Every field of them, set or not; found by id and in the history.
        """
        await stores.keep(an_account(), payments=list(RECORDS.values()))

        expected = {
            it.payment.id: attrs.evolve(it, version=1) for it in RECORDS.values()
        }
        found = await stores.load(
            payments=frozenset(expected), histories=frozenset({ADA})
        )
        assert {it.payment.id: it for it in found.payments} == expected
        assert {it.payment.id: it for it in found.histories} == {
            id_: it for id_, it in expected.items() if it.user_id == ADA
        }
        assert {
            it.utcoffset() for one in found.payments for it in moments_in(one)
        } == UTC_OFFSET

    async def test_every_field_of_a_payment_can_change(self, stores: Stores) -> None:
        """
        From nothing to everything: its owner and its sequence number, too.
        """
        await stores.keep(an_account(), payments=[a_record(RECORDS["bare"].payment)])
        id_ = RECORDS["bare"].payment.id
        full = attrs.evolve(
            RECORDS["full"], payment=attrs.evolve(FULL_PAYMENT, id=id_), version=1
        )
        assert await stores.save(Changes(key="it", payments=(full,))) == [SAVED]

        assert await stores.payment(id_) == attrs.evolve(full, version=2)

    async def test_subscriptions_come_back_exactly(self, stores: Stores) -> None:
        """
        Every field of them, set or not, and every time in UTC.
        """
        await stores.keep(an_account(), subscriptions=list(SUBSCRIPTIONS.values()))

        expected = {
            it.gateway_id: attrs.evolve(it, version=1) for it in SUBSCRIPTIONS.values()
        }
        found = await stores.load(subscriptions=frozenset(expected))
        assert {it.gateway_id: it for it in found.subscriptions} == expected
        assert {
            it.utcoffset() for one in found.subscriptions for it in moments_in(one)
        } == UTC_OFFSET

    async def test_every_field_of_a_subscription_can_change(
        self, stores: Stores
    ) -> None:
        """
        From nothing to everything, and back.
        """
        bare = a_subscription()
        await stores.keep(an_account(), subscriptions=[bare])
        for version, it in enumerate((FULL_SUBSCRIPTION, bare), 1):
            now = attrs.evolve(it, version=version)
            assert await stores.save(Changes(key="it", subscriptions=(now,))) == [SAVED]
            after = await stores.subscription(SUB_1)
            assert after == attrs.evolve(it, version=version + 1)

    async def test_intents_come_back_exactly(self, stores: Stores) -> None:
        """
        Every field of them and of their calls, set or not; the directory agrees.
        """
        await stores.keep(an_account(), intents=list(INTENTS.values()))

        expected = {it.id: attrs.evolve(it, version=1) for it in INTENTS.values()}
        found = await stores.load(intents=frozenset(expected))
        assert {it.id: it for it in found.intents} == expected
        assert {
            it.utcoffset() for one in found.intents for it in moments_in(one)
        } == UTC_OFFSET
        for id_, intent in expected.items():
            assert await stores.intents.find(id_) == intent

    async def test_what_an_intent_comes_to_can_change(self, stores: Stores) -> None:
        """
        Its state, calls, outcome, lease, writer and steps; its identity stays.
        """
        new = attrs.evolve(
            an_intent(FULL_INTENT.id, subject=FULL_INTENT.subject),
            kind=FULL_INTENT.kind,
            wanted=FULL_INTENT.wanted,
            key=FULL_INTENT.key,
            created_at=FULL_INTENT.created_at,
        )
        await stores.keep(an_account(), intents=[new])
        full = attrs.evolve(FULL_INTENT, version=1)
        assert await stores.save(Changes(key="it", intents=(full,))) == [SAVED]

        assert await stores.intent(full.id) == attrs.evolve(full, version=2)

    async def test_a_job_asked_for_comes_back_exactly(self, stores: Stores) -> None:
        """
        Of every kind: reason, due time, owner, and after how many failures.
        """
        failed = attrs.evolve(
            a_job("evt_1 charge.succeeded ü 漢字", JobKind.EVENT, reason="weil: 🧾"),
            lease=Lease(due_at=NOON + DAY, attempts=11),
            user_id=ADA,
        )
        jobs = {it.key: it for it in (failed, *(a_job("it", kind) for kind in JobKind))}
        await stores.keep(jobs=list(jobs.values()))

        found = await stores.jobs()
        assert found == jobs
        assert {
            it.utcoffset() for job in found.values() for it in moments_in(job)
        } == UTC_OFFSET

    async def test_paid_periods_are_kept_once_an_invoice(self, stores: Stores) -> None:
        """
        A period reported again is the same one, with the latest values; known or not.
        """
        first, second = a_term(), a_term("sub_none", invoice="in_2")
        changed = attrs.evolve(a_term(ends_at=NOON + DAY), amount_paid_minor=2**53)
        await stores.save(Changes(key="1", periods=(first, second)))
        await stores.save(Changes(key="2", periods=(second,)))
        assert await stores.periods() == [first, second]
        await stores.save(Changes(key="3", periods=(changed,)))

        kept = await stores.periods()
        assert kept == [changed, second]
        # Which payment paid it is not compared there.
        assert [it.amount_paid_minor for it in kept] == [2**53, None]
        # Of all the user's subscriptions with the history, and of no other user's.
        await stores.keep(
            an_account(),
            an_account(BOB),
            subscriptions=[
                a_subscription(owner=ADA),
                a_subscription(a_report("sub_none", customer=CUS_2), owner=BOB),
            ],
        )
        for user, periods in ((ADA, [changed]), (BOB, [second])):
            history = Lookup(histories=frozenset({user}))
            assert list((await stores.ledger.load(history)).periods) == periods
        first_ids = frozenset({first.gateway_id})
        loaded = await stores.ledger.load(Lookup(periods_of=first_ids))
        assert [(it, it.amount_paid_minor) for it in loaded.periods] == [
            (changed, 2**53)
        ]

    async def test_an_account_comes_with_its_subscriptions_the_first_first(
        self, stores: Stores
    ) -> None:
        """
        Its own, in the order of their beginnings, however the account is found.
        """
        later = a_subscription(a_report(SUB_1, at=NOON + DAY), owner=ADA)
        first = a_subscription(a_report(SUB_2), owner=ADA)
        others = (
            a_subscription(a_report("sub_3"), owner=BOB),
            a_subscription(a_report("sub_4")),
        )
        await stores.keep(
            an_account(customer=CUS_1),
            an_account(BOB),
            subscriptions=(later, first, *others),
        )

        expected = tuple(attrs.evolve(it, version=1) for it in (first, later))
        for keys in KEYS_OF_ADA:
            (account,) = (await stores.load(keys=keys)).accounts
            assert account.subscriptions == expected
        for user in (ADA, email_of(ADA)):
            found = await stores.accounts.find(user)
            assert found is not None
            assert found.subscriptions == expected

    async def test_an_account_is_saved_without_its_subscriptions(
        self, stores: Stores
    ) -> None:
        """
        They are saved separately: neither changed nor lost with it.
        """
        await stores.keep(an_account(), subscriptions=[FULL_SUBSCRIPTION])
        ada = await stores.account(ADA)
        more = ada.with_subscription(a_subscription(a_report("sub_9"), owner=ADA))
        assert await stores.save(moved(ada, more)) == [SAVED]
        ada = await stores.account(ADA)
        none = attrs.evolve(ada, subscriptions=())
        assert await stores.save(moved(ada, none)) == [SAVED]

        account = await stores.account(ADA)
        assert account.subscriptions == (attrs.evolve(FULL_SUBSCRIPTION, version=1),)

    async def test_what_an_account_gave_up_can_be_anothers(
        self, stores: Stores
    ) -> None:
        """
        An e-mail and a customer belong to their present holder, and to no former one.
        """
        await stores.keep(an_account(customer=CUS_1))
        ada = await stores.account(ADA)
        moves = attrs.evolve(ada, email=email_of("eve"), customer_id=CUS_2)
        assert await stores.save(moved(ada, moves)) == [SAVED]
        assert await stores.accounts.find(email_of(ADA)) is None
        assert await stores.accounts.owner_of_customer(CUS_1) is None

        bob = attrs.evolve(an_account(BOB, customer=CUS_1), email=email_of(ADA))
        assert await stores.save(opened(bob)) == [SAVED]

        found = await stores.accounts.find(email_of(ADA))
        assert found is not None
        assert found.user_id == BOB
        assert await stores.accounts.owner_of_customer(CUS_1) == BOB
        assert await stores.accounts.owner_of_customer(CUS_2) == ADA

    async def test_a_subscription_that_changes_hands_is_in_one_account(
        self, stores: Stores
    ) -> None:
        """
        The present owner's; none while it has no owner.
        """
        held = a_subscription(a_report(SUB_1), owner=ADA)
        await stores.keep(an_account(), an_account(BOB), subscriptions=[held])
        for version, owner in enumerate((None, BOB), 1):
            given = attrs.evolve(held, user_id=owner, version=version)
            assert await stores.save(Changes(key=SUB_1, subscriptions=(given,))) == [
                SAVED
            ]
            for user in (ADA, BOB):
                kept = (await stores.account(user)).subscriptions
                assert [it.gateway_id for it in kept] == [SUB_1] * (user == owner)

    async def test_each_save_makes_each_version_one_greater(
        self, stores: Stores
    ) -> None:
        """
        New is version 0 before and 1 after; each save adds one.
        """
        await stores.keep(
            an_account(),
            payments=[a_record(owner=ADA)],
            subscriptions=[a_subscription()],
            intents=[an_intent()],
        )
        for version in (1, 2, 3):
            ada = await stores.account(ADA)
            record = await stores.payment(CH_1)
            subscription = await stores.subscription(SUB_1)
            intent = await stores.intent("int_1")
            things = (ada, record, subscription, intent)
            assert [it.version for it in things] == [version] * 4
            group = moved(
                ada,
                ada.with_card(CARD, sequence=version),
                payments=(record,),
                subscriptions=(subscription,),
                intents=(attrs.evolve(intent, calls=(a_call(),)),),
            )
            assert await stores.save(group) == [SAVED]

    async def test_that_there_is_no_card_is_known_since_when(
        self, stores: Stores
    ) -> None:
        """
        Only by its number: what was read with an earlier number is older.
        """
        await stores.keep(an_account())
        ada = await stores.account(ADA)
        assert await stores.save(moved(ada, ada.with_card(None, sequence=7))) == [SAVED]
        assert (await stores.account(ADA)).card_sequence == 7

    async def test_an_accounts_version_grows_only_if_it_changed(
        self, stores: Stores
    ) -> None:
        """
        An event, an intent or a job that is saved with it does not change the version.
        """
        await stores.keep(an_account())
        ada = await stores.account(ADA)
        group = beside(
            ada,
            events=((an_event(), APPLIED),),
            intents=(an_intent(),),
            jobs=(a_job(),),
        )
        assert await stores.save(group) == [SAVED]

        assert await stores.account(ADA) == ada

    async def test_what_was_loaded_does_not_change_afterwards(
        self, stores: Stores
    ) -> None:
        """
        A snapshot shows one point in time.
        """
        await stores.keep(an_account(), payments=[a_record(owner=ADA)])
        before = await stores.load(keys=users(ADA), payments=frozenset({CH_1}))
        (ada,), (record,) = before.accounts, before.payments
        group = moved(ada, ada.with_card(CARD, sequence=1), payments=(record,))
        assert await stores.save(group) == [SAVED]

        assert (list(before.accounts), list(before.payments)) == ([ada], [record])
        assert ada.version == record.version == 1

    async def test_a_group_of_nothing_is_saved(self, stores: Stores) -> None:
        """
        With nothing to do it does not fail; without groups there are no results.
        """
        assert await stores.save(Changes(key="nothing")) == [SAVED]
        assert await stores.save() == []

    async def test_the_log_has_a_row_for_each_change_of_a_verdict(
        self, stores: Stores
    ) -> None:
        """
        A new account's first; then only where the status or the date changed, with its
        cause and the sources as they were given.
        """
        opening = opened(FULL_ACCOUNT, sources=())
        bob = opened(an_account(BOB), sources=("a b", "c"))
        assert await stores.save(opening, bob) == [SAVED] * 2
        ada = await stores.account(ADA)
        card = moved(
            ada,
            ada.with_card(CARD, sequence=2**62 + 1),
            cause="a card",
            sources=("evt_0",),
        )
        assert await stores.save(card, seconds=1) == [SAVED]
        ada = await stores.account(ADA)
        lapsed = attrs.evolve(ada, summary=an_account().summary)
        sources = ("evt_1", "evt_2 charge.succeeded", "ü")
        paid = moved(ada, lapsed, cause="payment ü", sources=sources)
        assert await stores.save(paid, seconds=2) == [SAVED]
        now = await stores.account(ADA)
        beside_it = beside(now, events=((an_event(), APPLIED),), cause="none")
        assert await stores.save(beside_it, seconds=3) == [SAVED]
        stale = attrs.evolve(ada, summary=FULL_ACCOUNT.summary)
        await stores.save(moved(ada, stale, cause="stale"), seconds=4)

        first = FULL_ACCOUNT
        registered = "user registered"
        at, later = NOON, NOON + timedelta(seconds=2)
        none = PaymentStatus.NONE.value
        assert await stores.account_log() == [
            Logged(
                ADA,
                1,
                at,
                first.payment_status.value,
                first.payment_expire_date,
                registered,
                (),
            ),
            Logged(ADA, 3, later, none, None, "payment ü", sources),
            Logged(BOB, 1, at, none, None, registered, ("a b", "c")),
        ]

    async def test_a_date_that_moves_is_logged_though_the_status_stays(
        self, stores: Stores
    ) -> None:
        """
        The verdict is both.
        """
        await stores.keep(FULL_ACCOUNT)
        ada = await stores.account(ADA)
        term = ada.summary.prepaid
        assert term is not None
        longer = attrs.evolve(
            ada,
            summary=attrs.evolve(
                ada.summary, prepaid=attrs.evolve(term, months=term.months + 1)
            ),
        )
        assert longer.payment_status is ada.payment_status
        assert await stores.save(moved(ada, longer)) == [SAVED]

        assert [it.version for it in await stores.account_log()] == [1, 2]

    async def test_a_row_is_logged_where_only_what_gives_access_changed(
        self, stores: Stores
    ) -> None:
        """
        A second subscription that ends earlier moves neither the status nor the date.
        """
        long = a_subscription(owner=ADA, term=a_term(ends_at=NOON + 30 * DAY))
        await stores.keep(an_account(ADA).with_subscription(long), subscriptions=[long])
        ada = await stores.account(ADA)
        trial = in_trial(S.CANCELED, ended_at=NOON + DAY)
        report = attrs.evolve(trial.report, gateway_id=SUB_2, product="prod_2")
        tried = attrs.evolve(trial, report=report, user_id=ADA)
        after = ada.with_subscription(tried)
        assert after.verdict.payment_expire_date == ada.verdict.payment_expire_date
        group = attrs.evolve(moved(ada, after), subscriptions=(tried,), policy=SOLD)
        assert await stores.save(group, seconds=1) == [SAVED]

        later = NOON + timedelta(seconds=1)
        before = await stores.history.verdict_at(ADA, NOON)
        row = await stores.history.verdict_at(ADA, later)
        assert before is not None
        assert row is not None
        assert row.grants == after.verdict.grants != before.grants
        assert [(it.product, it.has_grace) for it in row.grants or ()] == [
            (long.report.product, True),
            ("prod_2", False),
        ]
        assert (before.catalogue, row.catalogue) == ("none", CATALOGUE.version)
