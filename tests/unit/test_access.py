"""What grants give access to, by product and by feature."""

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    MONTH,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    in_trial,
)
from payments_core.access import (
    NO_ACCESS,
    AccessTo,
    Grant,
    GrantKind,
    GrantSource,
    access_of,
)
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.entitlement import (
    NO_PAYMENTS,
    PaymentSummary,
    PrepaidMonths,
    verdict_of,
)
from payments_core.policy import Policy
from payments_core.subscription import Subscription
from payments_core.subscription import SubscriptionStatus as S

DAY: Final = timedelta(days=1)
PLAIN: Final = Policy(grace=3 * DAY)
PRO: Final = CatalogueProduct(
    product="prod_pro",
    features=("reports", "api"),
    price_features={"price_year": ("support",)},
    days_after_end=5,
)
BASIC: Final = CatalogueProduct(product="prod_basic", features=("reports",))
SOLD: Final = attrs.evolve(PLAIN, catalogue=Catalogue.of([PRO, BASIC]))


def granted(
    product: str = "prod_pro",
    price: str = "price_month",
    *,
    until: datetime = NOON,
    has_grace: bool = True,
) -> Grant:
    source = GrantSource(GrantKind.PAID_PERIOD, f"in_{product}")
    return Grant(product, price, until, has_grace=has_grace, because=source)


def of_product(subscription: Subscription, product: str) -> Subscription:
    report = attrs.evolve(subscription.report, product=product, gateway_id=product)
    return attrs.evolve(subscription, report=report)


def test_a_grant_ends_with_its_grace_to_the_moment() -> None:
    """
    Its last moment is included, its end is not; the product's own days count.
    """
    moment = timedelta(microseconds=1)
    for policy, grace in ((PLAIN, 3 * DAY), (SOLD, 5 * DAY)):
        end = NOON + grace
        assert granted().until(policy) == end
        for now, is_in in ((end - moment, True), (end, False)):
            found = access_of([granted()], policy, now).products["prod_pro"]
            assert (found.granted, found.until) == (is_in, end)
    assert granted(has_grace=False).until(SOLD) == NOON


def test_days_of_a_product_are_for_who_paid_for_it() -> None:
    """
    After a trial, or a period of another plan, at most the general grace applies.
    """
    other = attrs.evolve(granted(), own_days=False)
    for policy, days in ((PLAIN, 3), (SOLD, 3), (attrs.evolve(SOLD, grace=9 * DAY), 5)):
        assert other.until(policy) == NOON + days * DAY
    end = NOON + 14 * DAY
    prepaid = PaymentSummary(prepaid=PrepaidMonths(NOON - 40 * DAY, 1))
    for status in (S.TRIALING, S.CANCELED):
        trial = of_product(in_trial(status), "prod_pro")
        for summary in (NO_PAYMENTS, prepaid):
            verdict = verdict_of(summary, [trial])
            (of_trial,) = [it for it in verdict.grants if it.product == "prod_pro"]
            assert of_trial.until(SOLD) <= end + 3 * DAY


def test_a_plan_changed_since_the_period_began_has_no_days_of_its_own() -> None:
    """
    Otherwise the last second of a cheap period would buy the days of an expensive plan.
    """
    paid = of_product(a_subscription(owner=ADA, term=a_term()), "prod_pro")
    for changed_at, days in (
        (None, 5),
        (NOON, 5),
        (NOON + MONTH - timedelta(seconds=1), 3),
    ):
        changed = attrs.evolve(paid, plan_changed_at=changed_at)
        verdict = verdict_of(NO_PAYMENTS, [changed])
        assert verdict.entitled_until(SOLD) == NOON + MONTH + days * DAY


def test_a_grant_that_cannot_end_later_ends_with_time() -> None:
    """
    A later date cannot be written.
    """
    last = datetime.max.replace(tzinfo=NOON.tzinfo)
    assert granted(until=last - DAY).until(PLAIN) == last


def test_without_a_catalogue_each_product_is_a_feature() -> None:
    """
    Those that the user has or had, and no others.
    """
    found = access_of([granted(), granted("prod_b", has_grace=False)], PLAIN, NOON)

    assert found.products == found.features
    assert {it: to.granted for it, to in found.features.items()} == {
        "prod_pro": True,
        "prod_b": False,
    }


def test_of_several_grants_of_a_feature_the_latest_end_counts() -> None:
    """
    Whatever their order; it names the product that gives it, and the reason.
    """
    longer = granted("prod_basic", until=NOON + 9 * DAY)
    for grants in ([granted(), longer], [longer, granted()]):
        found = access_of(grants, SOLD, NOON)

        assert found.features["reports"] == AccessTo(
            granted=True,
            until=NOON + 12 * DAY,
            product="prod_basic",
            because=GrantSource(GrantKind.PAID_PERIOD, "in_prod_basic"),
        )
        assert found.features["api"].until == NOON + 5 * DAY
        assert found.features["support"] == NO_ACCESS


def test_a_feature_of_a_price_is_for_who_has_that_price() -> None:
    """
    Beside those of its product.
    """
    found = access_of([granted(price="price_year")], SOLD, NOON)

    assert [name for name, to in found.features.items() if to.granted] == [
        *("reports", "api", "support")
    ]


def test_all_of_the_catalogue_is_told_of_also_to_who_has_nothing() -> None:
    """
    So that an app can show what is available.
    """
    found = access_of([], SOLD, NOON)

    assert dict(found.products) == dict.fromkeys(("prod_pro", "prod_basic"), NO_ACCESS)
    assert dict(found.features) == dict.fromkeys(
        ("reports", "api", "support"), NO_ACCESS
    )


def test_a_product_that_the_catalogue_does_not_name_gives_no_feature() -> None:
    """
    It is listed among the products all the same: the user has it.
    """
    found = access_of([granted("prod_old")], SOLD, NOON)

    assert found.products["prod_old"].granted
    assert not any(it.granted for it in found.features.values())


def test_a_new_feature_reaches_old_subscribers_at_once() -> None:
    """
    A grant holds no features: they follow from the present catalogue.
    """
    more = attrs.evolve(BASIC, features=("reports", "exports"))
    policy = attrs.evolve(PLAIN, catalogue=Catalogue.of([more]))

    assert access_of([granted("prod_basic")], policy, NOON).features["exports"].granted


@pytest.mark.parametrize(
    ("subscription", "kind", "id_", "has_grace"),
    [
        (a_subscription(term=a_term()), GrantKind.PAID_PERIOD, "in_1", True),
        (in_trial(), GrantKind.TRIAL, "sub_1", True),
        (in_trial(S.CANCELED, ended_at=NOON + DAY), GrantKind.TRIAL, "sub_1", False),
        (in_trial(S.PAST_DUE), GrantKind.TRIAL, "sub_1", False),
    ],
    ids=["paid", "in trial", "trial that was ended", "trial that was not paid after"],
)
def test_a_subscription_gives_its_period_or_its_trial(
    subscription: Subscription, kind: GrantKind, id_: str, *, has_grace: bool
) -> None:
    """
    With its product and price, and without grace if nothing was paid.
    """
    [grant] = verdict_of(NO_PAYMENTS, [subscription]).grants

    report = subscription.report
    assert (grant.product, grant.price) == (report.product, report.price)
    assert grant.because == GrantSource(kind, id_)
    assert grant.has_grace is has_grace


def test_a_subscription_that_was_never_paid_for_gives_nothing() -> None:
    """
    A subscription whose first payment is waiting gives nothing either.
    """
    waits = a_subscription(a_report(status=S.INCOMPLETE))
    assert verdict_of(NO_PAYMENTS, [waits]).grants == ()


def test_prepaid_months_are_a_product_of_their_own() -> None:
    """
    Alongside those of subscriptions.
    """
    bought = PaymentSummary.replay([a_payment(at=NOON)])
    assert bought.prepaid is not None
    prepaid = Grant(
        PREPAID,
        None,
        bought.prepaid.ends_at,
        has_grace=True,
        because=GrantSource(GrantKind.PREPAID),
    )

    assert verdict_of(bought, []).grants == (prepaid,)
    both = verdict_of(bought, [a_subscription(term=a_term())]).grants
    assert (len(both), both[0]) == (2, prepaid)


def test_an_ended_trial_of_one_product_has_no_grace_from_another() -> None:
    """
    Although the other lasts longer: its payment bought nothing of this one.
    """
    ended = of_product(in_trial(S.CANCELED, ended_at=NOON + DAY), "prod_tried")
    paid = of_product(a_subscription(term=a_term()), "prod_paid")
    verdict = verdict_of(NO_PAYMENTS, [ended, paid])

    found = access_of(verdict.grants, PLAIN, NOON + DAY).products
    assert not found["prod_tried"].granted
    assert found["prod_paid"].granted
