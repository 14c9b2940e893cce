"""Returned money takes back exactly what it bought: end to end, over HTTP."""

from typing import Any

from support.service_with_sandbox import PRO, Payer, ServiceWithSandbox


def refunded(stack: ServiceWithSandbox, charge: dict[str, Any]) -> None:
    """Refund a charge in full; the webhooks arrive, and the worker works."""
    stack.wire.post("refunds", charge=charge["id"])
    stack.settle()


def charged(stack: ServiceWithSandbox, payer: Payer, amount: int) -> dict[str, Any]:
    """Take a payment from a payer without an invoice; return the charge."""
    [customer] = payer.customers
    intent = stack.wire.post(
        "payment_intents",
        amount=amount,
        currency="eur",
        customer=customer["id"],
        payment_method=payer.card,
        confirm=True,
        off_session=True,
    )
    stack.settle()
    charge: dict[str, Any] = stack.wire.get(f"charges/{intent['latest_charge']}")
    return charge


def test_a_refund_of_a_one_off_charge_takes_no_period(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Her month was paid, she bought something else as well, and that was refunded.
    """
    ada.subscribed()
    before = ada.status
    assert before["payment_status"] == "paid"
    one_off = charged(stack, ada, 500)

    refunded(stack, one_off)

    assert ada.status == before


def test_a_refund_of_an_upgrade_takes_no_period(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The extra cost for the rest of the month is refunded; the month stays.
    """
    id_ = ada.subscribed()["id"]
    ada.admin.change(id_, price=stack.pro)
    stack.settle()
    before = ada.status
    upgrade = ada.charges[-1]
    assert upgrade["amount"] < PRO

    refunded(stack, upgrade)

    assert ada.status == before


def test_a_refund_of_a_period_takes_it(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    It was the only one: the date is removed with it.
    """
    ada.subscribed()
    [first] = ada.charges

    refunded(stack, first)

    status = ada.status
    assert (status["payment_status"], status["entitled"]) == ("refunded", False)
    assert status["payment_expire_date"] is None


def test_a_refund_that_fails_takes_nothing_in_the_end(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The bank returns the money five minutes later: the month is paid for again.
    """
    ada.subscribed("pm_card_refundFail")
    before = ada.status
    [first] = ada.charges
    refunded(stack, first)
    assert ada.standing == ("refunded", False)

    stack.pass_by("10 minutes")

    assert ada.status == before


def test_an_item_that_was_added_elsewhere_is_not_taken_for_ours(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Created in the same second, and paid monthly like ours: it moves nothing of ours,
    and a change of ours does not affect it.
    """
    id_ = ada.subscribed()["id"]
    [subscription] = ada.living
    [own] = subscription["items"]["data"]
    stack.wire.post(
        f"subscriptions/{subscription['id']}",
        items=[{"price": stack.pro, "quantity": 3}],
    )
    stack.settle()
    stack.pass_by("32 days")

    ours = ada.get(f"subscriptions/{id_}")
    assert (ours["price"], ours["quantity"]) == (stack.basic, 1)
    assert ada.status["payment_expire_date"] == ours["current_period_end"]
    assert ada.standing == ("paid", True)
    assert ada.change(id_, quantity=2).status_code == 200
    stack.settle()
    [subscription] = ada.living
    items = {it["id"]: it["quantity"] for it in subscription["items"]["data"]}
    assert items.pop(own["id"]) == 2
    assert list(items.values()) == [3]


def test_a_refund_of_the_last_month_leaves_the_one_before(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The date is the trial's end again; the next paid month moves it on.
    """
    ada.subscribed()
    first_end = ada.status["payment_expire_date"]
    ada.pass_period()
    assert ada.status["payment_expire_date"] > first_end

    refunded(stack, ada.charges[-1])

    status = ada.status
    assert status["payment_status"] == "refunded"
    assert status["payment_expire_date"] == first_end
    ada.pass_period()
    assert ada.status["payment_status"] == "paid"
    assert ada.status["payment_expire_date"] > first_end


def test_a_later_payment_does_not_show_a_period_that_went_back_as_paid(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The upgrade came after the refunded month, and is not one itself.
    """
    id_ = ada.subscribed()["id"]
    ada.admin.change(id_, price=stack.pro)
    stack.settle()

    refunded(stack, ada.charges[0])

    assert ada.standing == ("refunded", False)
    assert ada.status["payment_expire_date"] is None


def test_a_part_that_goes_back_takes_nothing(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The rest was not refunded, and it paid for the month.
    """
    ada.subscribed()
    before = ada.status
    [first] = ada.charges

    stack.wire.post("refunds", charge=first["id"], amount=first["amount"] - 1)
    stack.settle()

    assert ada.status == before
