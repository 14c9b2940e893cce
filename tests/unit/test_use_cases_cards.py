"""A user's card: the requests to the gateway, and what is refused before them."""

import pytest

from payments_core.errors import AccountNotFound, InvalidValue
from payments_core.identity import UserId
from payments_core.intent import IntentKind, IntentState
from support.deployment import ADA, Deployment, caller_of
from support.operations import CALLER, GOOD

pytestmark = pytest.mark.anyio


async def test_a_card_set_up_is_one_intent_with_a_secret_for_the_browser() -> None:
    """
    The same key is the same set-up; another key, or none, is another set-up.
    """
    async with Deployment.opened() as deployment:
        first, again, other = [
            await deployment.set_up_card(ADA, caller=CALLER, key=key)
            for key in ("a-key", "a-key", "another")
        ]

        assert first.intent.kind is IntentKind.SET_UP_CARD
        assert first.intent.outcome is not None
        assert first.intent.outcome.client_secret
        assert (again.intent.id, again.replayed) == (first.intent.id, True)
        assert other.intent.id != first.intent.id


@pytest.mark.parametrize("name", ["", "pm/1", "pm 1", "../pm_1"])
async def test_what_is_no_payment_method_is_refused_before_an_account(
    name: str,
) -> None:
    """
    The error names the field; no user is registered, and nothing is saved.
    """
    async with Deployment.opened() as deployment:
        with pytest.raises(InvalidValue) as refused:
            await deployment.update_card(ADA, name, caller=CALLER, key=None)
        assert refused.value.field == "payment_method"
        assert deployment.intents == []
        assert not deployment.database.tables.accounts


async def test_a_card_is_put_in_place_for_its_own_user_only() -> None:
    """
    Another's account does not exist.
    """
    async with Deployment.opened() as deployment:
        done = await deployment.update_card(ADA, GOOD, caller=CALLER, key=None)
        assert done.intent.state is IntentState.SUCCEEDED
        assert (await deployment.account()).card is not None
        with pytest.raises(AccountNotFound):
            await deployment.update_card(
                ADA, GOOD, caller=caller_of(UserId("bob")), key=None
            )
