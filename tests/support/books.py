"""What is true of the sandbox's books, and of who only reads its events.

The checks raise; `tests/unit/test_sandbox_invariants.py` says the rules.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import floor
from typing import Final

from payments_core.subscription import SUBSCRIPTION_STEPS, SubscriptionStatus
from payments_service.sandbox.periods import HOUR
from payments_service.sandbox.world import Object, World

INCOMPLETE_S: Final = 23 * HOUR
ENDED: Final = ("canceled", "incomplete_expired")
RENEWING: Final = ("active", "past_due", "trialing", "unpaid")
# Of these Stripe reports every change, so that the last event has the whole object.
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
# A new payment method of an intent is no event of Stripe's.
WAITING: Final = ("requires_confirmation", "requires_payment_method")


# What is true of single objects


def period(items: Iterable[Object]) -> tuple[int, int]:
    """Return the one period that all of these share."""
    (found,) = {(it["current_period_start"], it["current_period_end"]) for it in items}
    return found


def whole_lines(invoice: Object) -> list[Object]:
    """Return the lines of an invoice that charge a whole period."""
    found = []
    for line in invoice["lines"]["data"]:
        details = line["parent"]["subscription_item_details"]
        if details and not details["proration"]:
            found.append(line)
    return found


def taken(world: World, invoice: Object) -> list[int]:
    """Return what charges took for an invoice."""
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
    assert due == max(0, total + balance)
    assert invoice["amount_paid"] + invoice["amount_remaining"] == due
    ending = None if invoice["status"] == "draft" else total + balance - due
    assert invoice["ending_balance"] == ending


def check_collecting(world: World, invoice: Object) -> None:
    """Nothing that time brings to an invoice is overdue, or was forgotten."""
    now, status = world.clock_of(invoice).now, invoice["status"]
    finalizes = invoice["automatically_finalizes_at"]
    assert (finalizes is not None) == (status == "draft" and invoice["auto_advance"])
    assert finalizes is None or now < finalizes
    retries = invoice["next_payment_attempt"]
    assert retries is None or (status == "open" and now < retries)


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


def check_standing(world: World, it: Object) -> None:
    """The status says what became of the latest invoice."""
    status, latest = it["status"], world.get("invoice", it["latest_invoice"])
    pending = it["pending_update"]
    if pending:
        assert status not in ENDED
        assert world.clock_of(it).now < pending["expires_at"]
        assert latest["status"] in ("open", "draft")
    assert (status in ENDED) == (it["ended_at"] is not None)
    if status in ("incomplete", "past_due", "unpaid"):
        assert latest["status"] != "paid"
    if status == "active" and not pending:
        assert latest["status"] != "open"
    if status == "past_due" and latest["status"] == "open" and latest["auto_advance"]:
        assert pending or latest["next_payment_attempt"] is not None


def check_taken(world: World, intent: Object) -> None:
    charges = world.by("charge", "payment_intent", intent["id"])
    took = [it["amount"] for it in charges if it["status"] == "succeeded"]
    assert took == ([intent["amount"]] if intent["status"] == "succeeded" else [])
    assert intent["amount_received"] == sum(took)


def check_refunded(world: World, charge: Object) -> None:
    back = sum(it["amount"] for it in world.by("refund", "charge", charge["id"]))
    assert charge["amount_refunded"] == back <= charge["amount_captured"]
    assert charge["refunded"] == (back == charge["amount"])
    assert charge["disputed"] == bool(world.by("dispute", "charge", charge["id"]))


def rounded(amount: int, seconds: int, whole: int) -> int:
    return floor(Fraction(amount * seconds, whole) + Fraction(1, 2))


# The reader of events


class Reader:
    """Knows what the events say, and nothing else."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.read = 0
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in REPORTED}
        self.attached: dict[str, Object] = {}
        self.intents: dict[str, str] = {}
        self.balances: dict[str, int] = {}
        self.statuses: dict[str, SubscriptionStatus] = {}
        # By customer, payment method and charge.
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
        self.read = len(events)

    def _note_time(self, created: int, it: Object) -> None:
        owner = it.get("customer") or it.get("charge") or it["id"]
        clock = it.get("test_clock") or self.clocks.get(owner)
        self.clocks[it["id"]] = clock
        assert self.times.get(clock, created) <= created
        self.times[clock] = created

    def _forget(self, it: Object) -> None:
        self.objects.get(it["object"], {}).pop(it["id"], None)
        if it["object"] == "test_helpers.test_clock":
            # With a clock its customers go, and all they had; nothing more is said.
            for kind in ("customer", "subscription"):
                for id_, gone in list(self.objects[kind].items()):
                    if gone["test_clock"] == it["id"]:
                        del self.objects[kind][id_]

    def _note_status(self, it: Object) -> None:
        status = SubscriptionStatus(it["status"])
        before = self.statuses.setdefault(it["id"], status)
        assert status is before or status in SUBSCRIPTION_STEPS[before]
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
        """What was read is what there is."""
        stored = self.world.objects
        for kind, known in self.objects.items():
            assert known == stored.get(kind, {}), kind
        known = {id_: it for id_, it in self.attached.items() if it["customer"]}
        methods = stored.get("payment_method", {})
        assert known == {id_: it for id_, it in methods.items() if it["customer"]}
        for kind in ("payment_intent", "setup_intent"):
            for id_, intent in stored.get(kind, {}).items():
                status, told = intent["status"], self.intents[id_]
                assert told == status or {told, status} <= set(WAITING)
        for id_, customer in stored.get("customer", {}).items():
            assert customer["balance"] == self.balances[id_]
