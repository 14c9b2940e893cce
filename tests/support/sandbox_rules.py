"""Every call of the sandbox, as rules of a state machine, in any order.

Later checks of times and periods need to know the requests: which updates began a new
period, which had to wait for their payment, what was paid elsewhere.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from payments_sandbox.engine import AFTER_RETRIES
from payments_sandbox.periods import DAY, HOUR
from payments_sandbox.state import Object, World
from support.sandbox import OK, Api
from support.sandbox_books import (
    ENDED,
    Reader,
    check_prorations,
    check_restart,
    is_restart,
    period,
)
from support.sandbox_draws import (
    CARDS,
    DECLINES,
    ITEM_CHANGE,
    NEW,
    PAUSE,
    PLANNED_END,
    PRICES,
    RESTART,
    SOON,
    SPANS,
    WHICH,
)

Params = dict[str, Any]
Test = Callable[[Object], object]

REFUSED: Final = (400, 404)
DECLINED: Final = 402
# Where a decline is about something that happened; elsewhere it changes nothing too.
PAYING: Final = ("invoices", "payment_intents", "payment_methods", "setup_intents")
VERBS: Final = st.sampled_from(["void", "finalize", "mark_uncollectible"])
CLOCK: Final = "test_helpers.test_clock"


def snapshot(world: World) -> tuple[object, ...]:
    """Return all objects in order: values do not change, so none is copied."""
    tables = world.objects.items()
    return (
        {kind: list(table.values()) for kind, table in tables if table},
        dict(world.pending),
        {id_: (it.now, sorted(it.scheduled)) for id_, it in world.clocks.items()},
        len(world.events),
    )


def in_time(params: Mapping[str, Any], now: int) -> Params:
    """Convert spans from now into times."""
    moments = {
        name: now + params[name]
        for name in ("cancel_at", "trial_end")
        if isinstance(params.get(name), int)
    }
    return {**params, **moments}


def is_live(subscription: Object) -> bool:
    return subscription["status"] not in ENDED


def is_paused(subscription: Object) -> bool:
    return bool(subscription["status"] == "paused")


def is_unsettled(intent: Object) -> bool:
    return intent["status"] not in ("succeeded", "canceled")


def is_owned(method: Object) -> bool:
    return bool(method["customer"])


def is_uncollected(invoice: Object) -> bool:
    return invoice["status"] in ("draft", "open")


def needs_holder(intent: Object) -> bool:
    return bool(intent["status"] == "requires_action")


def there_is(kind: str, test: Test = bool) -> Callable[[Any], Any]:
    """Disable a rule while nothing of this kind exists."""
    return precondition(lambda self: any(map(test, self.world.all(kind))))


def there_are(number: int, kind: str) -> Callable[[Any], Any]:
    """Disable a rule while it would delete what the others need."""
    return precondition(lambda self: len(self.world.all(kind)) >= number)


class Calls(RuleBasedStateMachine):
    """Calls anything; subclasses check the results."""

    def __init__(self) -> None:
        super().__init__()
        self.prices: list[str] = []
        self.elsewhere: set[str] = set()
        # When periods were begun anew, and which of these changes had to wait.
        self.restarts: dict[str, set[int]] = {}
        self.resumes: dict[str, set[int]] = {}
        self.held: set[str] = set()
        self.begin()

    def begin(self, **settings: Any) -> None:
        self.api = Api.begin(**settings)
        self.world = self.api.engine.world
        self.reader = Reader(self.world)

    @initialize(after_retries=st.sampled_from(AFTER_RETRIES), card=CARDS, new=NEW)
    def first(self, after_retries: str, card: str, new: Params) -> None:
        self.begin(after_retries=after_retries)
        self.prices = [self.api.price(amount, **how)["id"] for amount, how in PRICES]
        customer = self.post("customers")
        self.give(customer["id"], card)
        self.subscribed(customer, new)

    # How everything is called

    def call(self, method: str, path: str, **params: Any) -> Any:
        """Return the answer, None for a refusal, which must change nothing."""
        before = snapshot(self.world)
        response = self.api.raw(method, path, params)
        answer = json.loads(response.body)
        assert response.status in (OK, DECLINED, *REFUSED), answer
        is_payment = path.startswith(PAYING) and response.status == DECLINED
        if response.status != OK and not is_payment:
            assert snapshot(self.world) == before, answer
        return answer if response.status == OK else None

    def post(self, path: str, **params: Any) -> Any:
        return self.call("POST", path, **params)

    def some(self, kind: str, which: int, test: Test = bool) -> Any:
        """Return one of these; the newest is the first."""
        found = [it for it in self.world.all(kind) if test(it)]
        return found[-1 - which % len(found)]

    def now_of(self, it: Object) -> int:
        return self.world.clock_of(it).now

    # Customers and their cards

    @rule(card=CARDS, balance=st.sampled_from([0, 0, 0, -1500, 700]), new=NEW)
    def new_customer(self, card: str, balance: int, new: Params) -> None:
        customer = self.post("customers", balance=balance)
        self.give(customer["id"], card)
        self.subscribed(customer, new)

    @there_is(CLOCK)
    @rule(card=CARDS, which=WHICH, new=NEW)
    def new_customer_on_clock(self, card: str, which: int, new: Params) -> None:
        customer = self.post("customers", test_clock=self.some(CLOCK, which)["id"])
        self.give(customer["id"], card)
        self.subscribed(customer, new)

    @rule(card=CARDS)
    def new_customer_with_card(self, card: str) -> None:
        self.post("customers", payment_method=card)

    @there_is("customer")
    @rule(which=WHICH, card=CARDS)
    def new_card(self, which: int, card: str) -> None:
        self.give(self.some("customer", which)["id"], card)

    def give(self, customer_id: str, card: str) -> None:
        """Attach a card and make it the default, unless it declines."""
        method = self.post(f"payment_methods/{card}/attach", customer=customer_id)
        if method:
            self.post(
                f"customers/{customer_id}",
                invoice_settings={"default_payment_method": method["id"]},
            )

    @there_is("customer")
    @there_is("payment_method")
    @rule(which=WHICH, owner=WHICH)
    def attach(self, which: int, owner: int) -> None:
        path = f"payment_methods/{self.some('payment_method', which)['id']}/attach"
        self.post(path, customer=self.some("customer", owner)["id"])

    @there_is("payment_method", is_owned)
    @rule(which=WHICH)
    def detach(self, which: int) -> None:
        method = self.some("payment_method", which, is_owned)
        self.post(f"payment_methods/{method['id']}/detach")

    @there_is("payment_method", is_owned)
    @rule(which=WHICH, declines=DECLINES)
    def set_card(self, which: int, declines: str | None) -> None:
        method = self.some("payment_method", which, is_owned)
        self.api.engine.set_card(method["id"], declines=declines)

    @there_is("customer")
    @rule(which=WHICH, balance=st.integers(-3000, 3000))
    def set_balance(self, which: int, balance: int) -> None:
        customer = self.some("customer", which)
        self.post(f"customers/{customer['id']}", balance=balance)
        self.reader.read_on()
        self.reader.balances[customer["id"]] = balance

    @there_are(4, "customer")
    @rule(which=WHICH)
    def delete_customer(self, which: int) -> None:
        self.call("DELETE", f"customers/{self.some('customer', which)['id']}")

    # Subscriptions

    @there_is("customer")
    @rule(which=WHICH, new=NEW)
    def subscribe(self, which: int, new: Params) -> None:
        self.subscribed(self.some("customer", which), new)

    def subscribed(self, customer: Object, new: Params) -> None:
        params = in_time({**new, **new["ends"]}, self.now_of(customer))
        del params["ends"]
        item = {"price": self.prices[params.pop("price")]}
        item["quantity"] = params.pop("quantity")
        self.post("subscriptions", customer=customer["id"], items=[item], **params)

    @there_is("subscription", is_live)
    @rule(which=WHICH, change=ITEM_CHANGE)
    def change_items(self, which: int, change: Params) -> None:
        self.updated(self.some("subscription", which, is_live), change)

    @there_is("subscription", is_live)
    @rule(which=WHICH, change=RESTART)
    def restart(self, which: int, change: Params) -> None:
        self.updated(self.some("subscription", which, is_live), change)

    @there_is("subscription", is_live)
    @rule(which=WHICH, change=PLANNED_END)
    def plan_end(self, which: int, change: Params) -> None:
        self.updated(self.some("subscription", which, is_live), change)

    def updated(self, old: Object, change: Params) -> None:
        """Change a subscription; the cost follows the rules of proration."""
        now, items = self.now_of(old), old["items"]["data"]
        params = in_time(change, now)
        if "items" in params:
            params["items"] = [self.item_change(items, params["items"])]
        if "proration_date" in params:
            start, end = period(items)
            at = int(start + (end - start) * params["proration_date"])
            params["proration_date"] = at
        known = {it["id"] for it in self.world.all("invoiceitem")}
        new = self.post(f"subscriptions/{old['id']}", **params)
        if new and {"items", "billing_cycle_anchor", "trial_end"} & params.keys():
            made = [it for it in self.world.all("invoiceitem") if it["id"] not in known]
            self.check_change(old, new, params, made)

    def item_change(self, items: list[Object], change: Mapping[str, Any]) -> Params:
        price, quantity = self.prices[change["price"]], change["quantity"]
        match change["how"]:
            case "quantity":
                return {"id": items[0]["id"], "quantity": quantity}
            case "price":
                return {"id": items[0]["id"], "price": price}
            case "add":
                return {"price": price, "quantity": quantity}
            case _:
                return {"id": items[-1]["id"], "deleted": True}

    def check_change(
        self, old: Object, new: Object, params: Params, prorations: list[Object]
    ) -> None:
        now, pending = self.now_of(old), new["pending_update"]
        after = pending["subscription_items"] if pending else new["items"]["data"]
        if pending:
            self.held.add(new["latest_invoice"])
        if is_restart(old, after, params):
            self.restarts.setdefault(old["id"], set()).add(now)
            invoice = self.world.get("invoice", new["latest_invoice"])
            check_restart(invoice, after, params, now=now)
        at = params.get("proration_date", now)
        check_prorations(old, after, params, prorations, at=at)

    @there_is("subscription", is_live)
    @rule(which=WHICH, pause=PAUSE)
    def pause_collection(self, which: int, pause: Params | str) -> None:
        it = self.some("subscription", which, is_live)
        if isinstance(pause, dict) and "resumes_at" in pause:
            pause = {**pause, "resumes_at": self.now_of(it) + pause["resumes_at"]}
        self.post(f"subscriptions/{it['id']}", pause_collection=pause)

    @there_is("subscription", is_live)
    @rule(which=WHICH, prorate=st.booleans(), invoice_now=st.booleans())
    def cancel(self, which: int, *, prorate: bool, invoice_now: bool) -> None:
        path = f"subscriptions/{self.some('subscription', which, is_live)['id']}"
        self.call("DELETE", path, prorate=prorate, invoice_now=invoice_now)

    @there_is("subscription", is_paused)
    @rule(which=WHICH, anchor=st.sampled_from(["now", "unchanged"]))
    def resume(self, which: int, anchor: str) -> None:
        it = self.some("subscription", which, is_paused)
        path = f"subscriptions/{it['id']}/resume"
        if self.post(path, billing_cycle_anchor={"type": anchor}):
            self.resumes.setdefault(it["id"], set()).add(self.now_of(it))

    # Invoices

    @there_is("invoice", is_uncollected)
    @rule(which=WHICH, how=st.sampled_from(["default", "card", "elsewhere"]))
    def pay(self, which: int, how: str) -> None:
        invoice = self.some("invoice", which, is_uncollected)
        params: Params = {}
        if how == "elsewhere":
            params["paid_out_of_band"] = True
        elif how == "card":
            methods = self.world.by("payment_method", "customer", invoice["customer"])
            params["payment_method"] = methods[0]["id"] if methods else "pm_none"
        paid = self.post(f"invoices/{invoice['id']}/pay", **params)
        if paid and how == "elsewhere" and paid["amount_due"]:
            self.elsewhere.add(invoice["id"])

    @there_is("invoice")
    @rule(which=WHICH, verb=VERBS)
    def void_or_finalize(self, which: int, verb: str) -> None:
        self.post(f"invoices/{self.some('invoice', which)['id']}/{verb}")

    @there_is("subscription", is_live)
    @rule(which=WHICH, change=st.one_of(ITEM_CHANGE, RESTART))
    def preview(self, which: int, change: Params) -> None:
        """Change nothing."""
        it = self.some("subscription", which, is_live)
        params = in_time(change, self.now_of(it))
        for not_previewed in ("payment_behavior", "proration_date"):
            params.pop(not_previewed, None)
        if "items" in params:
            items = it["items"]["data"]
            params["items"] = [self.item_change(items, params["items"])]
        before = snapshot(self.world)
        path = "invoices/create_preview"
        self.post(path, subscription=it["id"], subscription_details=params)
        assert snapshot(self.world) == before

    @there_is("customer")
    @rule(which=WHICH, amount=st.integers(-4000, 4000))
    def new_item(self, which: int, amount: int) -> None:
        params = {"amount": amount, "currency": "eur"}
        self.post("invoiceitems", customer=self.some("customer", which)["id"], **params)

    @there_is("subscription")
    @rule(which=WHICH, amount=st.integers(-4000, 4000))
    def new_item_of_subscription(self, which: int, amount: int) -> None:
        it = self.some("subscription", which)
        owner = {"customer": it["customer"], "subscription": it["id"]}
        self.post("invoiceitems", amount=amount, currency="eur", **owner)

    @there_is("invoiceitem")
    @rule(which=WHICH)
    def delete_item(self, which: int) -> None:
        self.call("DELETE", f"invoiceitems/{self.some('invoiceitem', which)['id']}")

    # Payments

    @there_is("customer")
    @rule(
        which=WHICH,
        card=CARDS,
        params=st.fixed_dictionaries(
            {"confirm": st.booleans()},
            optional={
                "off_session": st.booleans(),
                "setup_future_usage": st.just("off_session"),
            },
        ),
    )
    def new_intent(self, which: int, card: str, params: Params) -> None:
        owner = {"customer": self.some("customer", which)["id"]}
        taken = {"amount": 1234, "currency": "eur", "payment_method": card}
        self.post("payment_intents", **taken, **owner, **params)

    @there_is("payment_intent", is_unsettled)
    @rule(which=WHICH, card=CARDS)
    def confirm_intent(self, which: int, card: str) -> None:
        intent = self.some("payment_intent", which, is_unsettled)
        self.post(f"payment_intents/{intent['id']}/confirm", payment_method=card)

    @there_is("payment_intent", is_unsettled)
    @rule(which=WHICH)
    def cancel_intent(self, which: int) -> None:
        intent = self.some("payment_intent", which, is_unsettled)
        self.post(f"payment_intents/{intent['id']}/cancel")

    @there_is("customer")
    @rule(which=WHICH, card=CARDS, confirm=st.booleans())
    def new_setup(self, which: int, card: str, *, confirm: bool) -> None:
        owner = {"customer": self.some("customer", which)["id"]}
        self.post("setup_intents", confirm=confirm, payment_method=card, **owner)

    @there_is("setup_intent", is_unsettled)
    @rule(which=WHICH, card=CARDS, verb=st.sampled_from(["confirm", "cancel"]))
    def go_on_with_setup(self, which: int, card: str, verb: str) -> None:
        intent = self.some("setup_intent", which, is_unsettled)
        params = {"payment_method": card} if verb == "confirm" else {}
        self.post(f"setup_intents/{intent['id']}/{verb}", **params)

    @there_is("payment_intent", needs_holder)
    @rule(which=WHICH, succeed=st.booleans())
    def authenticate_payment(self, which: int, *, succeed: bool) -> None:
        intent = self.some("payment_intent", which, needs_holder)
        self.api.engine.authenticate(intent["id"], succeed=succeed)

    @there_is("setup_intent", needs_holder)
    @rule(which=WHICH, succeed=st.booleans())
    def authenticate_setup(self, which: int, *, succeed: bool) -> None:
        intent = self.some("setup_intent", which, needs_holder)
        self.api.engine.authenticate(intent["id"], succeed=succeed)

    @there_is("charge")
    @rule(which=WHICH, amount=st.one_of(st.none(), st.integers(1, 1000)))
    def refund(self, which: int, amount: int | None) -> None:
        part_of_it = {} if amount is None else {"amount": amount}
        self.post("refunds", charge=self.some("charge", which)["id"], **part_of_it)

    @there_is("dispute")
    @rule(which=WHICH, words=st.sampled_from(["winning_evidence", "a letter", None]))
    def answer_dispute(self, which: int, words: str | None) -> None:
        path = f"disputes/{self.some('dispute', which)['id']}"
        if words:
            self.post(path, evidence={"uncategorized_text": words})
        else:
            self.post(f"{path}/close")

    # Time

    @rule(span=SPANS)
    def advance(self, span: str) -> None:
        self.api.advance(span)

    @rule(steps=st.integers(1, 5), seconds=st.sampled_from([0, 0, -1, HOUR]))
    def advance_to_what_is_due(self, steps: int, seconds: int) -> None:
        """Stop at the interesting time: exactly then, or just before."""
        for _ in range(steps):
            due = self.world.clocks[None].next_due or self.api.now
            self.api.advance(max(due + seconds, self.api.now))

    @rule(ahead=st.sampled_from([-30 * DAY, 0, 45 * DAY]))
    def new_clock(self, ahead: int) -> None:
        self.post("test_helpers/test_clocks", frozen_time=self.api.now + ahead)

    @there_is(CLOCK)
    @rule(which=WHICH, seconds=SOON)
    def advance_clock(self, which: int, seconds: int) -> None:
        clock = self.some(CLOCK, which)
        path = f"test_helpers/test_clocks/{clock['id']}/advance"
        self.post(path, frozen_time=clock["frozen_time"] + seconds)

    @there_are(2, CLOCK)
    @rule(which=WHICH)
    def delete_clock(self, which: int) -> None:
        self.call("DELETE", f"test_helpers/test_clocks/{self.some(CLOCK, which)['id']}")
