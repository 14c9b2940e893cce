"""A change of a subscription: its proration date, its preview, and repetitions."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payments_core.caller import Caller
from payments_core.errors import (
    IdempotencyKeyReused,
    InvalidValue,
    PreviewExpired,
)
from payments_core.intent import IntentState
from payments_core.subscription import Subscription
from payments_core.use_cases import Change
from payments_core.use_cases.price_rules import PREVIEW_TTL, require_recent
from support.deployment import ADA, Deployment, admin
from support.operations import (
    BASIC,
    CALLER,
    DAY,
    changed,
    only,
    ordered,
    subscribed,
    taken,
)

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)


# Rule 3: the proration date


MOMENT = datetime(2026, 3, 20, 12, tzinfo=UTC)
MONTH = 31 * DAY


@pytest.fixture(scope="module")
async def one() -> Any:
    async with Deployment.opened() as deployment:
        return await subscribed(deployment)


@given(
    age_us=st.integers(-700_000_000, 700_000_000) | st.integers(-(10**13), 10**13),
    into_us=st.integers(-700_000_000, 700_000_000) | st.integers(-(10**13), 10**13),
    hours=st.integers(-14, 14),
)
@example(age_us=0, into_us=0, hours=0)
@example(age_us=-1, into_us=1, hours=0)
@example(age_us=600_000_000, into_us=0, hours=-14)
@example(age_us=600_000_001, into_us=0, hours=0)
@example(age_us=0, into_us=-1, hours=14)
@example(age_us=0, into_us=31 * 86_400 * 10**6, hours=0)
@example(age_us=0, into_us=31 * 86_400 * 10**6 - 1, hours=0)
async def test_a_proration_date_is_at_most_600_s_old_and_of_this_period(
    one: Any, age_us: int, into_us: int, hours: int
) -> None:
    """
    Both ends of the 600 s and the period's first moment are included; the future, and
    the moment that ends the period, are not. The offset in which it is given does not
    matter.
    """
    date = MOMENT.astimezone(timezone(timedelta(hours=hours)))
    now = MOMENT + timedelta(microseconds=age_us)
    start = MOMENT - timedelta(microseconds=into_us)
    at = attrs.evolve(
        one,
        report=attrs.evolve(one.report, period_start=start, period_end=start + MONTH),
    )
    good = 0 <= age_us <= 600_000_000 and 0 <= into_us < MONTH / SECOND * 10**6

    if good:
        require_recent(date, at, now=now)
    else:
        with pytest.raises(PreviewExpired) as caught:
            require_recent(date, at, now=now)
        assert caught.value.field == "proration_date"


async def test_a_date_ahead_of_our_clock_is_refused_with_advice_that_works() -> None:
    """
    The gateway's clock is ahead: another preview would return such a date again, and
    the change without a date is made.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        ahead = Change(quantity=2, proration_date=deployment.clock.now + SECOND)

        with pytest.raises(PreviewExpired) as caught:
            await deployment.change(ADA, one.id, ahead, caller=CALLER, key=None)
        done = await changed(deployment, one.id, quantity=2)

        assert str(caught.value) == (
            "proration_date: ahead of the clock of this service; "
            "make the change without it"
        )
        assert done.state is IntentState.SUCCEEDED


async def test_a_date_from_before_the_last_change_is_no_date_for_the_next() -> None:
    """
    More seats from now, then fewer from ten minutes ago, would refund ten minutes that
    were never paid, again and again.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        told = await deployment.preview(ADA, one.id, Change(quantity=2), caller=CALLER)
        await deployment.advance(timedelta(minutes=5))
        more = Change(quantity=1_000)
        await deployment.change(ADA, one.id, more, caller=CALLER, key=None)
        fewer = Change(quantity=1, proration_date=told.proration_date)

        with pytest.raises(PreviewExpired, match="before the last change"):
            await deployment.change(ADA, one.id, fewer, caller=CALLER, key=None)
        with pytest.raises(PreviewExpired, match="before the last change"):
            await deployment.preview(ADA, one.id, fewer, caller=CALLER)
        again = await deployment.preview(ADA, one.id, Change(quantity=1), caller=CALLER)
        fresh = Change(quantity=1, proration_date=again.proration_date)
        done = await deployment.change(ADA, one.id, fresh, caller=CALLER, key=None)
        assert done.intent.state is IntentState.SUCCEEDED


def dates(deployment: Deployment, one: Subscription) -> list[datetime]:
    """Return dates that nobody may name."""
    now, report = deployment.clock.now, one.report
    return [
        now - PREVIEW_TTL - SECOND,
        now + SECOND,
        # Here 100 seats would cost nothing.
        report.period_end - SECOND,
        report.period_end,
        # Here a smaller plan would refund the whole month.
        report.period_start,
        report.period_start - SECOND,
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ]


@pytest.mark.parametrize("caller", [CALLER, admin()], ids=["user", "admin"])
async def test_a_date_of_ones_own_is_refused(caller: Caller) -> None:
    """
    By the change and by its preview, for an administrator as well: 100 seats cost their
    price. Nothing is saved, and no request is sent to the gateway.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        before = len(deployment.intents)
        asked: list[str] = []
        deployment.engine.watch = lambda request, _: asked.append(request.path)

        for date in dates(deployment, one):
            change = Change(quantity=100, proration_date=date)
            with pytest.raises(PreviewExpired):
                await deployment.preview(ADA, one.id, change, caller=caller)
            with pytest.raises(PreviewExpired):
                await deployment.change(ADA, one.id, change, caller=caller, key="k")
        assert len(deployment.intents) == before
        assert asked == []


async def test_a_date_before_a_renewal_is_refused_after_it() -> None:
    """
    It is recent, and in a period that is over.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        await deployment.advance(
            one.report.period_end - deployment.clock.now - 10 * SECOND
        )
        told = await deployment.preview(ADA, one.id, Change(quantity=2), caller=CALLER)
        await deployment.advance(20 * SECOND)
        await deployment.hear()
        assert (await only(deployment)).report.period_start > told.proration_date
        late = Change(quantity=2, proration_date=told.proration_date)

        with pytest.raises(PreviewExpired, match="current period"):
            await deployment.change(ADA, one.id, late, caller=CALLER, key=None)


@settings(max_examples=60)
@given(
    age_ms=st.integers(-2_000, 602_000),
    quantity=st.integers(1, 100),
    into_s=st.integers(0, 1_000) | st.integers(0, 27 * 86_400),
)
@example(age_ms=600_000, quantity=2, into_s=600)
@example(age_ms=599_999, quantity=100, into_s=700)
@example(age_ms=1_500, quantity=3, into_s=86_400)
@example(age_ms=-1_000, quantity=2, into_s=86_400)
async def test_a_preview_and_its_change_take_the_same_dates_at_the_same_price(
    age_ms: int, quantity: int, into_s: int
) -> None:
    """
    Fractions of a second do not matter: the gateway computes in seconds.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await ordered(deployment)
        await deployment.advance(timedelta(seconds=into_s))
        one, before = await only(deployment), taken(deployment)
        date = deployment.clock.now - timedelta(milliseconds=age_ms)
        change = Change(quantity=quantity, proration_date=date)
        try:
            told = await deployment.preview(ADA, one.id, change, caller=CALLER)
        except PreviewExpired:
            with pytest.raises(PreviewExpired):
                await deployment.change(ADA, one.id, change, caller=CALLER, key=None)
            return
        await changed(deployment, one.id, quantity=quantity, proration_date=date)

        assert told.proration_date == date.replace(microsecond=0)
        assert taken(deployment) - before == told.due.amount_minor
        assert (told.due.amount_minor > 0) is (quantity > 1)


async def test_the_date_of_a_preview_holds_at_once_if_our_clock_is_behind() -> None:
    """
    A date that is in the future for us would be refused; so the preview returns a date
    by our clock.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        deployment.clock.advance(-3 * SECOND)
        told = await deployment.preview(ADA, one.id, Change(quantity=2), caller=CALLER)
        before, date = taken(deployment), told.proration_date
        after = await changed(deployment, one.id, quantity=2, proration_date=date)

        assert date == deployment.clock.now
        assert after.state is IntentState.SUCCEEDED
        assert taken(deployment) - before == told.due.amount_minor > 0


async def test_a_preview_never_reckons_from_before_the_period() -> None:
    """
    Our clock is behind, and the subscription younger than that: it is the gateway's
    second.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await ordered(deployment)
        deployment.clock.advance(-3 * SECOND)
        one = await only(deployment)
        told = await deployment.preview(ADA, one.id, Change(quantity=2), caller=CALLER)

        assert told.proration_date == one.report.period_start
        assert told.due.amount_minor == BASIC


# Rule 4: repetitions


async def test_what_was_accepted_is_answered_again_after_the_date_is_too_old() -> None:
    """
    The same key and request get the first answer; another request under the key does
    not, and without a key it is a new request.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        told = await deployment.preview(ADA, one.id, Change(quantity=2), caller=CALLER)
        change = Change(quantity=2, proration_date=told.proration_date)
        first = (
            await deployment.change(ADA, one.id, change, caller=CALLER, key="one")
        ).intent
        before = taken(deployment)
        await deployment.advance(2 * DAY)

        again = await deployment.change(ADA, one.id, change, caller=CALLER, key="one")
        assert again.replayed
        assert again.intent == first
        other = attrs.evolve(change, quantity=3)
        with pytest.raises(IdempotencyKeyReused):
            await deployment.change(ADA, one.id, other, caller=CALLER, key="one")
        for key in (None, "two"):
            with pytest.raises(PreviewExpired):
                await deployment.change(ADA, one.id, change, caller=CALLER, key=key)
        assert taken(deployment) == before


# Invalid changes


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, ""),
        ({"product": "prod_1", "price": "price_1"}, "product"),
        ({"product": "a b"}, "product"),
        ({"price": "a/b"}, "price"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 10**9}, "quantity"),
        ({"proration_date": MOMENT}, ""),
        (
            {"cancel_at_period_end": True, "proration_date": MOMENT},
            "proration_date",
        ),
        (
            {"quantity": 1, "proration_date": MOMENT.replace(tzinfo=None)},
            "proration_date",
        ),
    ],
    ids=repr,
)
def test_a_change_that_makes_no_sense_is_none(wanted: Any, field: str) -> None:
    """
    The error names the field.
    """
    with pytest.raises(InvalidValue) as caught:
        Change(**wanted)
    assert caught.value.field == field
