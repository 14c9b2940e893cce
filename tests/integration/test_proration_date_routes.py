"""A preview's date that is used for another change, over HTTP.

The gateway's clock is behind ours, so that what is recent for us is in its own past.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from support.service_with_sandbox import (
    Payer,
    ServiceWithSandbox,
    moment,
    pointers,
    refusal,
    selling,
)

SECOND: Final = timedelta(seconds=1)
EXPIRED: Final = (422, "preview_expired")


@pytest.fixture
def behind(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    with selling(postgres, template, ago=timedelta(minutes=5)) as stack:
        yield stack


def both(payer: Payer, id_: str, **change: Any) -> Sequence[httpx.Response]:
    """Request a change, and its cost."""
    path = f"subscriptions/{id_}"
    return [
        payer.call("POST", f"{path}/preview", change),
        payer.call("PATCH", path, change),
    ]


def test_a_date_is_none_for_a_subscription_that_is_younger(
    behind: ServiceWithSandbox,
) -> None:
    """
    Of another user's preview, a minute before the subscription began: proration never
    starts before the subscription.
    """
    bob, ada = behind.user(), behind.user()
    path = f"subscriptions/{bob.subscribed()['id']}/preview"
    told = bob.call("POST", path, {"quantity": 2}).json()
    behind.sandbox.advance("1 minute")
    id_ = ada.subscribed()["id"]
    before = list(behind.posts)

    for answer in both(ada, id_, quantity=2, proration_date=told["proration_date"]):
        assert refusal(answer) == EXPIRED
        assert pointers(answer) == ["/proration_date"]
    assert behind.posts == before


def test_a_date_of_another_change_costs_what_a_preview_of_this_one_says(
    behind: ServiceWithSandbox,
) -> None:
    """
    No preview is stored: a date is valid for any change of the subscription, once.
    After a change it is older than the change, whatever comes next.
    """
    ada = behind.user()
    id_ = ada.subscribed()["id"]
    path = f"subscriptions/{id_}/preview"
    date = ada.call("POST", path, {"quantity": 2}).json()["proration_date"]
    behind.sandbox.advance("1 minute")
    dear = {"product": behind.other_product, "quantity": 1000, "proration_date": date}

    told, made = both(ada, id_, **dear)
    paid = ada.taken[-1]
    assert (told.status_code, made.status_code) == (200, 200)
    assert told.json()["due"]["amount_minor"] == paid
    for change in ({"quantity": 1}, {"quantity": 1001}, {"product": behind.product}):
        for answer in both(ada, id_, **change, proration_date=date):
            assert refusal(answer) == EXPIRED

    assert ada.change(id_, quantity=1).status_code == 200
    [customer] = ada.customers
    assert 0 < -customer["balance"] < sum(ada.taken)


def test_a_date_before_a_renewal_that_was_not_heard_of_is_refused(
    postgres: str, template: str
) -> None:
    """
    We take the period for the current one, and the gateway knows better: the same 422,
    for the change and for its preview, and nothing is changed.
    """
    with selling(postgres, template, ago=timedelta(days=1, minutes=1)) as stack:
        price = stack.wire.post(
            "prices",
            currency="eur",
            unit_amount=100,
            recurring={"interval": "day"},
            product_data={"name": "Day"},
        )
        stack.wire.post(f"products/{price['product']}", default_price=price["id"])
        ada = stack.user()
        began = ada.subscribed(product=price["product"])
        stack.sandbox.chaos(never_made=1)
        stack.sandbox.advance(datetime.now(UTC))
        late = (moment(began["current_period_end"]) - SECOND).isoformat()

        for answer in both(ada, began["id"], quantity=100, proration_date=late):
            assert refusal(answer) == EXPIRED
            assert pointers(answer) == ["/proration_date"]
        [theirs] = ada.subscriptions
        assert theirs["items"]["data"][0]["quantity"] == 1
