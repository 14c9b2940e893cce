"""What every directory promises: accounts and intents as they were saved last."""

from datetime import datetime, timedelta

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    an_account,
    an_intent,
    email_of,
    unversioned,
)
from contracts.full_values import FULL_ACCOUNT
from contracts.stores import SAVED, Stores, moved
from payments_core.account_version import AccountVersion
from payments_core.identity import Email, UserId
from payments_core.intent import IntentId, IntentOutcome, IntentState, Refusal

# A reason may say it, too: a text of the gateway is not one of our codes.
DECLINED = Refusal(code="card_declined", reason="the bank declined")
GONE = Refusal(code="resource_missing", reason='no "code":"card_declined" here')


class DirectoriesContract:
    async def test_nobody_is_found_in_an_empty_store(self, stores: Stores) -> None:
        """
        By id, by e-mail or by customer; that is no error.
        """
        assert await stores.accounts.find(ADA) is None
        assert await stores.accounts.find(email_of(ADA)) is None
        assert await stores.accounts.owner_of_customer(CUS_1) is None
        assert await stores.intents.find(IntentId("int_1")) is None

    async def test_an_account_is_found_by_id_exactly_as_saved(
        self, stores: Stores
    ) -> None:
        """
        With all fields, its version included. Another's id finds nothing.
        """
        await stores.keep(FULL_ACCOUNT)
        account = await stores.accounts.find(ADA)

        assert account is not None
        assert unversioned(account) == FULL_ACCOUNT
        assert account.version == 1
        assert await stores.accounts.find(BOB) is None

    async def test_the_version_of_an_account_is_found_without_the_rest(
        self, stores: Stores
    ) -> None:
        """
        By id and by e-mail, the version that `find` returns; None for a user who does
        not exist.
        """
        await stores.keep(FULL_ACCOUNT, an_account(BOB))
        ada = await stores.account(ADA)
        await stores.save(moved(ada, ada.renamed(email_of("countess"), at=NOON)))
        for user, found in (
            (ADA, AccountVersion(ADA, 2)),
            (email_of("countess"), AccountVersion(ADA, 2)),
            (email_of(ADA), None),
            (BOB, AccountVersion(BOB, 1)),
            (UserId("eve"), None),
        ):
            assert await stores.accounts.version_of(user) == found

    @pytest.mark.parametrize("text", ["ada@exämple.org", "ADA@EXÄMPLE.ORG."])
    async def test_an_account_is_found_by_the_key_of_its_email(
        self, stores: Stores, text: str
    ) -> None:
        """
        Another spelling of the same e-mail finds the same account.
        """
        await stores.keep(an_account(), an_account(BOB))
        account = await stores.accounts.find(Email.of(text))

        assert account is not None
        assert account.user_id == ADA

    async def test_after_renaming_only_the_new_email_finds_it(
        self, stores: Stores
    ) -> None:
        """
        The old e-mail finds no account; the id stays.
        """
        await stores.keep(an_account(customer=CUS_1))
        ada = await stores.account(ADA)
        assert await stores.save(
            moved(ada, ada.renamed(email_of("countess"), at=NOON))
        ) == [SAVED]

        assert await stores.accounts.find(email_of(ADA)) is None
        renamed = await stores.accounts.find(email_of("countess"))
        assert renamed == await stores.accounts.find(ADA)
        assert renamed is not None
        assert renamed.version == 2

    async def test_the_holder_of_a_customer_is_found(self, stores: Stores) -> None:
        """
        The user to whom the customer is bound; None for another customer.
        """
        await stores.keep(an_account(customer=CUS_1), an_account(BOB))

        assert await stores.accounts.owner_of_customer(CUS_1) == ADA
        assert await stores.accounts.owner_of_customer(CUS_2) is None

    async def test_an_intent_is_found_as_saved_last(self, stores: Stores) -> None:
        """
        As the ledger returns it, also after it was claimed.
        """
        await stores.keep(an_account(), intents=[an_intent()])
        for version in (1, 2):
            found = await stores.intents.find(IntentId("int_1"))
            assert found == await stores.intent("int_1")
            assert found is not None
            assert found.version == version
            await stores.queue.claim(now=found.lease.due_at, limit=1)
        assert await stores.intents.find(IntentId("int_9")) is None

    async def test_a_users_last_declines_are_found_by_their_time(
        self, stores: Stores
    ) -> None:
        """
        The newest first, up to a limit, after a given time, whatever the operations
        came to. Other refusals, other users' declines and open operations are not
        returned.
        """
        moments = {f"int_{n}": NOON + timedelta(minutes=n) for n in range(4)}
        declined = [
            attrs.evolve(
                an_intent(id_, IntentState.REFUSED),
                created_at=at,
                outcome=IntentOutcome(refusal=DECLINED),
            )
            for id_, at in moments.items()
        ]
        for number, state in enumerate((IntentState.SUCCEEDED, IntentState.REFUSED)):
            refusal = GONE if state is IntentState.REFUSED else None
            declined[number] = attrs.evolve(
                declined[number],
                state=state,
                outcome=IntentOutcome(refusal=refusal, decline=DECLINED),
            )
        await stores.keep(
            an_account(),
            an_account(BOB),
            intents=[
                *declined,
                an_intent("int_open"),
                attrs.evolve(
                    an_intent("int_gone", IntentState.REFUSED),
                    outcome=IntentOutcome(refusal=GONE),
                ),
                attrs.evolve(
                    an_intent("int_paid", IntentState.SUCCEEDED),
                    outcome=IntentOutcome(customer_id="cus_1"),
                ),
                attrs.evolve(declined[0], id=IntentId("int_bobs"), user_id=BOB),
            ],
        )

        async def found(after: datetime, limit: int = 10) -> list[datetime]:
            return [*await stores.intents.declines_of(ADA, after=after, limit=limit)]

        newest_first = sorted(moments.values(), reverse=True)
        assert await found(NOON - timedelta(seconds=1)) == newest_first
        assert await found(NOON) == newest_first[:-1]
        assert await found(NOON, limit=2) == newest_first[:2]
        assert await found(newest_first[0]) == []
