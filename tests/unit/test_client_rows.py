"""What a copy knows of all users: the rules, whatever arrives in whatever order."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_client.rows import Features, Rows
from payments_client.shapes import Catalogue, CatalogueProduct, Change, Grant

NOON: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
NONE: Final = Features(Catalogue(version="none"))
SOLD: Final = Features(
    Catalogue(
        version="abc",
        products=[
            CatalogueProduct(
                product="pro",
                features=["reports", "api"],
                price_features={"yearly": ["support"]},
            ),
            CatalogueProduct(product="basic", features=["reports"]),
        ],
        prepaid=CatalogueProduct(features=["reports"]),
    )
)


def a_grant(product: str, days: float, price: str | None = None) -> Grant:
    return Grant(product=product, price=price, until=NOON + timedelta(days=days))


def a_change(user: str, version: int, *grants: Grant) -> Change:
    return Change(
        position=version,
        user_id=user,
        version=version,
        at=NOON,
        payment_status="paid",
        entitled_until=max((it.until for it in grants), default=None),
        grants=grants,
    )


def rows_of(features: Features, *changes: Change) -> Rows:
    rows = Rows(features)
    for change in changes:
        rows.take(change)
    return rows


def ends(days: float) -> float:
    return (NOON + timedelta(days=days)).timestamp()


@pytest.mark.parametrize(
    ("product", "price", "features"),
    [
        ("pro", None, {"reports", "api"}),
        ("pro", "monthly", {"reports", "api"}),
        ("pro", "yearly", {"reports", "api", "support"}),
        ("basic", "yearly", {"reports"}),
        ("prepaid", None, {"reports"}),
        ("other", None, set()),
    ],
)
def test_features_follow_from_the_catalogue(
    product: str, price: str | None, features: set[str]
) -> None:
    """
    Those of the product, and those of its price as well.
    """
    assert {*SOLD.of(product, price)} == features
    assert {*NONE.of(product, price)} == {product}


def test_the_latest_end_of_a_feature_counts() -> None:
    """
    Durations do not add up.
    """
    change = a_change("ada", 1, a_grant("basic", 9), a_grant("pro", 3))
    rows = rows_of(SOLD, change)
    assert rows.until("ada", "reports") == ends(9)
    assert rows.until("ada", "api") == ends(3)
    assert rows.until("ada", "support") == rows.until("bob", "api") == 0


def test_access_without_a_grant_is_not_known() -> None:
    """
    An earlier release logged no grants: the service is asked.
    """
    change = a_change("ada", 1)
    rows = rows_of(SOLD, change)
    assert "ada" in rows
    unsaid = Change(
        position=2,
        user_id="ada",
        version=2,
        at=NOON,
        payment_status="paid",
        entitled_until=NOON + timedelta(days=1),
    )
    rows.take(msgspec.structs.replace(unsaid, version=2, entitled_until=NOON))
    # It had ended when the row was written.
    assert "ada" in rows
    rows.take(msgspec.structs.replace(unsaid, version=3))
    assert "ada" not in rows
    assert rows.until("ada", "reports") == 0
    rows.take(a_change("ada", 4, a_grant("pro", 1)))
    assert "ada" in rows


changes = st.builds(
    a_change,
    st.sampled_from(["ada", "bob"]),
    st.integers(1, 6),
    st.builds(a_grant, st.sampled_from(["pro", "basic"]), st.integers(-5, 5)),
)


def said(rows: Rows) -> Mapping[tuple[str, str], float]:
    names = [(user, name) for user in ("ada", "bob") for name in ("reports", "api")]
    return {name: rows.until(*name) for name in names}


@given(st.lists(changes, max_size=12), st.randoms(use_true_random=False))
def test_the_greatest_version_counts_in_whatever_order(
    made: Sequence[Change], random: object
) -> None:
    """
    Twice, late or backwards: the result is the same. (Each version has one change.)
    """
    only = {(it.user_id, it.version): it for it in made}
    shuffled = [*only.values(), *only.values()]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis says Random

    latest = {
        user: max(
            (it for it in only.values() if it.user_id == user),
            key=lambda it: it.version,
        )
        for user in {it.user_id for it in only.values()}
    }
    assert said(rows_of(SOLD, *shuffled)) == said(rows_of(SOLD, *latest.values()))
