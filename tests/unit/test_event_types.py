"""Every type of Stripe's events has a stated effect, or a reason for having none."""

import re
from pathlib import Path
from typing import Final

import pytest
import stripe

from payments_adapters.stripe import (
    ENDPOINT_TYPES,
    FOLLOWED,
    FORMER_TYPES,
    IGNORED,
    NOT_FOLLOWED,
    UNKNOWN_TYPE,
    translate,
)
from payments_adapters.stripe.other_types import OTHER_GROUPS, why_ignored
from support.event_page import MARK, PAGE, rewritten
from support.stripe_bodies import event_body

# The types that the SDK accepts for an endpoint: Stripe's own list.
_PARAMS: Final = (
    Path(stripe.__file__).parent / "params/_webhook_endpoint_create_params.py"
)
OF_STRIPE: Final = re.findall(
    r'(?m)^ +"([a-z_0-9]+(?:\.[a-z_0-9]+)+)",?$', _PARAMS.read_text()
)


def test_the_list_of_the_sdk_is_read() -> None:
    """
    A list in another format would pass every test below.
    """
    assert len(OF_STRIPE) > 250
    assert {"charge.succeeded", "customer.subscription.deleted"} < set(OF_STRIPE)


@pytest.mark.parametrize("table", [FOLLOWED, IGNORED])
def test_no_type_is_of_two_kinds(table: dict[str, object]) -> None:
    """
    Followed, not followed, or of a group that is not followed: one of the three.
    """
    others = FOLLOWED.keys() ^ IGNORED.keys() ^ table.keys()

    assert not table.keys() & others
    assert not {it for it in table if it.partition(".")[0] in OTHER_GROUPS}


def test_each_type_that_stripe_has_is_known() -> None:
    """
    A version of the SDK with a new type fails here, until the type has its row.
    """
    left = [it for it in OF_STRIPE if it not in FOLLOWED]

    assert [it for it in left if why_ignored(it) == UNKNOWN_TYPE] == []


def test_each_type_of_the_tables_is_one_that_stripe_has() -> None:
    """
    A typing error in a name would be a row that means nothing.
    """
    named = FOLLOWED.keys() | IGNORED.keys()

    assert named - set(OF_STRIPE) == FORMER_TYPES.keys()


def test_an_endpoint_is_registered_for_what_is_followed() -> None:
    """
    Not for the names of older versions: Stripe would refuse them.
    """
    assert list(ENDPOINT_TYPES) == sorted(ENDPOINT_TYPES)
    assert set(ENDPOINT_TYPES) == FOLLOWED.keys() & set(OF_STRIPE)
    assert set(FORMER_TYPES.values()) <= set(ENDPOINT_TYPES)


def test_the_page_is_made_of_the_tables() -> None:
    """
    `python tests/support/event_page.py` writes it.
    """
    page = PAGE.read_text()

    assert MARK in page
    assert page == rewritten(page)


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("invoice.created", NOT_FOLLOWED),
        ("payout.paid", NOT_FOLLOWED),
        ("charge.teleported", UNKNOWN_TYPE),
        ("Charge.succeeded", UNKNOWN_TYPE),
        ("charge.succeeded", None),
    ],
)
def test_an_event_says_whether_its_type_is_known(
    type_: str, reason: str | None
) -> None:
    """
    A type that Stripe adds later is distinct from one that we do not need.
    """
    event = translate(event_body({"id": "x_1", "object": "x"}, type_))

    assert event.ignored_because == reason
