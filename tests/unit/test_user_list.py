"""Which users are in a list, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.erasures import GONE
from contracts.examples import ADA, an_account
from contracts.user_lists import begins, crowd
from payments_adapters.memory import MemoryDatabase, MemoryUserList
from payments_core.account import PaymentAccount
from payments_core.entitlement import PaymentStatus
from payments_core.errors import InvalidValue
from payments_core.identity import Email
from payments_core.user_list import TEXT_LENGTH_MAX, UserFilter, UserPlace

texts = st.none() | st.text(alphabet="adAbx:.@ä0", min_size=1, max_size=3)
filters = st.tuples(
    st.none() | st.sampled_from(PaymentStatus),
    st.sampled_from([None, "prod_1", "prod_2"]),
    texts,
)


async def pages_of(
    users: MemoryUserList, wanted: UserFilter, limit: int
) -> list[PaymentAccount]:
    found, after = list[PaymentAccount](), None
    while True:
        page = await users.page(wanted, limit=limit, after=after)
        found += page.accounts
        after = page.after
        if after is None:
            return found


@given(st.integers(0, 10_000), filters, st.integers(1, 25))
def test_p36_pages_joined_are_what_a_plain_filter_finds(
    seed: int, wanted: tuple[PaymentStatus | None, str | None, str | None], limit: int
) -> None:
    """
    Each user once, whatever the filters and however long the pages are.
    """
    accounts, subscriptions = crowd(seed)
    database = MemoryDatabase()
    for account in accounts:
        database.tables.put_account(account)
    for it in subscriptions:
        database.tables.put_subscription(it)
    status, product, text = wanted
    filter_ = UserFilter(status=status, product=product, text=text)
    # A coroutine that waits for nothing is run by hand: no loop for each example.
    listing = pages_of(MemoryUserList(database), filter_, limit)
    with pytest.raises(StopIteration) as ended:
        listing.send(None)
    found = [it.user_id for it in ended.value.value]

    assert sorted(found) == sorted(
        it.user_id
        for it in accounts
        if status in (None, it.payment_status)
        and (product is None or it.open_subscription(product))
        and (text is None or begins(it, text))
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (None, "ada"),
        ("ad", "ada"),
        ("Ad", "ada@xn--exmple-cua.org"),
        ("ADA@", "ada@xn--exmple-cua.org"),
        ("da", None),
        ("ada@exämple", None),
    ],
)
def test_a_text_begins_the_id_as_it_is_or_the_email_in_any_case(
    text: str | None, place: str | None
) -> None:
    """
    The e-mail in the form in which it is compared: its domain in ASCII.
    """
    account = an_account(ADA)
    email = Email("Ada@exämple.org", "ada@xn--exmple-cua.org")
    named = type(account)(user_id=ADA, email=email)
    found = UserFilter(text=text).place_of(named)
    assert found == (UserPlace(place, ADA) if place else None)


def test_places_are_in_the_order_of_bytes() -> None:
    """
    As in every store: neither that of a language, nor of UTF-16.
    """
    keys = ["A", "a", "z", "~", "é", "\ufb03", "\U0001f9fe"]
    orders = [UserPlace(it, ADA).order for it in keys]
    assert orders == sorted(set(orders))


def test_a_pseudonym_is_in_no_list() -> None:
    """
    It is no user.
    """
    assert UserFilter().place_of(an_account(GONE)) is None


@pytest.mark.parametrize("text", ["", "a\0", "a\n", "\ud800", "x" * 300])
def test_a_text_that_nobody_can_have_is_refused(text: str) -> None:
    """
    By the name of the filter.
    """
    with pytest.raises(InvalidValue) as refused:
        UserFilter(text=text)
    assert refused.value.field == "text"
    assert UserFilter(text="x" * TEXT_LENGTH_MAX).text
