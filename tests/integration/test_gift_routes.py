"""Only an administrator gives free time or a custom price, by whatever route."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from support.service_with_sandbox import (
    BASIC,
    OTHER,
    Payer,
    ServiceWithSandbox,
    pointers,
    refusal,
)

SECOND: Final = timedelta(seconds=1)


def both(payer: Payer, id_: str, **change: Any) -> Sequence[httpx.Response]:
    """Request a change, and its cost."""
    path = f"subscriptions/{id_}"
    return [
        payer.call("POST", f"{path}/preview", change),
        payer.call("PATCH", path, change),
    ]


def credit(payer: Payer) -> int:
    """Return what the gateway owes a user."""
    return -sum(int(it["balance"]) for it in payer.customers)


# Trials


def test_a_trial_is_of_one_product_and_quantity(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A change could make the trial one of a more expensive product, or of a hundred
    seats: 403, with the field, for the change and for its preview. An administrator may
    do it.
    """
    told = ada.admin.subscribed(trial_days=10)
    before = ada.subscriptions

    for field, change in (
        ("product", {"product": stack.other_product}),
        ("product", {"product": stack.other_product, "quantity": 100}),
        ("quantity", {"quantity": 2}),
        ("quantity", {"product": stack.product, "quantity": 100}),
    ):
        for answer in both(ada, told["id"], **change):
            assert refusal(answer) == (403, "trial_not_allowed")
            assert pointers(answer) == [f"/{field}"]

    assert ada.subscriptions == before
    given = both(ada.admin, told["id"], product=stack.other_product, quantity=3)
    assert [it.status_code for it in given] == [200, 200]
    assert ada.taken == []


def test_what_is_no_gift_is_changed_in_a_trial(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Fewer seats, the trial's own product, its end and back again: the trial ends when it
    did.
    """
    told = ada.admin.subscribed(trial_days=10, quantity=3)

    for change in (
        {"quantity": 1},
        {"product": stack.product},
        {"cancel_at_period_end": True},
        {"cancel_at_period_end": False},
    ):
        answer = ada.change(told["id"], **change)
        assert answer.status_code == 200, answer.text
        assert answer.json()["trial_end"] == told["trial_end"]
    assert ada.status["payment_expire_date"] == told["trial_end"]


@pytest.mark.parametrize(
    "field", ["trial_days", "trial_end", "billing_cycle_anchor", "proration_behavior"]
)
def test_a_change_has_no_trial(ada: Payer, field: str) -> None:
    """
    Nor other parameters of the gateway that make time free: 400, for an administrator
    too.
    """
    told = ada.admin.subscribed(trial_days=10)

    for payer in (ada, ada.admin):
        for answer in both(payer, told["id"], **{"quantity": 1, field: 30}):
            assert refusal(answer) == (400, "invalid_body")
    assert ada.status["payment_expire_date"] == told["trial_end"]


def test_a_user_has_no_trial_of_ones_own_whenever_and_under_whatever_name(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Of a second product, by e-mail, by a former e-mail, during a trial, after it was
    ended, and after one of another product: 403, or the user is not found.
    """

    def refused(path: str = "subscriptions") -> set[tuple[int, str]]:
        orders = [
            {"product": it, "trial_days": 1}
            for it in (stack.product, stack.other_product)
        ]
        return {refusal(ada.call("POST", path, order)) for order in orders}

    trial_not_allowed = {(403, "trial_not_allowed")}
    email, renamed = f"{ada.id}@example.com", f"new-{ada.id}@example.com"
    told = ada.admin.subscribed(trial_days=10)
    assert refused() == trial_not_allowed
    assert refused(f"/users/{email}/subscriptions") == trial_not_allowed
    stack.service.register(ada.id, renamed)
    assert refused(f"/users/{renamed}/subscriptions") == trial_not_allowed
    assert refused(f"/users/{email}/subscriptions") == {(404, "account_not_found")}
    ada.call("DELETE", f"subscriptions/{told['id']}").raise_for_status()
    assert refused() == trial_not_allowed

    assert len(ada.subscriptions) == 1


def test_a_trial_that_was_ended_is_not_begun_again(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The next subscription is paid; nor can a change revive the ended one.
    """
    told = ada.admin.subscribed(trial_days=10)
    ada.call("DELETE", f"subscriptions/{told['id']}").raise_for_status()
    for change in ({"cancel_at_period_end": False}, {"product": stack.other_product}):
        answer = ada.change(told["id"], **change)
        assert refusal(answer) == (409, "subscription_ended")

    again = ada.subscribe()

    assert (again.status_code, again.json()["status"]) == (201, "active")
    assert again.json()["trial_end"] is None
    assert ada.taken == [BASIC]


def test_an_administrators_key_is_no_users(ada: Payer) -> None:
    """
    Under the key of the operation that gave the trial, a user requests one of their
    own: 403; an administrator with another body gets nothing either.
    """
    admin = ada.admin
    given = admin.subscribe(trial_days=10, key="given")

    asked = ada.subscribe(trial_days=10, key="given")
    longer = admin.subscribe(trial_days=700, key="given")
    again = admin.subscribe(trial_days=10, key="given")

    assert refusal(asked) == (403, "trial_not_allowed")
    assert refusal(longer) == (422, "idempotency_key_reused")
    assert again.json() == given.json()
    assert len(ada.subscriptions) == 1


def test_a_trial_that_may_have_begun_is_no_way_to_a_second(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The gateway created it and did not answer: until that is resolved nothing else of
    the product begins, and in the end the given subscription exists.
    """
    admin = ada.admin
    stack.sandbox.plan("timeout_after", "POST /v1/subscriptions")
    given = admin.subscribe(trial_days=10)
    for answer in (ada.subscribe(), admin.subscribe(trial_days=20)):
        assert refusal(answer) == (409, "operation_in_progress")
    stack.settle(timedelta(minutes=10))

    assert given.status_code == 202
    [one] = ada.subscriptions
    assert one["trial_end"] - one["trial_start"] == 10 * 86_400
    assert ada.status["payment_status"] == "trialing"


def test_trials_that_are_given_at_once_are_one(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Of one product, by eight requests with different keys: the others get that
    subscription, or that it is under way.
    """
    admin = ada.admin

    def give(number: int) -> httpx.Response:
        return admin.subscribe(trial_days=10 + number, key=f"trial-{number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(give, range(8)))
    stack.settle()

    told = Counter(it.status_code for it in answers)
    assert (told[201], told[201] + told[409]) == (1, 8)
    assert len(ada.subscriptions) == 1


# What was not paid gives nothing back


def test_a_renewal_that_failed_gives_nothing_back(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Ten seats are unpaid: one seat instead would be a credit for nine that were never
    paid, and months of free time. 409 with the field until the debt is paid.
    """
    told = ada.subscribed(quantity=10)
    stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    stack.pass_by("1 month")

    # Its invoice is a draft for an hour; then the payment fails.
    for overdue in (False, True):
        for field, change in (
            ("quantity", {"quantity": 1}),
            ("product", {"product": stack.other_product}),
            ("product", {"product": stack.other_product, "quantity": 20}),
            *([("quantity", {"quantity": 11})] if overdue else ()),
        ):
            for answer in both(ada, told["id"], **change):
                assert refusal(answer) == (409, "period_not_paid")
                assert pointers(answer) == [f"/{field}"]
        stack.pass_by("2 hours")
    assert (credit(ada), ada.taken) == (0, [10 * BASIC])

    ada.give_card(OTHER).raise_for_status()
    stack.settle()
    answers = both(ada, told["id"], quantity=1)

    assert [it.status_code for it in answers] == [200, 200]
    assert ada.taken == [10 * BASIC, 10 * BASIC]
    assert 0 < credit(ada) < 9 * BASIC + 1


def test_what_was_paid_unheard_of_is_not_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The change and its preview check the gateway before they refuse: the renewal failed,
    and was paid elsewhere.
    """
    told = ada.subscribed(quantity=10)
    stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    ada.pass_period()
    assert ada.status["payment_status"] == "failed"
    [theirs], [customer] = ada.subscriptions, ada.customers
    try:
        stack.sandbox.chaos(never_made=1)
        stack.wire.post(f"payment_methods/{OTHER}/attach", customer=customer["id"])
        [other, _] = stack.wire.get("payment_methods", customer=customer["id"])["data"]
        invoice = f"invoices/{theirs['latest_invoice']}/pay"
        stack.wire.post(invoice, payment_method=other["id"])
    finally:
        stack.sandbox.chaos(never_made=0)

    answers = both(ada, told["id"], quantity=1)

    assert [it.status_code for it in answers] == [200, 200]
    assert ada.get(f"subscriptions/{told['id']}")["status"] == "active"


def test_a_trial_that_ended_unheard_of_is_none_any_more(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The gateway is checked before the refusal, and says that the first month is paid.
    """
    told = ada.admin.subscribed(trial_days=1)
    try:
        stack.sandbox.chaos(never_made=1)
        stack.sandbox.advance("26 hours")
    finally:
        stack.sandbox.chaos(never_made=0)
    assert ada.get(f"subscriptions/{told['id']}")["status"] == "trialing"

    answers = both(ada, told["id"], quantity=2)

    assert [it.status_code for it in answers] == [200, 200]
    assert ada.taken[0] == BASIC
    assert len(ada.taken) == 2


def test_money_that_went_back_is_not_given_back_again(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The month was refunded: a change gives no credit for it. More seats can be bought.
    """
    told = ada.subscribed(quantity=10)
    [charge] = ada.charges
    stack.wire.post("refunds", charge=charge["id"])
    stack.settle()

    for answer in both(ada, told["id"], quantity=1):
        assert refusal(answer) == (409, "period_not_paid")
    assert credit(ada) == 0
    assert ada.change(told["id"], quantity=11).status_code == 200
    assert len(ada.taken) == 2


def test_a_payment_that_is_disputed_gives_nothing_back(ada: Payer) -> None:
    """
    The bank has the money, and may keep it. A user who has won the dispute may change
    again.
    """
    told = ada.subscribed("pm_card_createDispute", quantity=10)
    assert ada.status["payment_status"] == "disputed"

    for answer in both(ada, told["id"], quantity=1):
        assert refusal(answer) == (409, "period_not_paid")
    assert credit(ada) == 0

    [dispute] = [
        it
        for it in ada.stack.objects("dispute")
        if it["charge"] == ada.charges[0]["id"]
    ]
    evidence = {"uncategorized_text": "winning_evidence"}
    ada.stack.wire.post(f"disputes/{dispute['id']}", evidence=evidence, submit="true")
    ada.stack.settle()
    assert ada.change(told["id"], quantity=1).status_code == 200


def test_a_newer_payment_does_not_hide_that_money_is_disputed(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Something else was bought and paid since: the disputed month gives no credit.
    """
    told = ada.subscribed("pm_card_createDispute", quantity=10)
    ada.give_card().raise_for_status()
    other = stack.wire.post(
        "prices",
        currency="eur",
        unit_amount=500,
        recurring={"interval": "month"},
        product_data={"name": "another"},
    )
    stack.pass_by("2 hours")
    assert ada.admin.subscribe(price=other["id"]).status_code == 201
    stack.settle()
    assert ada.status["payment_status"] == "paid"

    for answer in both(ada, told["id"], quantity=1):
        assert refusal(answer) == (409, "period_not_paid")
    assert credit(ada) == 0


def test_an_upgrade_that_is_not_paid_is_no_credit_either(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A hundred seats, held for their payment, then one again: nothing was paid, so
    nothing is credited.
    """
    told = ada.subscribed()
    stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    held = ada.change(told["id"], quantity=100)
    stack.settle()
    back = ada.change(told["id"], quantity=1)
    stack.settle()

    assert held.json()["quantity"] == 1
    assert back.status_code in {200, 422}
    assert (credit(ada), ada.taken) == (0, [BASIC])


# Prices


def test_a_product_that_is_free_is_changed_to_one_that_costs(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    An invoice of zero counts as paid: so does the period, and the change uses its
    price.
    """
    free = stack.wire.post(
        "prices",
        currency="eur",
        unit_amount=0,
        recurring={"interval": "month"},
        product_data={"name": "Free"},
    )
    stack.wire.post(f"products/{free['product']}", default_price=free["id"])
    told = ada.subscribed(product=free["product"])
    assert ada.taken == []

    answers = both(ada, told["id"], product=stack.product)

    assert [it.status_code for it in answers] == [200, 200]
    assert ada.taken == [BASIC]


def test_a_price_that_is_no_longer_sold_is_kept_and_not_come_back_to(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A user with that price keeps it with another quantity; a user who has left it pays
    the usual price.
    """
    cheap = stack.wire.post(
        "prices",
        currency="eur",
        unit_amount=100,
        recurring={"interval": "month"},
        product=stack.product,
    )["id"]
    ada.give_card()
    told = ada.admin.subscribed_without_card(price=cheap)
    stack.wire.post(f"prices/{cheap}", active="false")

    kept = ada.change(told["id"], quantity=2)
    left = ada.change(told["id"], product=stack.product)

    assert (kept.status_code, kept.json()["price"]) == (200, cheap)
    assert (left.status_code, left.json()["price"]) == (200, stack.basic)
    for answer in both(ada, told["id"], price=cheap):
        assert refusal(answer) == (403, "price_not_allowed")
    assert refusal(ada.subscribe(price=cheap)) == (403, "price_not_allowed")


@pytest.mark.parametrize("by", ["price", "both"])
def test_no_price_is_named_in_an_order_by_e_mail_or_beside_a_product(
    stack: ServiceWithSandbox, ada: Payer, by: str
) -> None:
    """
    Not at any path for users, and not together with the documented fields.
    """
    _ = ada.status
    order = {"price": {"price": stack.pro}}.get(
        by, {"product": stack.product, "price": stack.pro}
    )
    expected = {"price": (403, "price_not_allowed")}.get(by, (400, "invalid_value"))

    for whose in (ada.id, f"{ada.id}@example.com"):
        answer = ada.call("POST", f"/users/{whose}/subscriptions", order)
        assert refusal(answer) == expected
    assert ada.customers == []


@pytest.mark.parametrize(
    "quantity",
    ["0", "-1", "1.0", "1e2", "true", '"1"', "null", "1000001", "9" * 30],
)
def test_a_quantity_is_a_whole_number_that_is_sold(
    stack: ServiceWithSandbox, begun: tuple[Payer, str], quantity: str
) -> None:
    """
    400 with the field, for the order, the change and its preview.
    """
    payer, id_ = begun
    before, path = list(stack.posts), f"subscriptions/{id_}"
    other = f'{{"product": "{stack.other_product}", "quantity": {quantity}}}'

    for method, where, body in (
        ("POST", "subscriptions", other),
        ("PATCH", path, f'{{"quantity": {quantity}}}'),
        ("PATCH", path, other),
        ("POST", f"{path}/preview", f'{{"quantity": {quantity}}}'),
    ):
        answer = payer.call(method, where, content=body.encode())
        assert answer.status_code == 400
        assert pointers(answer) == ["/quantity"]
    assert stack.posts == before


def test_anothers_card_pays_nothing(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    It is attached to its owner: it works neither for an order nor as another user's
    card.
    """
    ada.subscribed()
    eve = stack.user()
    _ = eve.status

    for answer in (eve.subscribe(payment_method=ada.card), eve.give_card(ada.card)):
        assert refusal(answer) == (422, "gateway_refused")
        assert pointers(answer) == ["/payment_method"]
    assert eve.charges == []
    assert ada.taken == [BASIC]
