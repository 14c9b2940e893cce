"""Who has paid in a sandbox's world, by its own books and the rules of docs/domain.md.

Rule 1: a paid invoice covers the period of its line for our item: the first one of its
        subscription. Prorations and other items cover nothing.
Rule 2: a period goes when all the money of its invoice went back, and nothing else
        takes it. A refund that failed has returned nothing.
Rule 3: a trial is free until it ends, or its subscription does.
Rule 4: what is past due or unpaid shows `failed`, a first payment that is awaited
        `pending`, a trial `trialing`; else the latest payment for a period says how it
        is, by the charge's own time, and a period that began after it says `paid`.
        Who never paid for a period, but for a change of plan, has paid.
Rule 5: the card is that of the newest subscription that has its own and is not over;
        without one, the customer's default.
Rule 6: a subscription is what the gateway has, with the item that it began with.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from payments_core.entitlement import PaymentStatus
from payments_core.identity import UserId
from payments_sandbox.state import World

GRACE: Final = timedelta(days=3)
ENDED: Final = frozenset({"canceled", "incomplete_expired"})
GONE_WRONG: Final = frozenset({"past_due", "unpaid"})
NEVER_LIVED: Final = frozenset({"incomplete", "incomplete_expired"})


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


@attrs.frozen(kw_only=True)
class KnownSubscription:
    """The answers about a subscription."""

    id: str
    status: str
    price: str
    quantity: int
    period_end: datetime
    cancel_at: datetime | None
    cancel_at_period_end: bool
    ended_at: datetime | None


@attrs.frozen
class Truth:
    status: PaymentStatus
    date: datetime | None
    entitled: bool
    # The id and the year of expiry of the card that pays.
    card: tuple[str, int] | None
    subscriptions: frozenset[KnownSubscription]


@attrs.frozen
class Covered:
    """The period that a paid invoice covers, and whether its money was returned."""

    invoice: str
    start: datetime
    end: datetime
    returned: bool


@attrs.define
class GatewayRecords:
    """The objects of a sandbox by owner: users by the ids of all their customers."""

    world: World
    owners: dict[str, UserId]
    _charges: dict[UserId, list[Any]] = attrs.field(init=False)
    _subscriptions: dict[UserId, list[Any]] = attrs.field(init=False)
    # The charges that paid each invoice.
    _paid_by: dict[str, list[Any]] = attrs.field(init=False)
    _invoices: dict[str, list[Any]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._charges, self._subscriptions = defaultdict(list), defaultdict(list)
        self._paid_by, self._invoices = defaultdict(list), defaultdict(list)
        charges = dict[str, Any]()
        for charge in self.world.all("charge"):
            self._charges[self.owners[charge["customer"]]].append(charge)
            if charge["status"] == "succeeded":
                charges[charge["payment_intent"]] = charge
        for it in self.world.all("subscription"):
            self._subscriptions[self.owners[it["customer"]]].append(it)
        for it in self.world.all("invoice_payment"):
            if paid := charges.get(it["payment"]["payment_intent"]):
                self._paid_by[it["invoice"]].append(paid)
        for invoice in self.world.all("invoice"):
            parent = invoice["parent"]
            if parent and invoice["status"] == "paid":
                details = parent["subscription_details"]
                self._invoices[details["subscription"]].append(invoice)

    def truth_of(self, user: UserId, now: datetime) -> Truth:
        subscriptions = self._subscriptions[user]
        covered = [one for it in subscriptions for one in self._covered(it)]
        trials = [
            _moment(min(it["trial_end"], it["ended_at"] or it["trial_end"]))
            for it in subscriptions
            if it["trial_end"] and it["status"] not in NEVER_LIVED
        ]
        standing = [one.end for one in covered if not one.returned]
        date = max([*standing, *trials], default=None)
        # Decision 0016: for who paid once, or whose first payment is still to come.
        goes_on = any(it["status"] in {"trialing", "active"} for it in subscriptions)
        grace = GRACE if standing or goes_on else timedelta()
        return Truth(
            self._status(user, subscriptions, covered),
            date,
            date is not None and now < date + grace,
            self._card(user),
            frozenset(map(_shown, subscriptions)),
        )

    def _covered(self, subscription: Any) -> Iterable[Covered]:
        own_item = subscription["items"]["data"][0]["id"]
        for invoice in self._invoices[subscription["id"]]:
            for line in invoice["lines"]["data"]:
                details = line["parent"]["subscription_item_details"]
                if (
                    line["amount"] > 0
                    and details
                    and not details["proration"]
                    and details["subscription_item"] == own_item
                ):
                    yield Covered(
                        invoice["id"],
                        _moment(line["period"]["start"]),
                        _moment(line["period"]["end"]),
                        self._went_back(invoice),
                    )

    def _went_back(self, invoice: Any) -> bool:
        returned = sum(it["amount"] for it in self._paid_by[invoice["id"]] if _back(it))
        return bool(0 < invoice["amount_paid"] <= returned)

    def _status(
        self, user: UserId, subscriptions: Sequence[Any], covered: Sequence[Covered]
    ) -> PaymentStatus:
        statuses = {it["status"] for it in subscriptions}
        if statuses & GONE_WRONG:
            return PaymentStatus.FAILED
        if "incomplete" in statuses:
            return PaymentStatus.PENDING
        if "trialing" in statuses:
            return PaymentStatus.TRIALING
        open_since = [
            it["created"] for it in subscriptions if it["status"] not in ENDED
        ]
        # A user who never paid for a period may have paid for a change of plan.
        telling = {one.invoice for one in covered} or {
            it["id"] for one in subscriptions for it in self._invoices[one["id"]]
        }
        for_periods = {
            charge["id"] for invoice in telling for charge in self._paid_by[invoice]
        }
        told = [
            # Of one second: what succeeded before what failed, then by the id.
            (_moment(it["created"]), _said(it)[0], it["id"], _said(it)[1])
            for it in self._charges[user]
            if it["id"] in for_periods
            or (
                it["status"] != "succeeded"
                and not any(it["created"] >= since for since in open_since)
            )
        ]
        latest = max(told, default=None)
        # An invoice may be paid without a charge: by what was credited before.
        begun = max((one.start for one in covered if not one.returned), default=None)
        if begun is not None and (latest is None or latest[0] < begun):
            return PaymentStatus.PAID
        return PaymentStatus.NONE if latest is None else latest[3]

    def _card(self, user: UserId) -> tuple[str, int] | None:
        customers = [
            it for it in self.world.all("customer") if self.owners[it["id"]] == user
        ]
        if not customers:
            return None
        [customer] = customers
        pinned = [
            it["default_payment_method"]
            for it in sorted(
                self._subscriptions[user], key=lambda it: (it["created"], it["id"])
            )
            if it["status"] not in ENDED and it["default_payment_method"]
        ]
        chosen = customer["invoice_settings"]["default_payment_method"]
        id_ = pinned[-1] if pinned else chosen
        if id_ is None:
            return None
        return id_, self.world.get("payment_method", id_)["card"]["exp_year"]


def _shown(subscription: Any) -> KnownSubscription:
    item = subscription["items"]["data"][0]
    return KnownSubscription(
        id=subscription["id"],
        status=subscription["status"],
        price=item["price"]["id"],
        quantity=item["quantity"],
        period_end=_moment(item["current_period_end"]),
        cancel_at=_maybe(subscription["cancel_at"]),
        cancel_at_period_end=subscription["cancel_at_period_end"],
        ended_at=_maybe(subscription["ended_at"]),
    )


def _back(charge: Any) -> bool:
    return bool(charge["amount_refunded"] == charge["amount"])


def _said(charge: Any) -> tuple[int, PaymentStatus]:
    if charge["status"] != "succeeded":
        return 0, PaymentStatus.FAILED
    return 1, PaymentStatus.REFUNDED if _back(charge) else PaymentStatus.PAID
