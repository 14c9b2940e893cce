"""What a caller may choose about a price, over HTTP and on the command line.

The gateway's clock is the real one here: it began four weeks ago.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import httpx
import pytest

from support.command_line import Inside
from support.service_with_sandbox import (
    BASIC,
    PRO,
    Payer,
    ServiceWithSandbox,
    pointers,
    refusal,
    selling,
)

SECOND: Final = timedelta(seconds=1)
# No month is shorter: a user who subscribed then has not been renewed yet.
AGES: Final = (27, 10, 0)
WAYS: Final = ("product", "price")


@pytest.fixture(scope="module")
def stack(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    with selling(postgres, template, ago=timedelta(days=max(AGES))) as stack:
        yield stack


@attrs.frozen
class Subscriber:
    payer: Payer
    id: str

    @property
    def path(self) -> str:
        return f"subscriptions/{self.id}"

    @property
    def now(self) -> Any:
        return self.payer.get(self.path)

    def both(self, payer: Payer, body: Any) -> list[httpx.Response]:
        """Request a change and its preview, as a user."""
        return [
            payer.call("PATCH", self.path, body),
            payer.call("POST", f"{self.path}/preview", body),
        ]


def subscribed(stack: ServiceWithSandbox) -> Subscriber:
    payer = stack.user()
    return Subscriber(payer, payer.subscribed()["id"])


@pytest.fixture(scope="module")
def subscribers(stack: ServiceWithSandbox) -> Mapping[tuple[str, int], Subscriber]:
    """Return users who subscribed that many days ago, one for each test."""
    found: dict[tuple[str, int], Subscriber] = {}
    for age in AGES:
        then = datetime.now(UTC) - timedelta(days=age)
        stack.sandbox.advance(max(then, stack.sandbox.now))
        found |= {(way, age): subscribed(stack) for way in (*WAYS, "old")}
    return found


@pytest.fixture(scope="module")
def old(subscribers: Mapping[tuple[str, int], Subscriber]) -> Subscriber:
    """A user with a subscription of ten days, which no test changes."""
    return subscribers["old", 10]


# Prices and trials


@pytest.mark.parametrize("price", ["basic", "pro", "dollars", "price_nobody_knows"])
def test_a_users_price_is_refused(
    stack: ServiceWithSandbox, ada: Payer, old: Subscriber, price: str
) -> None:
    """
    403 for the order, the change and the preview, for any price, with the field; no
    request is sent to the gateway.
    """
    named = getattr(stack, price, price)
    _, before = ada.status, list(stack.posts)

    answers = [
        ada.subscribe(price=named),
        *old.both(old.payer, {"price": named}),
        *old.both(old.payer, {"price": named, "quantity": 100}),
    ]

    for answer in answers:
        assert refusal(answer) == (403, "price_not_allowed")
        assert pointers(answer) == ["/price"]
    assert stack.posts == before
    assert ada.customers == []


def test_a_users_trial_is_refused(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    403 with the field, for every repetition; the user gets no entitlement.
    """
    for key in (None, "one", "one"):
        answer = ada.subscribe(product=stack.product, trial_days=730, key=key)
        assert refusal(answer) == (403, "trial_not_allowed")
        assert pointers(answer) == ["/trial_days"]

    assert ada.standing == ("none", False)
    assert ada.customers == []


def test_anothers_subscription_is_no_way_to_learn_of_prices(
    stack: ServiceWithSandbox, ada: Payer, old: Subscriber
) -> None:
    """
    404 comes before 403: the answer does not reveal that it exists.
    """
    _ = ada.status
    path = f"/users/{old.payer.id}/{old.path}"

    for method, where in (("PATCH", path), ("POST", f"{path}/preview")):
        answer = ada.call(method, where, {"price": stack.pro})
        assert refusal(answer) == (404, "account_not_found")


def test_a_user_changes_to_another_product(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    At its default price, without an administrator: the answer names the current price.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.change(id_, product=stack.other_product, quantity=3)
    ada.stack.settle()

    told = answer.json()
    assert answer.status_code == 200
    assert (told["product"], told["price"], told["quantity"]) == (
        stack.other_product,
        stack.other,
        3,
    )
    assert ada.get(f"subscriptions/{id_}")["price"] == stack.other
    assert ada.taken == [BASIC, 3 * 500 - BASIC]


def test_a_product_that_one_has_is_refused_in_the_preview_too(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    409 with the existing subscription, for the change and for its preview.
    """
    first = ada.subscribed()
    second = Subscriber(ada, ada.subscribe(product=stack.other_product).json()["id"])

    for answer in second.both(ada, {"product": stack.product}):
        assert refusal(answer) == (409, "already_subscribed")
        assert answer.json()["subscription_id"] == first["id"]


# The proration date


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("by", WAYS)
def test_a_preview_is_what_the_change_then_takes(
    stack: ServiceWithSandbox,
    subscribers: Mapping[tuple[str, int], Subscriber],
    age: int,
    by: str,
) -> None:
    """
    To the cent, on any day of the month, with the preview's date; for a user who names
    a product, and for an administrator who names a price.
    """
    one = subscribers[by, age]
    who, wanted = {
        "product": (one.payer, {"product": stack.other_product, "quantity": 4}),
        "price": (one.payer.admin, {"price": stack.pro, "quantity": 3}),
    }[by]
    stack.catch_up()

    preview = who.call("POST", f"{one.path}/preview", wanted)
    told, before = preview.json(), len(one.payer.taken)
    change = who.call(
        "PATCH", one.path, wanted | {"proration_date": told["proration_date"]}
    )

    assert (preview.status_code, change.status_code) == (200, 200)
    assert told["due"]["currency"] == "eur"
    assert one.payer.taken[before:] == [told["due"]["amount_minor"]]
    assert (
        sum(it["amount_minor"] for it in told["lines"]) == told["due"]["amount_minor"]
    )


def too_early_or_late(one: Subscriber) -> list[str]:
    now = datetime.now(UTC)
    start, end = (
        datetime.fromisoformat(one.now[f"current_period_{it}"])
        for it in ("start", "end")
    )
    # A slow test must not make them valid.
    dates = [
        now - timedelta(seconds=601),
        now + timedelta(hours=1),
        end - SECOND,
        end,
        start,
        start - SECOND,
    ]
    return [
        *(it.isoformat() for it in dates),
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ]


@pytest.mark.parametrize("who", ["user", "administrator"])
def test_a_date_of_ones_own_is_refused(
    stack: ServiceWithSandbox, old: Subscriber, who: str
) -> None:
    """
    422 for the change and for its preview, with the field: a second before the period's
    end, 100 seats do not cost 0.00. No request is sent to the gateway.
    """
    stack.catch_up()
    caller = old.payer if who == "user" else old.payer.admin
    before, posts = old.now, list(stack.posts)

    for date in too_early_or_late(old):
        for answer in old.both(caller, {"quantity": 100, "proration_date": date}):
            assert refusal(answer) == (422, "preview_expired")
            assert pointers(answer) == ["/proration_date"]

    assert old.now == before
    assert stack.posts == posts


# On the command line


def test_the_operator_gives_a_trial_and_names_a_price(
    stack: ServiceWithSandbox, ada: Payer, inside: Inside
) -> None:
    """
    A caller with the settings is an administrator; both commands have `--product`.
    """
    _ = ada.status
    env = stack.world.env(0, 0)
    trial = ("--product", stack.product, "--trial-days", "14")

    begun = inside("subscription", "start", ada.id, *trial, "--json", env=env)
    id_ = ada.get("subscriptions")["items"][0]["id"]
    change = ("subscription", "change", ada.id, id_)
    dear = inside(*change, "--price", stack.pro, "--json", env=env)
    other = inside(*change, "--product", stack.other_product, env=env)

    assert [it.code for it in (begun, dear, other)] == [0, 0, 0]
    assert begun.json["status"] == "trialing"
    assert dear.json["price"] == stack.pro
    assert f"price: {stack.other}" in other.out.splitlines()


def test_a_date_of_the_operators_own_is_refused(
    stack: ServiceWithSandbox, old: Subscriber, inside: Inside
) -> None:
    """
    6 with the reason, for the change and for its cost.
    """
    stack.catch_up()
    env = stack.world.env(0, 0)
    late = datetime.fromisoformat(old.now["current_period_end"]) - SECOND
    words = ("subscription", "change", old.payer.id, old.id, "--quantity", "100")

    for more in ((), ("--dry-run",)):
        answer = inside(*words, "--proration-date", late.isoformat(), *more, env=env)
        assert answer.code == 6
        assert "proration_date: ahead of the clock of this service" in answer.err
    assert old.now["quantity"] == 1


def test_a_dry_run_finds_what_the_command_would_find(
    stack: ServiceWithSandbox, ada: Payer, inside: Inside
) -> None:
    """
    No such user or subscription: 3, as without the option; no such product: 2; one that
    the user has: 6. For an ended subscription it says what the command would say; for
    any other, what would be done, without doing it.
    """
    env = stack.world.env(0, 0)
    id_ = ada.subscribed()["id"]

    def told(*words: str) -> tuple[int, str, str]:
        """Return what both say, which must be the same."""
        dry = inside("subscription", *words, "--dry-run", env=env)
        done = inside("subscription", *words, env=env)
        assert dry == done
        return dry.code, dry.out, dry.err

    product = ("--product", stack.product)
    assert told("start", "nobody", *product)[:2] == (3, "")
    assert told("start", ada.id, "--product", "prod_nope")[:2] == (2, "")
    assert told("start", ada.id, "--price", "price_nope")[:2] == (2, "")
    assert told("start", ada.id, *product)[:2] == (6, "")
    assert told("cancel", "nobody", id_)[:2] == (3, "")
    assert told("cancel", ada.id, "sub_unknown")[:2] == (3, "")
    assert told("change", ada.id, "sub_unknown", "--go-on")[:2] == (3, "")

    dry = inside("subscription", "cancel", ada.id, id_, "--dry-run", env=env)
    assert (dry.code, dry.out) == (0, f"would cancel {id_}\n")
    assert ada.get(f"subscriptions/{id_}")["status"] == "active"

    assert inside("subscription", "cancel", ada.id, id_, env=env).code == 0
    code, out, _ = told("cancel", ada.id, id_)
    assert code == 0
    assert "status: canceled" in out.splitlines()
    assert told("change", ada.id, id_, "--go-on")[:2] == (6, "")


def test_what_a_dry_run_says_is_what_the_change_takes(
    stack: ServiceWithSandbox, ada: Payer, inside: Inside
) -> None:
    """
    With the date as the preview printed it.
    """
    stack.catch_up()
    env = stack.world.env(0, 0)
    id_ = ada.subscribed()["id"]
    words = (
        "subscription",
        "change",
        ada.id,
        id_,
        "--price",
        stack.pro,
        "--quantity",
        "2",
    )

    told = inside(*words, "--dry-run", "--json", env=env).json
    done = inside(*words, "--proration-date", told["proration_date"], env=env)

    assert done.code == 0
    assert ada.taken == [BASIC, told["due"]["amount_minor"]]
    assert told["due"]["amount_minor"] == 2 * PRO - BASIC
