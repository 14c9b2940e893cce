"""Why a user has access or not, as it is told."""

from datetime import datetime, timedelta

import msgspec
import pytest

from contracts.examples import NOON, in_trial
from payments_service.presentation.explanation import why_entitled
from payments_service.presentation.schemas import (
    KnownSubscriptionOut,
    PaymentStatusOut,
)

DAY = timedelta(days=1)


def status(until: datetime | None, *, entitled: bool) -> PaymentStatusOut:
    return PaymentStatusOut(
        user_id="ada",
        email="ada@example.com",
        payment_status="paid",
        payment_expire_date=until,
        entitled=entitled,
        card=None,
        subscriptions=[],
    )


@pytest.mark.parametrize(
    ("until", "entitled", "said"),
    [
        (None, False, "no period is paid for, or free"),
        (NOON + DAY, True, "paid or free until {until}; it is {now}"),
        (NOON, True, "paid or free until {until}; it is {now}, within the grace"),
        (NOON - DAY, True, "paid or free until {until}; it is {now}, within the grace"),
        (NOON - DAY, False, "paid or free until {until}; it is {now}, and no grace"),
    ],
)
def test_access_follows_from_the_date_and_the_time(
    until: datetime | None,
    entitled: bool,  # noqa: FBT001  # a column
    said: str,
) -> None:
    """
    Never paid for, before the end, at it, within its grace, and after that.
    """
    why = why_entitled(status(until, entitled=entitled), NOON)

    shown = {
        name: f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
        for name, at in (("now", NOON), ("until", until))
    }
    assert why.startswith(said.format(**shown))
    assert ("grace" in why) is ("grace" in said)


@pytest.mark.parametrize(
    ("later", "said"), [(timedelta(0), "in a trial until"), (DAY, "paid or free until")]
)
def test_a_trial_is_said_to_be_one(later: timedelta, said: str) -> None:
    """
    Where it is what the date comes from.
    """
    trial = KnownSubscriptionOut.known(in_trial())
    assert trial.trial_end is not None
    shown = msgspec.structs.replace(
        status(trial.trial_end + later, entitled=True),
        payment_status="trialing",
        subscriptions=[trial],
    )
    assert why_entitled(shown, NOON).startswith(said)
