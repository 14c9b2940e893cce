"""Invariants of the sandbox after any calls, in any order, on any clock.

1. An invoice is paid if one charge took its amount, nothing was due, or it was paid
   elsewhere; no other invoice has a charge that succeeded, none has two.
2. The items of a subscription share one period. Its invoices charge whole periods, each
   from where the last one ended: but for a restart, which credits what is left of the
   old one (unless told not to), and a pause, which charges nothing.
3. Sums add up: of lines, invoices, balances, charges and refunds.
4. A reader of only the events knows all that Stripe reports, and their time goes
   forward.
5. Subscriptions move as the core's table says.
6. Nothing is answered 500, and a refused call changes nothing.
7. Requests, objects and events are of the SDK's types.
8. Nothing is overdue: what is scheduled is done when its time comes.
"""

from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from typing_extensions import override

from payments_sandbox.invoicing import RETRY_DAYS
from payments_sandbox.periods import DAY, HOUR
from support.sandbox import Api, Refused
from support.sandbox_books import (
    check_chain,
    check_collecting,
    check_intent,
    check_paid,
    check_period,
    check_refunded,
    check_standing,
    check_sums,
)
from support.sandbox_rules import Calls
from support.watched import FAILING, again, begin, latest, period, watched

STEPS_MAX: Final = 40


class AnyCalls(Calls):
    """Calls anything, and checks everything after every call."""

    @invariant()
    def events_tell_everything(self) -> None:
        self.reader.read_on()
        self.reader.check()

    @invariant()
    def nothing_happens_ahead_of_its_clock(self) -> None:
        for clock_id, at in self.reader.times.items():
            clock = self.world.clocks.get(clock_id)
            assert clock is None or at <= clock.now

    @invariant()
    def objects_are_consistent(self) -> None:
        world = self.world
        for invoice in world.all("invoice"):
            check_paid(world, invoice, self.elsewhere)
            check_sums(invoice)
            check_collecting(world, invoice)
        for subscription in world.all("subscription"):
            check_period(world, subscription)
            check_standing(world, subscription, self.reader.kept)
        for intent in world.all("payment_intent"):
            check_intent(world, intent)
        for charge in world.all("charge"):
            check_refunded(world, charge)

    @override
    def teardown(self) -> None:
        for subscription in self.world.all("subscription"):
            check_chain(
                self.world,
                subscription,
                restarts=self.restarts.get(subscription["id"], set()),
                resumes=self.resumes.get(subscription["id"], set()),
                held=self.held,
            )
        self.api.conformance.check_events(self.api.engine)
        problems = self.api.conformance.problems
        assert problems == [], problems


def test_the_books_add_up_after_any_calls() -> None:
    """
    Whatever is called, in whatever order: the eight rules at the top hold.
    """
    profile = settings.default
    assert profile is not None
    # An example is up to forty calls, each fully checked.
    examples = max(1, profile.max_examples // 2)
    run_state_machine_as_test(
        AnyCalls,
        settings=settings(max_examples=examples, stateful_step_count=STEPS_MAX),
    )


# Counter-examples that were found: which rule is called, and with what.

Step = tuple[str, dict[str, Any]]

MONTHLY: Final = {"price": 0, "quantity": 1, "ends": {}}
GOOD: Final = "pm_card_visa"
NO_FUNDS: Final = "insufficient_funds"


def first(card: str = GOOD, **new: Any) -> Step:
    asked = {**MONTHLY, **new}
    return "first", {"after_retries": "cancel", "card": card, "new": asked}


def of_newest(name: str, **params: Any) -> Step:
    return name, {"which": 0, **params}


def card(declines: str | None) -> Step:
    return of_newest("set_card", declines=declines)


def due(steps: int, seconds: int = 0) -> Step:
    return "advance_to_what_is_due", {"steps": steps, "seconds": seconds}


def advance(span: str) -> Step:
    return "advance", {"span": span}


def trial_ending(word: str) -> dict[str, Any]:
    settings = {"end_behavior": {"missing_payment_method": word}}
    return {"trial_end": 1, "trial_settings": settings}


HOUR_OF_TRIAL: Final = {**MONTHLY, "trial_end": HOUR}
NEW_CLOCK: Final = ("new_clock", {"ahead": -30 * DAY})
ON_CLOCK: Final = of_newest("new_customer_on_clock", card=GOOD, new=MONTHLY)
HELD: Final = of_newest(
    "change_items",
    change={
        "items": {"how": "price", "price": 1, "quantity": 1},
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
    },
)
MORE: Final = of_newest(
    "change_items", change={"items": {"how": "quantity", "price": 0, "quantity": 3}}
)
OWING_IN_TRIAL: Final = (
    "new_customer",
    {
        "balance": 700,
        "card": GOOD,
        "new": {
            **MONTHLY,
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "payment_behavior": "default_incomplete",
            "trial_end": 1,
        },
    },
)
ENDING: Final = of_newest("plan_end", change={"cancel_at_period_end": True})
FOUND: Final[dict[str, list[Step]]] = {
    "no end is planned for a period that is over": [
        first(),
        OWING_IN_TRIAL,
        advance("1"),
        ENDING,
    ],
    "a planned end comes although nothing was paid": [
        first(),
        OWING_IN_TRIAL,
        ENDING,
        advance("1"),
    ],
    "a declined card leaves no customer": [
        first(),
        ("new_customer_with_card", {"card": "pm_card_chargeDeclined"}),
    ],
    "a clock takes along all that was on it": [
        first(),
        NEW_CLOCK,
        ON_CLOCK,
        ("delete_clock", {"which": 0}),
    ],
    "a deleted customer's charge keeps its clock": [
        first(),
        NEW_CLOCK,
        ON_CLOCK,
        of_newest("advance_clock", seconds=40 * DAY),
        of_newest("delete_customer"),
        of_newest("refund", amount=1),
    ],
    "a card that is nobody's lives on the clock of whom it is given to": [
        first(),
        of_newest("new_setup", card=GOOD, confirm=False),
        ("new_clock", {"ahead": 0}),
        of_newest("advance_clock", seconds=1),
        ON_CLOCK,
        ("attach", {"owner": 0, "which": 1}),
    ],
    "who owes gets a trial when they have paid": [
        first(),
        card(NO_FUNDS),
        due(2),
        of_newest("restart", change={"trial_end": DAY}),
        of_newest("restart", change={"trial_end": 40 * DAY}),
        card(None),
        of_newest("pay", how="default"),
    ],
    "what is held does not come back after another change": [
        first(),
        card(NO_FUNDS),
        HELD,
        MORE,
        card(None),
        advance("1 month"),
    ],
    "what is held goes with its invoice": [
        first(),
        card(NO_FUNDS),
        HELD,
        of_newest("void_or_finalize", verb="void"),
        advance("1 day"),
    ],
    "a first period that was paid after its end is renewed": [
        first(),
        ("new_customer", {"card": FAILING, "balance": 700, "new": HOUR_OF_TRIAL}),
        advance("1 hour"),
        advance("1 hour"),
        card(None),
        of_newest("pay", how="default"),
        advance("1 month"),
    ],
    "what is resumed ends with its new period": [
        first("pm_card_chargeDeclined", **trial_ending("pause")),
        advance("1"),
        of_newest("plan_end", change={"cancel_at_period_end": True}),
        of_newest("new_card", card=GOOD),
        of_newest("resume", anchor="now"),
        advance("2 months"),
    ],
}


@pytest.mark.parametrize("steps", FOUND.values(), ids=FOUND.keys())
def test_what_once_failed_holds(steps: list[Step]) -> None:
    """
    Each was a bug; the same calls are made again, with the same checks.
    """
    machine = AnyCalls()
    for name, params in steps:
        getattr(machine, name)(**params)
        machine.events_tell_everything()
        machine.objects_are_consistent()
    machine.teardown()


# And what no rule above would have found; each failed before its fix.


def change(api: Api, subscription: Any, **params: Any) -> Any:
    return api.post(f"subscriptions/{subscription['id']}", **params)


def double(api: Api, subscription: Any, **params: Any) -> Any:
    """Request twice the quantity, billed at once."""
    item = {"id": subscription["items"]["data"][0]["id"], "quantity": 2}
    return change(
        api, subscription, items=[item], proration_behavior="always_invoice", **params
    )


def hold(api: Api, subscription: Any) -> Any:
    """Request a change that must wait for its payment."""
    api.give_card(subscription["customer"], FAILING)
    held = double(api, subscription, payment_behavior="pending_if_incomplete")
    assert held["pending_update"]
    api.give_card(subscription["customer"], GOOD)
    return held


def fall_behind(api: Api, subscription: Any) -> None:
    api.give_card(subscription["customer"], FAILING)
    api.advance("1 month")
    api.advance("1 hour")
    assert again(api, subscription)["status"] == "past_due"


def pause(api: Api, **price: Any) -> Any:
    """Return a subscription that is paused after a trial of a day without a card."""
    subscription = api.subscribe(
        api.customer(None)["id"],
        api.price(**price)["id"],
        trial_period_days=1,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    api.advance("1 day")
    assert again(api, subscription)["status"] == "paused"
    return subscription


def test_a_first_attempt_by_hand_begins_the_retries(api: Api) -> None:
    """
    After a draft is paid by hand without success, its retries begin.
    """
    subscription = begin(api)
    api.give_card(subscription["customer"], FAILING)
    api.advance("1 month")
    with pytest.raises(Refused):
        api.post(f"invoices/{latest(api, subscription)['id']}/pay")
    assert again(api, subscription)["status"] == "past_due"
    assert latest(api, subscription)["next_payment_attempt"] > api.now


@pytest.mark.parametrize("seed", range(4))
def test_what_nobody_tried_at_first_is_retried_to_the_end(seed: int) -> None:
    """
    An attempt is never planned for a time that has passed, or it would be the last.
    """
    with watched(seed=seed) as api:
        subscription = begin(api)
        api.give_card(subscription["customer"], FAILING)
        double(api, subscription, payment_behavior="default_incomplete")
        while (
            planned := latest(api, subscription)["next_payment_attempt"]
        ) is not None:
            assert planned > api.now
            api.advance(planned)
        assert again(api, subscription)["status"] == "canceled"
        assert latest(api, subscription)["attempt_count"] == len(RETRY_DAYS)


def test_what_was_resumed_and_paid_late_is_renewed_at_once(api: Api) -> None:
    """
    The next day pays for the rest of a day.
    """
    subscription = pause(api, interval="day")
    api.advance("23 hours")
    api.give_card(subscription["customer"], FAILING)
    path = f"subscriptions/{subscription['id']}/resume"
    resumed = api.post(path, billing_cycle_anchor={"type": "unchanged"})
    api.advance("2 hours")
    api.give_card(subscription["customer"], GOOD)
    api.post(f"invoices/{resumed['latest_invoice']}/pay")
    subscription = again(api, subscription)
    assert subscription["status"] == "active"
    assert period(subscription) == (api.now - HOUR, api.now + 23 * HOUR)


def test_a_held_change_changes_nothing_else(api: Api) -> None:
    """
    What was set while it waited remains.
    """
    subscription = begin(api)
    held = hold(api, subscription)
    change(api, subscription, metadata={"set": "meanwhile"})
    api.post(f"invoices/{held['latest_invoice']}/pay")
    assert again(api, subscription)["metadata"] == {"set": "meanwhile"}


def test_paying_for_a_held_change_settles_what_was_owed(api: Api) -> None:
    """
    The latest invoice is paid; so nothing is past due.
    """
    subscription = begin(api)
    fall_behind(api, subscription)
    held = hold(api, subscription)
    api.post(f"invoices/{held['latest_invoice']}/pay")
    assert again(api, subscription)["status"] == "active"


def test_a_dispute_lives_on_the_clock_of_its_customer(api: Api) -> None:
    """
    Even of a deleted customer; and so does a card that had no customer.
    """
    ahead = api.now + 45 * DAY
    clock = api.post("test_helpers/test_clocks", frozen_time=ahead)["id"]
    customer = api.customer("pm_card_createDispute", test_clock=clock)
    card = api.post("payment_methods", type="card", card={"token": "tok_visa"})
    api.post(f"payment_methods/{card['id']}/attach", customer=customer["id"])
    api.subscribe(customer["id"], api.price()["id"])
    (dispute,) = api.get("disputes")["data"]
    api.delete(f"customers/{customer['id']}")
    api.post(f"disputes/{dispute['id']}/close")
    times = {
        event.created
        for event in api.engine.world.events.values()
        if event.type in ("payment_method.attached", "charge.dispute.closed")
    }
    assert times == {ahead}


def test_what_is_paid_elsewhere_was_attempted_as_often_as_before(api: Api) -> None:
    """
    Payment by another way does not undo an attempt.
    """
    subscription = begin(api)
    fall_behind(api, subscription)
    invoice = latest(api, subscription)
    assert invoice["attempt_count"] == 1
    paid = api.post(f"invoices/{invoice['id']}/pay", paid_out_of_band=True)
    assert paid["attempt_count"] == 1


def test_a_subscription_has_one_planned_end(api: Api) -> None:
    """
    Of two, one would be ignored; an update with both is refused as well.
    """
    with pytest.raises(Refused) as refused:
        begin(api, cancel_at=api.now + DAY, cancel_at_period_end=True)
    assert refused.value.param == "cancel_at"
