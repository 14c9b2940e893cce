"""Which account an operation is about, and what is refused before it begins."""

import pytest

from payments_core.account import PaymentAccount
from payments_core.caller import Caller
from payments_core.errors import AccountNotFound, SubscriptionNotFound
from payments_core.identity import Email, UserId
from payments_core.intent import IntentKind, OperationParams
from payments_core.operations.start import OperationRequest, Rule, no_rule
from payments_core.use_cases.execute_operation import FoundOperation
from payments_core.use_cases.find_operation import find_operation
from support.deployment import ADA, Deployment, admin, caller_of

pytestmark = pytest.mark.anyio

BOB = UserId("bob")
ADAS_EMAIL = Email.of("ada@example.com")


def set_up(user: UserId, key: str | None = None) -> OperationRequest:
    return OperationRequest(
        user_id=user,
        kind=IntentKind.SET_UP_CARD,
        wanted=OperationParams(),
        about=user,
        key=key,
    )


async def found_by(
    deployment: Deployment,
    caller: Caller,
    user: UserId | Email,
    *,
    key: str | None = None,
    rule: Rule = no_rule,
) -> FoundOperation:
    return await find_operation(
        deployment.reach,
        deployment.execute,
        user,
        lambda id_: set_up(id_, key),
        caller=caller,
        rule=rule,
    )


@pytest.mark.parametrize("user", [ADA, ADAS_EMAIL], ids=["id", "e-mail"])
async def test_the_first_call_of_a_user_registers_them(user: UserId | Email) -> None:
    """
    By id or by the e-mail of the token; the operation is about that account.
    """
    async with Deployment.opened() as deployment:
        found = await found_by(deployment, caller_of(ADA), user)

        assert (found.account.user_id, found.request.user_id) == (ADA, ADA)
        assert found.executed is None
        assert deployment.intents == []


@pytest.mark.parametrize("user", [ADA, ADAS_EMAIL], ids=["id", "e-mail"])
async def test_another_users_account_is_not_found(user: UserId | Email) -> None:
    """
    Whether or not it exists; an administrator finds it.
    """
    async with Deployment.opened() as deployment:
        for _ in range(2):
            with pytest.raises(AccountNotFound):
                await found_by(deployment, caller_of(BOB), user)
            await deployment.register()
        assert (await found_by(deployment, admin(), user)).account.user_id == ADA


async def test_an_administrator_registers_nobody() -> None:
    """
    An unknown id stays unknown.
    """
    async with Deployment.opened() as deployment:
        with pytest.raises(AccountNotFound):
            await found_by(deployment, admin(), ADA)
        assert not deployment.database.tables.accounts


async def test_a_rule_is_asked_of_the_account_before_anything_else() -> None:
    """
    Its error is raised also for a repeated request.
    """
    asked: list[UserId] = []

    def none_of_these(account: PaymentAccount) -> None:
        asked.append(account.user_id)
        raise SubscriptionNotFound

    async with Deployment.opened() as deployment:
        await deployment.set_up_card(ADA, caller=caller_of(ADA), key="a-key")
        for user in (ADA, ADAS_EMAIL):
            with pytest.raises(SubscriptionNotFound):
                await found_by(
                    deployment, caller_of(ADA), user, key="a-key", rule=none_of_these
                )
        assert asked == [ADA, ADA]


async def test_what_was_done_under_the_key_is_found() -> None:
    """
    By whichever name of the user is used.
    """
    async with Deployment.opened() as deployment:
        done = await deployment.set_up_card(ADA, caller=caller_of(ADA), key="a-key")
        for user in (ADA, ADAS_EMAIL):
            found = await found_by(deployment, caller_of(ADA), user, key="a-key")
            assert found.executed is not None
            assert found.executed.intent.id == done.intent.id
