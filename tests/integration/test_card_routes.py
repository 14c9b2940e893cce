"""A user's card over real HTTP, with a sandbox as Stripe."""

from datetime import UTC, datetime

import httpx
import pytest

from support import databases
from support.plain_http import TLS
from support.service_with_sandbox import (
    ASKING,
    FAILING,
    GOOD,
    OTHER,
    REFUSED,
    Payer,
    ServiceWithSandbox,
    pointers,
    problem_of,
    refusal,
)

SET_UP = "card-setup"


# Set-up


def test_a_card_set_up_tells_the_browsers_secret(ada: Payer) -> None:
    """
    The secret is of a SetupIntent of the user's own customer; no cache stores it.
    """
    answer = ada.call("POST", SET_UP)

    [set_up] = ada.have("setup_intent")
    [customer] = ada.customers
    assert answer.status_code == 201
    assert answer.json() == {"client_secret": set_up["client_secret"]}
    assert answer.headers["cache-control"] == "no-store"
    assert set_up["customer"] == customer["id"]
    assert customer["email"] == f"{ada.id}@example.com"


def test_the_secret_of_an_operation_that_is_read_later_is_kept_by_no_cache(
    ada: Payer,
) -> None:
    """
    The operation of a 202 is read at its intent's address.
    """
    told = ada.call("POST", SET_UP).json()
    [intent] = databases.run(
        databases.fetch(
            ada.stack.world.database_url,
            "select id::text from intents where user_id = $1 and kind = 'set_up_card'",
            ada.id,
        )
    )

    answer = httpx.get(
        f"{ada.stack.service.url}/intents/{intent['id']}",
        headers={"Authorization": f"Bearer {ada.token}"},
        trust_env=False,
        verify=TLS,
    )

    assert answer.json()["result"] == told
    assert answer.headers["cache-control"] == "no-store"


def test_set_ups_one_after_the_other_share_a_customer(ada: Payer) -> None:
    """
    Each has its own secret; the customer is created once.
    """
    first, second = (ada.call("POST", SET_UP).json() for _ in range(2))

    assert first != second
    assert len(ada.customers) == 1


def test_a_card_set_up_in_the_browser_becomes_the_default(ada: Payer) -> None:
    """
    The user enters a card in Stripe's own form: the webhook reports it, the worker
    makes it the default, and payments are taken from it.
    """
    ada.call("POST", SET_UP)
    [set_up] = ada.have("setup_intent")

    ada.stack.wire.post(f"setup_intents/{set_up['id']}/confirm", payment_method=OTHER)
    ada.stack.settle()

    assert ada.status["card"]["brand"] == "mastercard"
    assert ada.subscribe().json()["status"] == "active"


@pytest.mark.parametrize("content", [b'{"a": 1}', b"[]", b"x", b"null"])
def test_a_card_set_up_takes_no_body(ada: Payer, content: bytes) -> None:
    """
    400, and no request is sent to the gateway.
    """
    answer = ada.call("POST", SET_UP, content=content)

    assert refusal(answer) == (400, "invalid_body")
    assert ada.customers == []


@pytest.mark.parametrize("content", [b"", b"{}", b" {}\n"])
def test_an_empty_object_is_no_body(ada: Payer, content: bytes) -> None:
    """
    Clients that always send JSON are served too.
    """
    assert ada.call("POST", SET_UP, content=content).status_code == 201


# Setting a card


def test_a_card_is_put_in_place_and_shown(ada: Payer) -> None:
    """
    Brand, last four digits and expiry: in the answer, and at once in the status.
    """
    answer = ada.give_card(GOOD)

    assert answer.status_code == 200
    told = answer.json()
    assert told["outcome"] == "updated"
    assert "client_secret" not in told
    assert (told["card"]["brand"], told["card"]["last4"]) == ("visa", "4242")
    assert {"exp_month", "exp_year"} <= set(told["card"])
    assert ada.status["card"] == told["card"]
    [method] = [
        it for it in ada.stack.objects("payment_method") if it["id"] == ada.card
    ]
    assert method["card"]["exp_year"] == told["card"]["exp_year"]


def test_a_new_card_takes_the_old_ones_place(ada: Payer) -> None:
    """
    The last card that was set is the default.
    """
    ada.give_card(GOOD)
    old = ada.card

    answer = ada.give_card(OTHER)

    assert answer.json()["card"]["brand"] == "mastercard"
    assert ada.card != old
    ada.stack.settle()
    assert ada.status["card"] == answer.json()["card"]


def test_the_card_that_is_in_place_may_be_put_again(ada: Payer) -> None:
    """
    By its id at the gateway; the state afterwards is the same.
    """
    first = ada.give_card(GOOD).json()
    before = ada.card

    again = ada.give_card(before)

    assert (again.status_code, again.json()) == (200, first)
    assert ada.card == before


def test_a_new_card_pays_what_was_begun_with_another(ada: Payer) -> None:
    """
    Also a subscription that was created with its own card.
    """
    ada.subscribe(payment_method=GOOD)

    ada.give_card(OTHER)

    [theirs] = ada.subscriptions
    assert theirs["default_payment_method"] == ada.card


def test_a_declined_card_leaves_the_old_one(ada: Payer) -> None:
    """
    402 with the bank's decline code; the status still shows the old card.
    """
    ada.give_card(GOOD)
    old, shown = ada.card, ada.status["card"]

    answer = ada.give_card(REFUSED)

    assert refusal(answer) == (402, "card_declined")
    assert answer.json()["decline_code"] == "generic_decline"
    assert (ada.card, ada.status["card"]) == (old, shown)


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
def test_a_decline_says_the_banks_word(
    ada: Payer, card: str, decline_code: str
) -> None:
    """
    If the bank gave no code, the error's code is returned.
    """
    answer = ada.give_card(card)

    assert refusal(answer) == (402, "card_declined")
    assert answer.json()["decline_code"] == decline_code


def test_after_a_decline_a_good_card_works_at_once(ada: Payer) -> None:
    """
    A refusal leaves no state that would block the next request.
    """
    ada.give_card(REFUSED)

    assert ada.give_card(GOOD).status_code == 200


def test_a_new_card_pays_what_is_past_due(ada: Payer) -> None:
    """
    The renewal failed; the new card pays it before it becomes the default.
    """
    began = ada.subscribed(GOOD)
    ada.stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    ada.pass_period()
    assert ada.status["payment_status"] == "failed"

    answer = ada.give_card(OTHER)
    ada.stack.settle()

    assert answer.json()["outcome"] == "updated"
    [shown] = ada.status["subscriptions"]
    assert (shown["id"], shown["status"]) == (began["id"], "active")
    assert ada.taken == [900, 900]
    assert ada.status["payment_status"] == "paid"


def test_a_new_card_pays_all_that_is_past_due_the_oldest_first(
    stack: ServiceWithSandbox, ada: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two renewals failed; the draft of the third is not due, and stays a draft.
    """
    # An account's setting: a subscription stays when all retries have failed.
    monkeypatch.setattr(stack.sandbox.engine.world, "after_retries", "past_due")
    ada.subscribed(GOOD)
    ada.stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    for _ in range(2):
        ada.pass_period()
    [subscription] = ada.living
    ada.stack.sandbox.advance(
        datetime.fromtimestamp(
            subscription["items"]["data"][0]["current_period_end"] + 60, UTC
        )
    )
    owed = [it for it in stack.objects("invoice") if it["status"] == "open"]
    drafts = [it for it in stack.objects("invoice") if it["status"] == "draft"]
    assert (len(owed), len(drafts)) == (2, 1)

    answer = ada.give_card(OTHER)
    ada.stack.settle()

    assert answer.json()["outcome"] == "updated"
    invoices = {it["id"]: it for it in stack.objects("invoice")}
    paid = [invoices[it["id"]] for it in owed]
    assert [it["status"] for it in paid] == ["paid", "paid"]
    assert invoices[drafts[0]["id"]]["status"] == "draft"
    assert ada.taken == [900, 900, 900]
    for it, charge in zip(paid, ada.charges[-2:], strict=True):
        [payment] = stack.wire.get("invoice_payments", invoice=it["id"])["data"]
        assert payment["payment"]["payment_intent"] == charge["payment_intent"]


def test_a_new_card_that_cannot_pay_what_is_due_is_no_new_card(ada: Payer) -> None:
    """
    402; the old card stays the default, and the debt stays open.
    """
    ada.subscribed(GOOD)
    old = ada.card
    ada.stack.sandbox.set_card(old, declines="insufficient_funds")
    ada.pass_period()

    answer = ada.give_card(FAILING)
    ada.stack.settle()

    assert refusal(answer) == (402, "card_declined")
    assert answer.json()["decline_code"] == "generic_decline"
    assert ada.card == old
    assert ada.status["payment_status"] == "failed"
    assert ada.taken == [900]


def test_a_bank_that_asks_about_what_is_due_is_answered_in_the_browser(
    ada: Payer,
) -> None:
    """
    The new card is set, the answer has the secret; once confirmed, the invoice is paid.
    """
    ada.subscribed(GOOD)
    ada.stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    ada.pass_period()

    answer = ada.give_card(ASKING)
    ada.stack.settle()
    waiting = ada.status["payment_status"]
    [theirs] = ada.subscriptions
    ada.stack.sandbox.authenticate(ada.stack.asked_of(theirs))
    ada.stack.settle()

    told = answer.json()
    assert (answer.status_code, told["outcome"]) == (200, "requires_action")
    assert told["client_secret"]
    assert told["card"]["last4"] == "3184"
    assert waiting == "failed"
    assert ada.status["payment_status"] == "paid"
    assert ada.taken == [900, 900]


def test_a_payment_method_that_is_none_is_unprocessable(ada: Payer) -> None:
    """
    The error names the field of the card.
    """
    answer = ada.give_card("pm_nobody_knows_this")

    assert refusal(answer) == (422, "unknown_reference")
    assert pointers(answer) == ["/payment_method"]


def test_another_users_card_is_refused(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    A payment method that is attached to one customer cannot be attached to another; it
    stays theirs.
    """
    bob = stack.user()
    bob.give_card(GOOD)

    answer = ada.give_card(bob.card)

    assert answer.status_code == 422
    assert pointers(answer) == ["/payment_method"]
    assert ada.status["card"] is None
    [customer] = bob.customers
    [method] = [it for it in stack.objects("payment_method") if it["id"] == bob.card]
    assert method["customer"] == customer["id"]


@pytest.mark.parametrize(
    "card", ["", "pm 1", "pm/../customers", "pm_é", "pm\n", "p" * 256, "pm\0", "pm-1"]
)
def test_what_is_no_id_is_refused_before_anything(ada: Payer, card: str) -> None:
    """
    400 with the field; no request is sent to the gateway.
    """
    answer = ada.give_card(card)

    assert refusal(answer) == (400, "invalid_value")
    assert pointers(answer) == ["/payment_method"]
    assert ada.customers == []


def test_t58_a_cards_number_is_refused_and_not_kept(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A card number must not be sent to this service: it is neither forwarded nor logged.
    """
    number = "4242424242424242"

    answer = ada.give_card(number)

    kept = databases.run(
        databases.fetch(
            stack.world.database_url,
            "select 1 from intents i where i::text like $1",
            f"%{number}%",
        )
    )
    assert answer.status_code in {400, 422}
    assert number not in answer.text
    assert ada.customers == []
    assert kept == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"payment_method": "pm_card_visa", "default": true}',
        b'{"payment_method": 1}',
        b'{"payment_method": null}',
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"",
    ],
)
def test_a_body_that_is_not_of_the_shape_is_refused(ada: Payer, content: bytes) -> None:
    """
    Unknown fields, wrong types, no JSON: 400, and no request is sent to the gateway.
    """
    answer = ada.call("PUT", "card", content=content)

    assert answer.status_code == 400
    assert problem_of(answer)["code"] in {"invalid_body", "invalid_json"}
    assert ada.customers == []


# Authorization


@pytest.mark.parametrize(("method", "path"), [("POST", SET_UP), ("PUT", "card")])
def test_without_a_token_nobody_is_anybody(ada: Payer, method: str, path: str) -> None:
    """
    401, with a challenge that says how to authenticate.
    """
    url = f"{ada.stack.service.url}/users/{ada.id}/{path}"

    answer = httpx.request(method, url, trust_env=False, verify=TLS)

    assert answer.status_code == 401
    assert problem_of(answer)["code"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_t41_another_users_card_does_not_exist(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    404 by id and by e-mail; the other user's card is unchanged.
    """
    bob = stack.user()
    bob.give_card(GOOD)
    before = bob.card

    for whom in (bob.id, f"{bob.id}@example.com"):
        body = {"payment_method": OTHER}
        put = ada.call("PUT", f"/users/{whom}/card", body)
        post = ada.call("POST", f"/users/{whom}/{SET_UP}")
        assert refusal(put) == refusal(post) == (404, "account_not_found")

    assert bob.card == before


def test_an_administrator_may_put_a_users_card(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    By the user's e-mail as well; the card is the user's.
    """
    # Their first call registers them.
    _ = ada.status

    answer = ada.call(
        "PUT",
        f"/users/{ada.id.upper()}@example.com/card",
        {"payment_method": GOOD},
        token=stack.world.admin(),
    )

    assert answer.status_code == 200
    assert ada.status["card"]["last4"] == "4242"
