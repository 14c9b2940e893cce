"""Why a user has access or not, as it is presented."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import click
import msgspec
import pytest

from contracts.examples import NOON, in_trial
from payments_core.entitlement import PaymentStatus
from payments_core.explanation import (
    OPERATORS_ACTIONS,
    AccessCode,
    Action,
    ActionKind,
    CauseCode,
    FactKind,
    StepKind,
)
from payments_service.cli.root import payments
from payments_service.presentation import PREFIX
from payments_service.presentation.explanation import (
    ACCESS,
    ACTIONS,
    CAUSES,
    FACTS,
    STEPS,
    ActionOut,
    why_entitled,
)
from payments_service.presentation.schemas import (
    KnownSubscriptionOut,
    PaymentStatusOut,
)

DAY = timedelta(days=1)
ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())


def status(until: datetime | None, *, entitled: bool) -> PaymentStatusOut:
    return PaymentStatusOut(
        user_id="ada",
        email="ada@example.com",
        payment_status=PaymentStatus.PAID,
        payment_expire_date=until,
        entitled=entitled,
        card=None,
        subscriptions=[],
    )


@pytest.mark.parametrize(
    ("until", "entitled", "said"),
    [
        (None, False, "no period is paid for or free"),
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
    If the date comes from it.
    """
    trial = KnownSubscriptionOut.known(in_trial())
    assert trial.trial_end is not None
    shown = msgspec.structs.replace(
        status(trial.trial_end + later, entitled=True),
        payment_status="trialing",
        subscriptions=[trial],
    )
    assert why_entitled(shown, NOON).startswith(said)


def test_each_code_has_its_sentence() -> None:
    """
    Without one an explanation could not be shown.
    """
    assert set(CAUSES) == set(CauseCode)
    assert set(ACCESS) == set(AccessCode)
    assert set(FACTS) == set(FactKind)
    assert set(STEPS) == set(StepKind)
    assert set(ACTIONS) == set(ActionKind)
    theirs = {kind for kind, (who, _, _) in ACTIONS.items() if who == "operator"}
    assert theirs == OPERATORS_ACTIONS


@pytest.mark.parametrize("kind", ActionKind)
def test_what_is_to_be_typed_can_be_typed(kind: ActionKind) -> None:
    """
    A command of ours that takes these arguments, or a route; or it is done at Stripe.
    """
    how = ActionOut.of(Action(kind, ("x_1",)), "ada").how

    if not how.startswith("payments "):
        if how:
            method, address = how.split()
            path, _, query = address.partition("?")
            route = path.replace("/ada/", "/{user}/").replace("x_1", "{intent}")
            operation = DOCUMENT["paths"][f"{PREFIX}{route}"][method.lower()]
            taken = {it["name"] for it in operation["parameters"]}
            assert {name for name, _ in parse_qsl(query)} <= taken
        return
    group, name, *words = how.removeprefix("payments ").split()
    parent = payments.get_command(click.Context(payments), group)
    assert isinstance(parent, click.Group)
    command = parent.get_command(click.Context(parent), name)
    assert command is not None
    assert command.make_context(name, words).params
