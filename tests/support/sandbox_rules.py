"""Every call that the sandbox takes, by rules of a machine, in any order.

What is said of times and periods afterwards needs to know what was asked: which updates
began a new period, which had to wait for their payment, what was paid elsewhere.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from payments_service.sandbox.engine import AFTER_RETRIES
from payments_service.sandbox.periods import DAY, HOUR
from payments_service.sandbox.world import Object, World
from support.sandbox import OK, Api
from support.sandbox_books import (
    ENDED,
    Reader,
    check_prorations,
    check_restart,
    is_restart,
    period,
)

REFUSED: Final = (400, 404)
DECLINED: Final = 402
# Where a decline is about something that happened; elsewhere it changes nothing too.
PAYING: Final = ("invoices", "payment_intents", "payment_methods", "setup_intents")
NOW: Final = {"type": "now"}

CARDS: Final = st.sampled_from(
    [
        "pm_card_visa",
        "pm_card_visa",
        "pm_card_chargeCustomerFail",
        "pm_card_authenticationRequired",
        "pm_card_authenticationRequiredOnSetup",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "pm_card_createDispute",
        "pm_card_createDisputeInquiry",
        "pm_card_chargeDeclined",
    ]
)
PRICES: Final = (
    (900, {"interval": "month"}),
    (2101, {"interval": "month"}),
    (301, {"interval": "day"}),
    (1500, {"interval": "week"}),
    (9999, {"interval": "year"}),
    (2500, {"interval": "month", "interval_count": 3}),
    (0, {"interval": "month"}),
)
# Which of those there are: the newest first.
WHICH: Final = st.integers(0, 7)
BEHAVIORS: Final = st.sampled_from(
    [
        "allow_incomplete",
        "default_incomplete",
        "error_if_incomplete",
        "pending_if_incomplete",
    ]
)
PRORATIONS: Final = st.sampled_from(["always_invoice", "create_prorations", "none"])
QUANTITIES: Final = st.integers(0, 3)
PRICE: Final = st.integers(0, len(PRICES) - 1)
SPANS: Final = st.sampled_from(
    ["0", "1", "59 minutes", "1 hour", "7 hours", "1 day", "3 days", "9 days"]
)
LONG_SPANS: Final = st.sampled_from(["15 days", "1 month", "2 months"])
SOON: Final = st.sampled_from([1, HOUR, DAY, 3 * DAY + 5, 10 * DAY, 40 * DAY])
ITEM_CHANGES: Final = st.fixed_dictionaries(
    {
        "how": st.sampled_from(["quantity", "price", "add", "delete"]),
        "price": PRICE,
        "quantity": QUANTITIES,
    }
)
CHANGES: Final = st.one_of(
    st.fixed_dictionaries(
        {"items": ITEM_CHANGES},
        optional={
            "payment_behavior": BEHAVIORS,
            "proration_behavior": PRORATIONS,
            "proration_date": st.fractions(0, 1),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "billing_cycle_anchor": st.just(NOW),
            "items": ITEM_CHANGES,
            "payment_behavior": BEHAVIORS,
            "proration_behavior": PRORATIONS,
            "trial_end": st.one_of(st.just("now"), SOON),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "cancel_at": st.one_of(st.none(), SOON),
            "cancel_at_period_end": st.booleans(),
            "items": ITEM_CHANGES,
            "metadata": st.just({"plan": "b"}),
        },
    ),
)
NEW: Final = st.fixed_dictionaries(
    {"price": PRICE, "quantity": QUANTITIES},
    optional={
        "cancel_at": SOON,
        "cancel_at_period_end": st.booleans(),
        "payment_behavior": BEHAVIORS,
        "payment_settings": st.just({"save_default_payment_method": "on_subscription"}),
        "trial_end": SOON,
        "trial_settings": st.sampled_from(["cancel", "create_invoice", "pause"]).map(
            lambda word: {"end_behavior": {"missing_payment_method": word}}
        ),
    },
)


def is_open(intent: Object) -> bool:
    return intent["status"] not in ("succeeded", "canceled")


def snapshot(world: World) -> tuple[object, ...]:
    """Return all there is, in its order: values do not change, so none is copied."""
    tables = world.objects.items()
    return (
        {kind: list(table.values()) for kind, table in tables if table},
        dict(world.pending),
        {id_: (it.now, sorted(it.agenda)) for id_, it in world.clocks.items()},
        len(world.events),
    )


class Calls(RuleBasedStateMachine):
    """Calls anything; whoever inherits looks at what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.prices: list[str] = []
        self.elsewhere: set[str] = set()
        # When periods were begun anew, and which of these changes had to wait.
        self.restarts: dict[str, set[int]] = {}
        self.resumes: dict[str, set[int]] = {}
        self.held: set[str] = set()
        self.begin(AFTER_RETRIES[0])

    def begin(self, after_retries: str) -> None:
        self.api = Api.begin(after_retries=after_retries)
        self.world = self.api.engine.world
        self.reader = Reader(self.world)

    @initialize(after_retries=st.sampled_from(AFTER_RETRIES))
    def catalog(self, after_retries: str) -> None:
        self.begin(after_retries)
        self.prices = [
            self.api.price(amount, **how)["id"] for amount, how in PRICES
        ]

    # How everything is called

    def call(self, method: str, path: str, **params: Any) -> Any:
        """Return the answer, None for a refusal; which has to change nothing."""
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

    def some(
        self, kind: str, which: int, test: Callable[[Object], object] = bool
    ) -> Any:
        """Return one of these, if there are any; the newest is the first."""
        found = [it for it in self.world.all(kind) if test(it)]
        return found[-1 - which % len(found)] if found else None

    def live(self, which: int) -> Any:
        return self.some("subscription", which, lambda it: it["status"] not in ENDED)

    def now_of(self, it: Object) -> int:
        return self.world.clock_of(it).now

    # Customers and their cards

    @rule(
        card=CARDS,
        balance=st.sampled_from([0, 0, 0, -1500, 700]),
        which=WHICH,
        on_clock=st.booleans(),
    )
    def new_customer(
        self, card: str, balance: int, which: int, *, on_clock: bool
    ) -> None:
        clock = self.some("test_helpers.test_clock", which) if on_clock else None
        params = {"test_clock": clock["id"]} if clock else {}
        made = self.post("customers", balance=balance, **params)
        self.new_card_of(made["id"], card)

    @rule(card=CARDS)
    def new_customer_with_card(self, card: str) -> None:
        self.post("customers", payment_method=card)

    @rule(which=WHICH, card=CARDS)
    def new_card(self, which: int, card: str) -> None:
        customer = self.some("customer", which)
        if customer:
            self.new_card_of(customer["id"], card)

    def new_card_of(self, customer_id: str, card: str) -> None:
        path = f"payment_methods/{card}/attach"
        method = self.post(path, customer=customer_id)
        if method:
            self.post(
                f"customers/{customer_id}",
                invoice_settings={"default_payment_method": method["id"]},
            )

    @rule(which=WHICH, owner=WHICH)
    def attach(self, which: int, owner: int) -> None:
        method = self.some("payment_method", which)
        customer = self.some("customer", owner)
        if method and customer:
            path = f"payment_methods/{method['id']}/attach"
            self.post(path, customer=customer["id"])

    @rule(which=WHICH)
    def detach(self, which: int) -> None:
        method = self.some("payment_method", which)
        if method:
            self.post(f"payment_methods/{method['id']}/detach")

    @rule(
        which=WHICH,
        declines=st.sampled_from([None, "insufficient_funds", "lost_card"]),
    )
    def set_card(self, which: int, declines: str | None) -> None:
        method = self.some("payment_method", which)
        if method:
            self.api.engine.set_card(method["id"], declines=declines)

    @rule(which=WHICH, balance=st.integers(-3000, 3000))
    def set_balance(self, which: int, balance: int) -> None:
        customer = self.some("customer", which)
        if customer:
            self.post(f"customers/{customer['id']}", balance=balance)
            self.reader.read_on()
            self.reader.balances[customer["id"]] = balance

    @rule(which=WHICH)
    def delete_customer(self, which: int) -> None:
        customer = self.some("customer", which)
        if customer:
            self.call("DELETE", f"customers/{customer['id']}")

    # Subscriptions

    @rule(which=WHICH, new=NEW)
    def subscribe(self, which: int, new: dict[str, Any]) -> None:
        customer = self.some("customer", which)
        if not customer:
            return
        params = self.in_time(new, self.now_of(customer))
        item = {"price": self.prices[params.pop("price")]}
        item["quantity"] = params.pop("quantity")
        self.post("subscriptions", customer=customer["id"], items=[item], **params)

    @staticmethod
    def in_time(params: Mapping[str, Any], now: int) -> dict[str, Any]:
        """Turn spans from now into moments."""
        moments = {
            name: now + params[name]
            for name in ("cancel_at", "trial_end")
            if isinstance(params.get(name), int)
        }
        return {**params, **moments}

    @rule(which=WHICH, change=CHANGES)
    def update(self, which: int, change: dict[str, Any]) -> None:
        old = self.live(which)
        if not old:
            return
        now, items = self.now_of(old), old["items"]["data"]
        params = self.in_time(change, now)
        if "items" in params:
            params["items"] = [self.item_change(items, params["items"])]
        if "proration_date" in params:
            start, end = period(items)
            params["proration_date"] = int(
                start + (end - start) * params["proration_date"]
            )
        known = set(self.world.objects.get("invoiceitem", {}))
        new = self.post(f"subscriptions/{old['id']}", **params)
        if new and {"items", "billing_cycle_anchor", "trial_end"} & params.keys():
            costs = self.world.objects.get("invoiceitem", {})
            prorations = [costs[id_] for id_ in costs if id_ not in known]
            self.check_change(old, new, params, prorations)

    def item_change(
        self, items: list[Object], change: Mapping[str, Any]
    ) -> dict[str, Any]:
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
        self,
        old: Object,
        new: Object,
        params: Mapping[str, Any],
        prorations: list[Object],
    ) -> None:
        """A change costs what the rules of proration say."""
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

    @rule(which=WHICH, prorate=st.booleans(), invoice_now=st.booleans())
    def cancel(self, which: int, *, prorate: bool, invoice_now: bool) -> None:
        it = self.live(which)
        if it:
            path = f"subscriptions/{it['id']}"
            self.call("DELETE", path, prorate=prorate, invoice_now=invoice_now)

    @rule(which=WHICH, anchor=st.sampled_from(["now", "unchanged"]))
    def resume(self, which: int, anchor: str) -> None:
        it = self.some("subscription", which, lambda it: it["status"] == "paused")
        it = it or self.live(which)
        if it:
            path = f"subscriptions/{it['id']}/resume"
            if self.post(path, billing_cycle_anchor=anchor):
                self.resumes.setdefault(it["id"], set()).add(self.now_of(it))

    # Invoices

    @rule(which=WHICH, how=st.sampled_from(["default", "card", "elsewhere"]))
    def pay(self, which: int, how: str) -> None:
        invoice = self.some(
            "invoice", which, lambda it: it["status"] in ("draft", "open")
        )
        if not invoice:
            return
        params: dict[str, Any] = {}
        if how == "elsewhere":
            params["paid_out_of_band"] = True
        elif how == "card":
            methods = self.world.by("payment_method", "customer", invoice["customer"])
            params["payment_method"] = methods[0]["id"] if methods else "pm_none"
        due = invoice["amount_due"]
        paid = self.post(f"invoices/{invoice['id']}/pay", **params)
        if paid:
            due = paid["amount_due"]
        if paid and how == "elsewhere" and due:
            self.elsewhere.add(invoice["id"])

    @rule(which=WHICH, verb=st.sampled_from(["void", "finalize"]))
    def void_or_finalize(self, which: int, verb: str) -> None:
        invoice = self.some("invoice", which)
        if invoice:
            self.post(f"invoices/{invoice['id']}/{verb}")

    @rule(which=WHICH, amount=st.integers(-4000, 4000), of_one=st.booleans())
    def new_item(self, which: int, amount: int, *, of_one: bool) -> None:
        it = self.live(which) if of_one else self.some("customer", which)
        if it:
            params = {"subscription": it["id"]} if of_one else {}
            customer = it["customer"] if of_one else it["id"]
            self.post(
                "invoiceitems",
                amount=amount,
                currency="eur",
                customer=customer,
                **params,
            )

    @rule(which=WHICH)
    def delete_item(self, which: int) -> None:
        item = self.some("invoiceitem", which)
        if item:
            self.call("DELETE", f"invoiceitems/{item['id']}")

    # Payments

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
    def new_intent(self, which: int, card: str, params: dict[str, Any]) -> None:
        customer = self.some("customer", which)
        owner = {"customer": customer["id"]} if customer else {}
        self.post(
            "payment_intents",
            amount=1234,
            currency="eur",
            payment_method=card,
            **owner,
            **params,
        )

    @rule(which=WHICH, card=CARDS)
    def confirm_intent(self, which: int, card: str) -> None:
        intent = self.some("payment_intent", which, is_open)
        if intent:
            path = f"payment_intents/{intent['id']}/confirm"
            self.post(path, payment_method=card)

    @rule(which=WHICH)
    def cancel_intent(self, which: int) -> None:
        intent = self.some("payment_intent", which)
        if intent:
            self.post(f"payment_intents/{intent['id']}/cancel")

    @rule(which=WHICH, card=CARDS, confirm=st.booleans())
    def new_setup(self, which: int, card: str, *, confirm: bool) -> None:
        customer = self.some("customer", which)
        if customer:
            self.post(
                "setup_intents",
                confirm=confirm,
                customer=customer["id"],
                payment_method=card,
            )

    @rule(which=WHICH, card=CARDS, verb=st.sampled_from(["confirm", "cancel"]))
    def go_on_with_setup(self, which: int, card: str, verb: str) -> None:
        intent = self.some("setup_intent", which, is_open)
        if intent:
            params = {"payment_method": card} if verb == "confirm" else {}
            self.post(f"setup_intents/{intent['id']}/{verb}", **params)

    @rule(
        which=WHICH,
        kind=st.sampled_from(["payment_intent", "setup_intent"]),
        succeed=st.booleans(),
    )
    def authenticate(self, which: int, kind: str, *, succeed: bool) -> None:
        intent = self.some(kind, which, lambda it: it["status"] == "requires_action")
        if intent:
            self.api.engine.authenticate(intent["id"], succeed=succeed)

    @rule(which=WHICH, amount=st.one_of(st.none(), st.integers(1, 1000)))
    def refund(self, which: int, amount: int | None) -> None:
        charge = self.some("charge", which)
        if charge:
            part_of_it = {} if amount is None else {"amount": amount}
            self.post("refunds", charge=charge["id"], **part_of_it)

    @rule(which=WHICH, words=st.sampled_from(["winning_evidence", "a letter", None]))
    def answer_dispute(self, which: int, words: str | None) -> None:
        dispute = self.some("dispute", which)
        if dispute and words:
            evidence = {"uncategorized_text": words}
            self.post(f"disputes/{dispute['id']}", evidence=evidence)
        elif dispute:
            self.post(f"disputes/{dispute['id']}/close")

    # Time

    @rule(span=SPANS)
    def advance(self, span: str) -> None:
        self.api.advance(span)

    @rule(span=LONG_SPANS)
    def advance_far(self, span: str) -> None:
        self.api.advance(span)

    @rule(ahead=st.sampled_from([-30 * DAY, 0, 45 * DAY]))
    def new_clock(self, ahead: int) -> None:
        self.post("test_helpers/test_clocks", frozen_time=self.api.now + ahead)

    @rule(which=WHICH, seconds=SOON)
    def advance_clock(self, which: int, seconds: int) -> None:
        clock = self.some("test_helpers.test_clock", which)
        if clock:
            path = f"test_helpers/test_clocks/{clock['id']}/advance"
            self.post(path, frozen_time=clock["frozen_time"] + seconds)

    @rule(which=WHICH)
    def delete_clock(self, which: int) -> None:
        clock = self.some("test_helpers.test_clock", which)
        if clock:
            self.call("DELETE", f"test_helpers/test_clocks/{clock['id']}")

