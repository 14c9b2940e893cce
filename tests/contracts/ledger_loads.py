"""What a ledger promises to find: everything that was requested, and nothing else."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CH_2,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    SUB_2,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    an_event,
    an_intent,
    email_of,
    key_of,
)
from contracts.stores import Stores, users
from payments_core.changes import Lookup, Snapshot
from payments_core.events import EventState, Outcome
from payments_core.identity import CustomerId, UserId
from payments_core.intent import IntentId, IntentKind, IntentState
from payments_core.linking import UNLINKED_MAX, LinkKeys
from payments_core.payment import PaymentId

CUS_9: Final = CustomerId("cus_9")
ADAS_KEYS: Final = LinkKeys(
    frozenset({ADA}), frozenset({CUS_1}), frozenset({email_of(ADA).key})
)
# A lookup that needs more than events alone takes another path.
WAYS: Final = {
    "plain": Lookup(),
    "more": Lookup(histories=frozenset({UserId("nobody")})),
}


def whose(found: Snapshot) -> list[str]:
    return sorted(account.user_id for account in found.accounts)


class LedgerLoadsContract:
    async def test_an_empty_store_has_nothing(self, stores: Stores) -> None:
        """
        Neither by key nor by id; that is no error.
        """
        found = await stores.load(
            keys=ADAS_KEYS,
            payments=frozenset({CH_1}),
            subscriptions=frozenset({SUB_1}),
            events=frozenset({key_of("evt_1")}),
            histories=frozenset({ADA}),
            unlinked=ADAS_KEYS,
            link_keys=ADAS_KEYS,
            intents=frozenset({IntentId("int_1")}),
            idempotency_keys=frozenset({"a key"}),
            open_intents=frozenset({ADA}),
        )
        assert _is_empty(found)

    @pytest.mark.parametrize("way", WAYS)
    async def test_nothing_is_found_that_was_not_asked_for(
        self, stores: Stores, way: str
    ) -> None:
        """
        Though it exists; the snapshot carries the lookup with what was found.
        """
        await stores.keep(
            an_account(customer=CUS_1),
            payments=[a_record(a_payment(user=ADA))],
            subscriptions=[a_subscription()],
            intents=[an_intent(key="a key")],
            events=[(an_event(), APPLIED)],
        )
        found = await stores.ledger.load(WAYS[way])

        assert _is_empty(found)
        assert found.lookup == WAYS[way]

    @pytest.mark.parametrize("way", WAYS)
    async def test_accounts_are_found_under_any_key_once(
        self, stores: Stores, way: str
    ) -> None:
        """
        One account under three keys is one; other accounts are not found.
        """
        await stores.keep(
            an_account("c", customer=CUS_1),
            an_account("b", customer=CUS_2),
            an_account("a"),
            an_account("d"),
        )
        keys = LinkKeys(
            frozenset(map(UserId, ("c", "none"))),
            frozenset({CUS_1, CUS_2}),
            frozenset({email_of("a").key, email_of("c").key}),
        )

        found = await stores.ledger.load(attrs.evolve(WAYS[way], keys=keys))
        assert whose(found) == ["a", "b", "c"]

    async def test_a_key_is_compared_with_keys_of_its_kind(
        self, stores: Stores
    ) -> None:
        """
        A customer with the text of a user id is not that user.
        """
        await stores.keep(an_account(customer=CUS_1))
        text = email_of(ADA).key
        keys = LinkKeys(
            frozenset({UserId(CUS_1), UserId(text)}),
            frozenset({CustomerId(ADA), CustomerId(text)}),
            frozenset({str(ADA), str(CUS_1)}),
        )
        assert _is_empty(await stores.load(keys=keys, unlinked=keys))

    @pytest.mark.parametrize("way", WAYS)
    async def test_the_owners_of_named_things_are_found_with_them(
        self, stores: Stores, way: str
    ) -> None:
        """
        Though the lookup does not name the owners; each account comes whole, with
        everything that is its own.
        """
        await stores.keep(
            an_account(),
            an_account(BOB),
            an_account("eve"),
            payments=[a_record(owner=ADA), a_record(a_payment(CH_2), owner="eve")],
            subscriptions=[
                a_subscription(a_report(SUB_1), owner=BOB),
                a_subscription(a_report(SUB_2), owner=BOB),
            ],
        )

        lookup = attrs.evolve(
            WAYS[way],
            payments=frozenset({CH_1, PaymentId("ch_9")}),
            subscriptions=frozenset({SUB_1, "sub_9"}),
        )
        found = await stores.ledger.load(lookup)
        assert whose(found) == [ADA, BOB]
        (bob,) = (it for it in found.accounts if it.user_id == BOB)
        assert [it.gateway_id for it in bob.subscriptions] == [SUB_1, SUB_2]
        assert [it.payment.id for it in found.payments] == [CH_1]
        assert list(found.subscriptions) == [bob.subscriptions[0]]

    @pytest.mark.parametrize("way", WAYS)
    async def test_owners_of_named_things_are_found_beside_those_of_keys(
        self, stores: Stores, way: str
    ) -> None:
        """
        The account found by a customer or an e-mail stays, although that of a payment
        is found as well: for example, one user paid with the other's card.
        """
        await stores.keep(
            an_account(),
            an_account(BOB, customer=CUS_1),
            an_account("eve"),
            payments=[a_record(owner=ADA)],
        )

        keys = LinkKeys(
            customer_ids=frozenset({CUS_1}),
            email_keys=frozenset({email_of("eve").key}),
        )
        lookup = attrs.evolve(WAYS[way], keys=keys, payments=frozenset({CH_1}))
        assert whose(await stores.ledger.load(lookup)) == [ADA, BOB, "eve"]

    async def test_what_is_nobodys_is_found_by_its_id(self, stores: Stores) -> None:
        """
        It is known, and has no owner.
        """
        await stores.keep(
            an_account(), payments=[a_record()], subscriptions=[a_subscription()]
        )

        found = await stores.load(
            payments=frozenset({CH_1}), subscriptions=frozenset({SUB_1})
        )
        assert list(found.payments) == [attrs.evolve(a_record(), version=1)]
        assert list(found.subscriptions) == [attrs.evolve(a_subscription(), version=1)]
        assert not found.accounts

    @pytest.mark.parametrize("way", WAYS)
    async def test_an_event_is_known_by_its_id_and_type(
        self, stores: Stores, way: str
    ) -> None:
        """
        Two events with one id and two types are two; each has its own state.
        """
        ids = {state: f"evt_{state}" for state in EventState}
        await stores.keep(
            events=[(an_event(id_), Outcome(state)) for state, id_ in ids.items()]
        )
        keys = {key_of(id_): state for state, id_ in ids.items()}
        others = {key_of("evt_9"), key_of(ids[EventState.APPLIED], "charge.failed")}

        lookup = attrs.evolve(WAYS[way], events=frozenset({*keys, *others}))
        assert (await stores.ledger.load(lookup)).events == keys

    async def test_a_history_is_all_payments_of_the_users(self, stores: Stores) -> None:
        """
        All payments linked to them, and none of another user.
        """
        later = a_payment(CH_2, at=NOON + timedelta(days=1))
        await stores.keep(
            an_account(),
            an_account(BOB),
            an_account("eve"),
            payments=[
                a_record(owner=ADA),
                a_record(later, owner=BOB),
                a_record(a_payment("ch_eve"), owner="eve"),
                a_record(a_payment("ch_nobody", user=ADA)),
            ],
        )

        found = await stores.load(histories=frozenset({ADA, BOB}))
        assert {record.payment.id for record in found.histories} == {CH_1, CH_2}
        assert not found.accounts

    async def test_unlinked_are_nobodys_payments_under_any_key(
        self, stores: Stores
    ) -> None:
        """
        By claim, customer or e-mail; never a payment that has an owner.
        """
        await stores.keep(
            an_account(),
            payments=[
                a_record(a_payment("ch_claim", user=ADA)),
                a_record(a_payment("ch_customer", customer=CUS_1)),
                a_record(a_payment("ch_email", email=email_of(ADA))),
                a_record(a_payment("ch_other", user=BOB, customer=CUS_2)),
                a_record(a_payment("ch_bare")),
                a_record(a_payment("ch_linked", user=ADA), owner=ADA),
            ],
        )

        unlinked = (await stores.load(unlinked=ADAS_KEYS)).unlinked
        ids = [record.payment.id for record in unlinked.payments]
        assert ids == ["ch_claim", "ch_customer", "ch_email"]
        assert not unlinked.subscriptions

    async def test_unlinked_are_nobodys_subscriptions_under_any_key(
        self, stores: Stores
    ) -> None:
        """
        By metadata or customer; never by e-mail, and never a subscription that has an
        owner.
        """
        await stores.keep(
            an_account(),
            subscriptions=[
                a_subscription(a_report("sub_claim", user=ADA, customer=CUS_9)),
                a_subscription(a_report("sub_customer", customer=CUS_1)),
                a_subscription(a_report("sub_other", user=BOB, customer=CUS_2)),
                a_subscription(a_report("sub_linked", user=ADA), owner=ADA),
            ],
        )

        unlinked = (await stores.load(unlinked=ADAS_KEYS)).unlinked
        ids = [it.gateway_id for it in unlinked.subscriptions]
        assert ids == ["sub_claim", "sub_customer"]
        assert not unlinked.payments

    async def test_no_more_is_unlinked_at_once_than_the_limit(
        self, stores: Stores
    ) -> None:
        """
        The first in the order of their ids; the others come with the next load.
        """
        ids = [f"{number:03}" for number in range(UNLINKED_MAX + 1)]
        await stores.keep(
            payments=[a_record(a_payment(f"ch_{it}", user=ADA)) for it in ids[::-1]],
            subscriptions=[
                a_subscription(a_report(f"sub_{it}", user=ADA)) for it in ids[::-1]
            ],
        )

        unlinked = (await stores.load(unlinked=users(ADA))).unlinked
        assert [it.payment.id for it in unlinked.payments] == [
            f"ch_{it}" for it in ids[:-1]
        ]
        assert [it.gateway_id for it in unlinked.subscriptions] == [
            f"sub_{it}" for it in ids[:-1]
        ]

    async def test_intents_are_found_by_id_by_key_and_as_open_ones(
        self, stores: Stores
    ) -> None:
        """
        An intent found in several ways is returned once; ended ones are found by id or
        key.
        """
        await stores.keep(
            an_account(),
            an_account(BOB),
            intents=[
                an_intent("a", key="key a"),
                an_intent("b", IntentState.SENT, kind=IntentKind.UPDATE_CARD),
                an_intent("c", IntentState.UNKNOWN, subject="other"),
                an_intent("d", IntentState.SUCCEEDED, key="key d"),
                an_intent("e", user=BOB),
            ],
        )

        async def ids(**wanted: frozenset[str]) -> list[str]:
            return sorted(it.id for it in (await stores.load(**wanted)).intents)

        assert await ids(intents=frozenset({"d", "e", "z"})) == ["d", "e"]
        assert await ids(idempotency_keys=frozenset({"key d", "key z"})) == ["d"]
        assert await ids(open_intents=frozenset({ADA})) == ["a", "b", "c"]
        assert await ids(
            intents=frozenset({"a"}),
            idempotency_keys=frozenset({"key a"}),
            open_intents=frozenset({ADA, BOB}),
        ) == ["a", "b", "c", "e"]

    async def test_each_load_draws_a_number_greater_than_all_before(
        self, stores: Stores
    ) -> None:
        """
        Whatever the lookup.
        """
        drawn = [
            (await stores.ledger.load(WAYS[way])).sequence for way in (*WAYS, *WAYS)
        ]
        assert drawn == sorted(set(drawn))
        assert drawn[0] > 0

    async def test_a_load_waits_for_nobody(self, stores: Stores) -> None:
        """
        It sees what was saved last while another transaction holds the account's lock.
        """
        await stores.keep(an_account())
        async with stores.hold(ADA):
            assert (await stores.account(ADA)).version == 1
            found = await stores.accounts.find(ADA)
        assert found == await stores.account(ADA)


def _is_empty(found: Snapshot) -> bool:
    parts = (
        *(found.accounts, found.payments, found.subscriptions, found.events),
        *(found.histories, found.unlinked.payments, found.unlinked.subscriptions),
        *(found.link_versions, found.former_keys, found.intents),
    )
    return not any(parts)
