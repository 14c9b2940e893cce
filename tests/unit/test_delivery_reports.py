"""Results of deliveries are counted, and failures are logged."""

from datetime import timedelta
from typing import Final

import pytest
import structlog

from contracts.examples import NOON
from payments_core.deliveries import Delivery, DeliveryKey, SendResult
from payments_core.identity import UserId
from support.ops_port import Ops

pytestmark = pytest.mark.anyio

NO: Final = SendResult(is_delivered=False, reason="it answered 500")
NEW: Final = Delivery.due(DeliveryKey("crm", 12), UserId("ada"), NOON)


async def test_attempts_are_counted_by_endpoint_and_what_became_of_them() -> None:
    """
    From zero on, so that growth is visible.
    """
    ops = Ops()
    ops.deliveries.begin("crm")
    ops.deliveries.begin("shop")
    failed = NEW.failed(NOON, NO, 0.5)
    ops.deliveries.delivered(NEW)
    for it in (failed, failed, failed.failed(NOON + timedelta(days=3), NO, 0.5)):
        ops.deliveries.failed(it)

    counted = {"delivered": 1, "failed": 2, "dead": 1}
    for outcome, count in counted.items():
        name = "payments_delivery_attempts_total"
        labels = f'outcome="{outcome}"'
        assert await ops.value(f'{name}{{endpoint="crm",{labels}}}') == count
        assert await ops.value(f'{name}{{endpoint="shop",{labels}}}') == 0


def test_what_fails_is_told_and_a_dead_one_loudly() -> None:
    """
    With its id and the reason, and without any data of the user.
    """
    reports = Ops().deliveries
    failed = NEW.failed(NOON, NO, 0.5)
    with structlog.testing.capture_logs() as lines:
        reports.delivered(NEW)
        reports.failed(failed)
        reports.failed(failed.failed(NOON + timedelta(days=3), NO, 0.5))
        reports.bug(NEW, KeyError("x"))

    told = [(it["log_level"], it["event"], it["delivery"]) for it in lines]
    assert told == [
        ("warning", "delivery failed", "crm:12"),
        ("error", "delivery is dead", "crm:12"),
        ("error", "bug", "crm:12"),
    ]
    assert lines[0]["reason"] == "it answered 500"
    assert "ada" not in f"{lines[:2]}"
