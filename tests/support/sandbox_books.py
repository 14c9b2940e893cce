"""Invariants of a sandbox: of each object, and of the events.

Nothing here uses the sandbox's calculations: sums, periods and prorations are computed
independently.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import floor
from typing import Any, Final

from payments_core.subscription import SUBSCRIPTION_STEPS, SubscriptionStatus
from payments_sandbox.periods import HOUR
from payments_sandbox.state import INVOICE_OF_SUBSCRIPTION, Object, World

LEAST_MINOR: Final = 50
INCOMPLETE_S: Final = 23 * HOUR
ENDED: Final = ("canceled", "incomplete_expired")
RENEWING: Final = ("active", "past_due", "trialing", "unpaid")
# Stripe reports every change of these, so the last event has the whole object.
REPORTED: Final = (
    "charge",
    "customer",
    "dispute",
    "invoice",
    "price",
    "product",
    "refund",
    "subscription",
    "test_helpers.test_clock",
)
# A new payment method of an intent causes no event of Stripe's.
WAITING: Final = ("requires_confirmation", "requires_payment_method")


# Invoices


def whole_lines(invoice: Object) -> list[Object]:
    """Return the lines of an invoice that charge a whole period."""
    found = []
    for line in invoice["lines"]["data"]:
        details = line["parent"]["subscription_item_details"]
        if details and not details["proration"]:
            found.append(line)
    return found


def taken(world: World, invoice: Object) -> list[int]:
    """Return the amount that charges took for an invoice."""
    return [
        charge["amount"]
        for payment in world.by("invoice_payment", "invoice", invoice["id"])
        for charge in world.by(
            "charge", "payment_intent", payment["payment"]["payment_intent"]
        )
        if charge["status"] == "succeeded"
    ]


def check_paid(world: World, invoice: Object, elsewhere: set[str]) -> None:
    due, is_paid = invoice["amount_due"], invoice["status"] == "paid"
    off_stripe = is_paid and invoice["id"] in elsewhere
    by_charge = is_paid and not off_stripe and due > 0
    assert taken(world, invoice) == ([due] if by_charge else [])
    assert invoice["amount_paid"] == (due if is_paid else 0)
    assert invoice.get("amount_paid_off_stripe", 0) == (due if off_stripe else 0)


def check_sums(invoice: Object) -> None:
    total, balance = invoice["total"], invoice["starting_balance"]
    due = invoice["amount_due"]
    assert total == sum(line["amount"] for line in invoice["lines"]["data"])
    assert total == invoice["subtotal"]
    # Half a euro is the least that can be charged.
    assert due == (total + balance if total + balance >= LEAST_MINOR else 0)
    assert invoice["amount_paid"] + invoice["amount_remaining"] == due
    ending = None if invoice["status"] == "draft" else total + balance - due
    assert invoice["ending_balance"] == ending


def check_collecting(world: World, invoice: Object) -> None:
    """No timed change of an invoice is overdue, or was forgotten."""
    now, status = world.clock_of(invoice).now, invoice["status"]
    finalizes = invoice["automatically_finalizes_at"]
    assert (finalizes is not None) == (status == "draft" and invoice["auto_advance"])
    assert finalizes is None or now < finalizes
    retries = invoice["next_payment_attempt"]
    assert retries is None or (status == "open" and now < retries)


# Subscriptions


def period(items: Iterable[Object]) -> tuple[int, int]:
    """Return the one period that all of these share."""
    (found,) = {(it["current_period_start"], it["current_period_end"]) for it in items}
    return found


def check_period(world: World, it: Object) -> None:
    now, (start, end) = world.clock_of(it).now, period(it["items"]["data"])
    assert start < end
    if it["status"] in RENEWING:
        assert start <= now < end
        assert not it["cancel_at_period_end"] or it["cancel_at"] == end
    if it["status"] == "trialing":
        assert it["trial_start"] <= now
        assert it["trial_end"] == end == it["billing_cycle_anchor"]
    if it["status"] == "incomplete":
        assert now < it["created"] + INCOMPLETE_S
    if it["status"] not in (*ENDED, "paused"):
        assert it["cancel_at"] is None or now < it["cancel_at"]


def check_standing(world: World, it: Object, kept: set[str]) -> None:
    """The status follows from the latest invoice.

    One that was `kept` as a draft, because collection was paused, is collected only by
    hand.
    """
    status, latest = it["status"], world.get("invoice", it["latest_invoice"])
    pending = it["pending_update"]
    assert (pending is not None) == (it["id"] in world.pending)
    if pending:
        assert status not in ENDED
        assert world.clock_of(it).now < pending["expires_at"]
        assert latest["status"] == "open"
    assert (status in ENDED) == (it["ended_at"] is not None)
    if status in ("incomplete", "past_due", "unpaid"):
        assert latest["status"] != "paid"
    if status == "active" and not pending:
        assert latest["status"] != "open" or latest["id"] in kept
    if status == "past_due" and latest["status"] == "open" and latest["auto_advance"]:
        assert pending or latest["next_payment_attempt"] is not None


def check_chain(
    world: World, it: Object, *, restarts: set[int], resumes: set[int], held: set[str]
) -> None:
    """Every period begins where the last one ended, or there is a reason.

    A restart may begin within the last period, a resumption anywhere; a change that was
    `held` until it is paid, and never was, does not count.
    """
    end, last = it["start_date"], None
    for invoice in world.by("invoice", INVOICE_OF_SUBSCRIPTION, it["id"]):
        dropped = invoice["id"] in held and invoice["status"] != "paid"
        lines = [] if dropped else whole_lines(invoice)
        if not lines:
            continue
        (last,) = {(line["period"]["start"], line["period"]["end"]) for line in lines}
        start = last[0]
        assert start == end or start in resumes or (start < end and start in restarts)
        end = last[1]
    assert last == period(it["items"]["data"])


# The cost of a change


def worth(item: Object) -> tuple[str, int]:
    return item["price"]["id"], item["quantity"]


def interval(item: Object) -> tuple[str, int]:
    how = item["price"]["recurring"]
    return how["interval"], how["interval_count"]


def part(item: Object, at: int) -> int:
    """Return the cost of an item from a time to its period's end, rounded half up."""
    start, end = period([item])
    amount = item["price"]["unit_amount"] * item["quantity"]
    return floor(Fraction(amount * (end - at), end - start) + Fraction(1, 2))


def is_restart(old: Object, after: list[Object], params: Mapping[str, Any]) -> bool:
    """Say whether an update begins a new period."""
    in_trial, trial_end = old["status"] == "trialing", params.get("trial_end")
    if isinstance(trial_end, int) or (trial_end == "now" and in_trial):
        return True
    if "billing_cycle_anchor" in params and trial_end != "now":
        return True
    return not in_trial and interval(old["items"]["data"][0]) != interval(after[0])


def check_prorations(
    old: Object,
    after: list[Object],
    params: Mapping[str, Any],
    prorations: list[Object],
    *,
    at: int,
) -> None:
    """The unused rest was credited, the new item charged, both to the second."""
    gone = {it["id"]: it for it in old["items"]["data"]}
    come = {it["id"]: it for it in after}
    if is_restart(old, after, params):
        come = {}
    else:
        for id_ in gone.keys() & come.keys():
            if worth(gone[id_]) == worth(come[id_]):
                del gone[id_], come[id_]
    if old["status"] == "trialing" or params.get("proration_behavior") == "none":
        gone, come = {}, {}
    expected = [
        (sign * part(it, at), at, period([it])[1])
        for sign, items in ((-1, gone), (1, come))
        for it in items.values()
    ]
    found = [
        (it["amount"], it["period"]["start"], it["period"]["end"]) for it in prorations
    ]
    assert Counter(found) == Counter(expected)


def check_restart(
    invoice: Object, after: list[Object], params: Mapping[str, Any], *, now: int
) -> None:
    """A new period begins now, and is charged in full, unless it is a trial."""
    start, end = period(after)
    free = isinstance(params.get("trial_end"), int)
    assert start == now
    assert not free or end == params["trial_end"]
    found = [
        (line["amount"], line["period"]["start"], line["period"]["end"])
        for line in whole_lines(invoice)
    ]
    full = [0 if free else part(it, start) for it in after]
    assert Counter(found) == Counter((amount, start, end) for amount in full)


# Payments


def check_intent(world: World, intent: Object) -> None:
    charges = world.by("charge", "payment_intent", intent["id"])
    took = [it["amount"] for it in charges if it["status"] == "succeeded"]
    assert took == ([intent["amount"]] if intent["status"] == "succeeded" else [])
    assert intent["amount_received"] == sum(took)


def check_refunded(world: World, charge: Object) -> None:
    refunds = world.by("refund", "charge", charge["id"])
    back = sum(it["amount"] for it in refunds if it["status"] != "failed")
    assert charge["amount_refunded"] == back <= charge["amount_captured"]
    assert charge["refunded"] == (back == charge["amount"])
    assert charge["disputed"] == bool(world.by("dispute", "charge", charge["id"]))


# Events


def owned(methods: Mapping[str, Object]) -> dict[str, Object]:
    """Return a customer's payment methods: no others are reported."""
    return {id_: it for id_, it in methods.items() if it["customer"]}


class Reader:
    """Knows the events' content, and nothing else."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.read = 0
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in REPORTED}
        self.attached: dict[str, Object] = {}
        self.intents: dict[str, str] = {}
        self.balances: dict[str, int] = {}
        self.statuses: dict[str, SubscriptionStatus] = {}
        # Invoices that began as drafts which nobody collects.
        self.kept: set[str] = set()
        # The clock of each object, and the time of the last event on each clock.
        self.clocks: dict[str, str | None] = {}
        self.times: dict[str | None, int] = {}

    def read_on(self) -> None:
        events = list(self.world.events.values())
        for event in events[self.read :]:
            it, kind = event.object, event.object["object"]
            self._note_time(event.created, it)
            if event.type.endswith(".deleted") and kind != "subscription":
                self._forget(it)
            elif kind in self.objects:
                self.objects[kind][it["id"]] = it
            elif kind in ("payment_intent", "setup_intent"):
                self.intents[it["id"]] = it["status"]
            elif kind == "payment_method":
                self.attached[it["id"]] = it
            if kind == "subscription":
                self._note_status(it)
            self._note_balance(event.type, it)
            if event.type == "invoice.created" and not it["auto_advance"]:
                self.kept.add(it["id"])
        self.read = len(events)

    def _note_time(self, created: int, it: Object) -> None:
        names = ("customer", "charge", "invoice", "id")
        owner = next(it[name] for name in names if it.get(name))
        clock = it.get("test_clock") or self.clocks.get(owner)
        self.clocks[it["id"]] = clock
        assert self.times.get(clock, created) <= created
        self.times[clock] = created

    def _forget(self, it: Object) -> None:
        self.objects.get(it["object"], {}).pop(it["id"], None)
        if it["object"] == "test_helpers.test_clock":
            # With a clock all its objects are deleted; no further event follows.
            for table in (*self.objects.values(), self.attached):
                for id_ in [id_ for id_ in table if self.clocks[id_] == it["id"]]:
                    del table[id_]

    def _note_status(self, it: Object) -> None:
        status = SubscriptionStatus(it["status"])
        before = self.statuses.setdefault(it["id"], status)
        assert status is before or status in SUBSCRIPTION_STEPS[before], (before, it)
        self.statuses[it["id"]] = status

    def _note_balance(self, type_: str, it: Object) -> None:
        if type_ == "customer.created":
            self.balances[it["id"]] = it["balance"]
        elif type_ == "invoice.finalized":
            assert it["starting_balance"] == self.balances[it["customer"]]
            self.balances[it["customer"]] = it["ending_balance"]
        elif type_ == "invoice.voided":
            back = it["starting_balance"] - it["ending_balance"]
            self.balances[it["customer"]] += back

    def check(self) -> None:
        """The state from the events equals the stored state."""
        stored = self.world.objects
        for kind, known in self.objects.items():
            assert known == stored.get(kind, {}), kind
        assert owned(self.attached) == owned(stored.get("payment_method", {}))
        for kind in ("payment_intent", "setup_intent"):
            for id_, intent in stored.get(kind, {}).items():
                status, last = intent["status"], self.intents[id_]
                assert last == status or {last, status} <= set(WAITING)
        for id_, customer in stored.get("customer", {}).items():
            assert customer["balance"] == self.balances[id_]
