"""Intents stored by the release before are run to their end by this one.

`tests/fixtures/intents_of_v0_1_0.json` was written by v0.1.0: each case is a deployment
whose process ended in the middle of an operation, at each place where its store or the
gateway had changed. `calls` are what the gateway had carried out, `intents` the rows.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from payments_adapters.postgres import work_rows
from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.identity import CustomerId, Email
from payments_core.intent import Intent, IntentKind, IntentState
from payments_core.subscription import Subscription
from payments_sandbox.api import ApiRequest
from support.deployment import ADA, Deployment, caller_of

FIXTURE: Final = Path(__file__).parents[1] / "fixtures" / "intents_of_v0_1_0.json"
CASES: Final = json.loads(FIXTURE.read_text())
ENDED: Final = {"canceled", "incomplete_expired"}
MOMENTS: Final = {"due_at", "created_at"}
# The columns that migration 0003 adds, as it fills them.
NEW: Final = {"lease_no": 0, "leased_until": None, "writer": "", "steps_version": 1}


def intent_of(row: dict[str, Any]) -> Intent:
    moments = {name: datetime.fromisoformat(row[name]) for name in MOMENTS}
    return work_rows.to_intent({**row, **moments, **NEW})


def account_of(case: Any) -> PaymentAccount:
    row = case["account"]
    return PaymentAccount(
        user_id=ADA,
        email=Email.of(row["email"]),
        customer_id=CustomerId(row["customer_id"]) if row["customer_id"] else None,
        card=row["card"] and msgspec.convert(row["card"], Card),
        card_sequence=row["card_ticket"],
        version=row["version"],
    )


def restored(deployment: Deployment, case: Any) -> None:
    """Restore the gateway and the database as v0.1.0 left them."""
    for call in case["calls"]:
        response = deployment.engine.answer(
            ApiRequest(
                method=call["method"],
                path=call["path"],
                query="",
                body=call["body"].encode(),
                headers={
                    **call["headers"],
                    "authorization": f"Bearer {deployment.engine.api.api_key}",
                },
            )
        )
        assert response.status == 200, response
    tables, account = deployment.database.tables, account_of(case)
    tables.put_account(account)
    for row in case["subscriptions"]:
        here = {"known_until": "as_of", "term": "last_paid_period"}
        named = work_rows._renamed(row, {**work_rows._NAMES, **here})
        subscription = msgspec.convert(named, Subscription, strict=False)
        assert (subscription.last_paid_period is None) is (row["term"] is None)
        tables.put_subscription(subscription)
    for row in case["intents"]:
        tables.put_intent(intent_of(row))
    deployment.database.last_sequence = case["last_ticket"]


def name_of(case: Any) -> str:
    steps = [
        f"{call['step']} {call['state']}"
        for row in case["intents"]
        for call in json.loads(row["calls"])
    ]
    return f"{case['deed']} | {len(case['calls'])} | {', '.join(steps)}"


def test_each_operation_was_left_at_several_places() -> None:
    """
    The fixture has the expected contents: six operations, each with open intents.
    """
    deeds = {case["deed"] for case in CASES}
    assert len(deeds) == 6
    for case in CASES:
        assert any(intent_of(row).open for row in case["intents"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_f50_an_intent_is_stored_under_the_names_of_the_release_before(
    case: Any,
) -> None:
    """
    Both run on one database: what was read of it is written back unchanged.
    """
    for row in case["intents"]:
        written = work_rows.of_intent(intent_of(row))
        for column in ("wanted", "calls", "outcome"):
            before, after = row[column], written[column]
            assert (after and json.loads(str(after))) == (before and json.loads(before))


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_p22_p23_what_the_release_before_began_is_ended(case: Any) -> None:
    """
    Nothing is left open, nothing is made twice, and the true state is known.
    """
    async with Deployment.opened() as deployment:
        restored(deployment, case)
        await deployment.advance(timedelta(minutes=1))
        await deployment.quiesce()
        await deployment.hear()

        ids = {row["id"] for row in case["intents"]}
        assert {it.id for it in deployment.intents} >= ids
        account = await deployment.account()
        assert deployment.customers_of(ADA) in ([], [account.customer_id])
        sold = deployment.subscriptions_of(ADA)
        live = [it["id"] for it in sold if it["status"] not in ENDED]
        assert [
            it.gateway_id for it in account.subscriptions if not it.is_terminal
        ] == live
        assert deployment.paid_twice() == []
        states = {it.kind: it.state for it in deployment.intents}
        for intent in deployment.intents:
            assert len(deployment.made_by(intent.id)) <= 1
        match case["deed"]:
            case "start":
                assert len(live) == 1
            case "start declined":
                assert live == []
                assert states[IntentKind.START_SUBSCRIPTION] is IntentState.REFUSED
            case "end":
                assert live == []
            case "change":
                [subscription] = account.subscriptions
                assert subscription.report.price == deployment.pro
                assert subscription.report.cancel_at_period_end
            case "update card":
                assert account.card is not None
            case _:
                assert states[IntentKind.SET_UP_CARD] is IntentState.SUCCEEDED


@pytest.mark.anyio
async def test_an_idempotency_key_of_the_release_before_gets_its_answer() -> None:
    """
    The interrupted client repeats its request with the same key, and is answered once.
    """
    [case, *_] = [it for it in CASES if it["deed"] == "set up card"]
    async with Deployment.opened() as deployment:
        restored(deployment, case)
        await deployment.advance(timedelta(minutes=1))
        await deployment.quiesce()
        [kept] = [it for it in deployment.intents if it.kind is IntentKind.SET_UP_CARD]
        before = len(deployment.line.changes)
        again = await deployment.set_up_card(ADA, caller=caller_of(ADA), key="k")

        assert again.replayed
        assert again.intent == kept
        assert len(deployment.line.changes) == before
