"""The body that an endpoint is sent for a change."""

import json
from datetime import timedelta
from typing import Final

import attrs
import msgspec

from contracts.examples import ADA, NOON
from payments_core.access import Grant, GrantKind, GrantSource
from payments_core.entitlement import PaymentStatus
from payments_core.feed import FeedChange
from payments_core.identity import UserId
from payments_core.policy import Policy
from payments_service.presentation.deliveries import change_body
from payments_service.presentation.feed import ChangeOut

POLICY: Final = Policy()
A_GRANT: Final = Grant(
    product="prod_pro",
    price="price_month",
    paid_until=NOON + timedelta(days=30),
    has_grace=True,
    because=GrantSource(GrantKind.PAID_PERIOD, "in_1"),
)


def test_a_body_is_the_change_of_the_feed_with_its_type() -> None:
    """
    In the form of Standard Webhooks; the same change has the same bytes.
    """
    change = FeedChange(
        position=12,
        user_id=UserId(ADA),
        version=4,
        at=NOON,
        payment_status=PaymentStatus.PAID,
        payment_expire_date=NOON + timedelta(days=30),
        entitled_until=NOON + timedelta(days=33),
        grants=(A_GRANT,),
        cause="payment reported",
    )

    body = change_body(POLICY, change)

    shown = json.loads(body)
    assert list(shown) == ["type", "timestamp", "data"]
    assert shown["type"] == "access.changed"
    assert shown["timestamp"] == "2026-01-31T12:00:00.123456Z"
    assert shown["data"] == msgspec.to_builtins(ChangeOut.of(change, POLICY))
    assert shown["data"]["position"] == 12
    assert change_body(POLICY, attrs.evolve(change)) == body
