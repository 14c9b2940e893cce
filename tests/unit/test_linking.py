"""The keys under which payments and subscriptions find their accounts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import pytest

from contracts.examples import ADA, BOB, CUS_1, NOON, a_payment, email_of
from payments_core.identity import UserId
from payments_core.linking import EmailHolders, FormerKey, KeyKind, link_keys


def test_link_keys_are_all_keys_that_are_there() -> None:
    """
    Of several reports at once; a missing value is not a key.
    """
    reports = [
        a_payment(user=ADA),
        a_payment("ch_2", customer=CUS_1, email=email_of(BOB)),
        a_payment("ch_3"),
    ]
    keys = link_keys(reports)

    assert keys.user_ids == {ADA}
    assert keys.customer_ids == {CUS_1}
    assert keys.email_keys == {email_of(BOB).key}
    assert keys
    assert not link_keys(reports[2:])


def day(number: int) -> datetime:
    return NOON + timedelta(days=number)


def held(user: str, since: int | None, until: int) -> FormerKey:
    """Return that a user had the e-mail between two days."""
    return FormerKey(
        kind=KeyKind.EMAIL,
        key="a@b",
        user_id=UserId(user),
        since=None if since is None else day(since),
        until=day(until),
    )


ADAS: Final = held(ADA, 2, 5)


@pytest.mark.parametrize(
    ("former", "current", "at", "holder"),
    [
        # One holder: at all times.
        ([], None, 1, None),
        ([], (BOB, 8), 1, BOB),
        ([], (BOB, 8), 9, BOB),
        ([], (BOB, None), 1, BOB),
        ([ADAS], None, 1, ADA),
        ([ADAS], None, 4, ADA),
        ([ADAS], None, 5, None),
        # Two: each in their time, the first from the beginning, nobody between.
        ([ADAS], (BOB, 8), 1, ADA),
        ([ADAS], (BOB, 8), 2, ADA),
        ([ADAS], (BOB, 8), 4, ADA),
        ([ADAS], (BOB, 8), 5, None),
        ([ADAS], (BOB, 8), 7, None),
        ([ADAS], (BOB, 8), 8, BOB),
        ([ADAS], (BOB, 5), 5, BOB),
        ([held(ADA, None, 5)], (BOB, 8), 1, ADA),
        # A holder for no time at all is first all the same.
        ([held(ADA, 3, 3)], (BOB, 3), 1, ADA),
        ([held(ADA, 3, 3)], (BOB, 3), 3, BOB),
        # A holder who has it again.
        ([ADAS, held(BOB, 6, 7)], (ADA, 9), 6, BOB),
        ([held(BOB, 6, 7), ADAS], (ADA, 9), 9, ADA),
        # The time is unknown.
        ([], (BOB, 8), None, BOB),
        ([ADAS], (ADA, 8), None, ADA),
        ([ADAS], (BOB, 8), None, None),
    ],
)
def test_t69_an_email_is_whose_it_was_at_the_time(
    former: Sequence[FormerKey],
    current: tuple[str, int | None] | None,
    at: int | None,
    holder: str | None,
) -> None:
    """
    What was paid before an address changed hands does not belong to the next holder.
    """
    now, since = current or (None, None)
    holders = EmailHolders(
        former, UserId(now) if now else None, None if since is None else day(since)
    )
    assert holders.at(None if at is None else day(at)) == holder


@pytest.mark.parametrize(
    ("former", "since", "at", "had"),
    [
        ([], None, 1, False),
        ([ADAS], None, 1, False),
        ([ADAS], None, 2, True),
        ([ADAS], None, 5, False),
        ([ADAS], 8, 7, False),
        ([ADAS], 8, 8, True),
        ([held(ADA, None, 5)], None, 1, True),
        ([], None, None, False),
        ([ADAS], None, None, True),
    ],
)
def test_before_the_first_holder_nobody_had_an_email(
    former: Sequence[FormerKey], since: int | None, at: int | None, *, had: bool
) -> None:
    """
    What was paid before may be the first holder's; it need not be.
    """
    holders = EmailHolders(
        former, UserId(BOB) if since else None, day(since) if since else None
    )
    assert holders.had(None if at is None else day(at)) is had
