"""Imports Stripe objects from elsewhere, unchanged and with their ids.

Rule 1: a missing field has the value of a new object; fields that the newest API
        version does not have are dropped.
Rule 2: an import makes no events. An existing object is replaced.
Rule 3: future events are scheduled; past ones are not made up.
Rule 4: all objects are imported, or none if one is invalid.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from payments_sandbox import invoicing, shapes, subscriptions
from payments_sandbox.cards import Card
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.periods import is_too_long
from payments_sandbox.proration import period_of
from payments_sandbox.state import Object, World, field_of, listed

Values = Mapping[str, Any]

OBJECTS_MAX: Final = 10_000
_RENEWING: Final = frozenset({"active", "past_due", "trialing", "unpaid"})
_NAMES: Final = MappingProxyType(
    {str: "a string", bool: "a boolean", int: "an integer", list: "a list"}
)
# The required fields of each kind, with their types.
_REQUIRED: Final[Mapping[str, Mapping[str, type]]] = MappingProxyType(
    {
        "product": {"name": str},
        "price": {"currency": str, "product": str, "unit_amount": int},
        "customer": {},
        "payment_method": {"card": dict},
        "setup_intent": {"status": str},
        "payment_intent": {"amount": int, "currency": str, "status": str},
        "charge": {"amount": int, "currency": str, "status": str},
        "refund": {"amount": int, "charge": str},
        "subscription": {"customer": str, "items": dict, "status": str},
        "invoice": {"currency": str, "customer": str, "status": str},
        "invoice_payment": {"invoice": str, "payment": dict},
    }
)
_STATUSES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "charge": ("failed", "pending", "succeeded"),
        "invoice": ("draft", "open", "paid", "uncollectible", "void"),
        "payment_intent": (
            "canceled",
            "processing",
            "requires_action",
            "requires_capture",
            "requires_confirmation",
            "requires_payment_method",
            "succeeded",
        ),
        "refund": ("canceled", "failed", "pending", "requires_action", "succeeded"),
        "setup_intent": (
            "canceled",
            "processing",
            "requires_action",
            "requires_confirmation",
            "requires_payment_method",
            "succeeded",
        ),
        "subscription": (
            "active",
            "canceled",
            "incomplete",
            "incomplete_expired",
            "past_due",
            "paused",
            "trialing",
            "unpaid",
        ),
    }
)
# The types of fields that may be null and exist in a new object.
_NULLABLE: Final[Mapping[str, type]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "automatically_finalizes_at",
                "cancel_at",
                "canceled_at",
                "due_date",
                "effective_at",
                "ended_at",
                "ending_balance",
                "next_payment_attempt",
                "trial_end",
                "trial_start",
            ),
            int,
        ),
        **dict.fromkeys(
            (
                "charge",
                "customer",
                "default_payment_method",
                "default_price",
                "default_source",
                "email",
                "latest_charge",
                "latest_invoice",
                "name",
                "payment_intent",
                "payment_method",
                "pending_setup_intent",
                "test_clock",
            ),
            str,
        ),
        **dict.fromkeys(
            ("last_payment_error", "last_setup_error", "pause_collection", "recurring"),
            dict,
        ),
    }
)
# The fields that name an object that must exist, with its kind.
_NAMED: Final = (
    ("price", "product", "product"),
    ("payment_method", "customer", "customer"),
    ("payment_intent", "customer", "customer"),
    ("setup_intent", "customer", "customer"),
    ("charge", "customer", "customer"),
    ("charge", "payment_intent", "payment_intent"),
    ("refund", "charge", "charge"),
    ("subscription", "customer", "customer"),
    ("subscription", "latest_invoice", "invoice"),
    ("subscription", "default_payment_method", "payment_method"),
    ("invoice", "customer", "customer"),
    ("invoice_payment", "invoice", "invoice"),
)
_NOBODY: Final = MappingProxyType(
    dict.fromkeys(("id", "address", "email", "name", "phone", "test_clock"))
)


def import_objects(world: World, given: Sequence[Any]) -> list[Object]:
    """Import objects, in any order; return them as stored.

    An event stands for the object in it. Expanded objects are imported, too.

    Raises:
        ApiError: an object is invalid; the sentence names it and its field.
    """
    if len(given) > OBJECTS_MAX:
        raise invalid(f"Up to {OBJECTS_MAX} objects can be imported at a time.")
    found = [it for number, one in enumerate(given) for it in _flat(one, number)]
    # Prices before the items that name them.
    order = list(_REQUIRED)
    found.sort(key=lambda it: order.index(it["object"]))
    with world.atomic():
        made = [_put(world, it) for it in found]
        for it in made:
            _check_names(world, it)
        for it in made:
            _schedule(world, it)
    return made


def _flat(one: Any, number: int) -> Iterator[Values]:
    """Yield an object and the expanded objects in it, which ids replace."""
    where = f"objects[{number}]"
    if not isinstance(one, dict):
        raise invalid(f"{where}: not an object.", where)
    if one.get("object") == "event":
        one = field_of(one, "data.object")
        if not isinstance(one, dict):
            raise invalid(f"{where}: an event without `data.object`.", where)
    kind, id_ = one.get("object"), one.get("id")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise invalid(
            f"{where}: `object` is not one of {', '.join(_REQUIRED)}.",
            f"{where}[object]",
        )
    if not isinstance(id_, str) or not id_:
        raise invalid(f"{where}: a {kind} without `id`.", f"{where}[id]")
    plain = {}
    for name, value in one.items():
        is_object = isinstance(value, dict) and value.get("object") in _REQUIRED
        if is_object and isinstance(value.get("id"), str):
            yield from _flat(value, number)
        plain[name] = value["id"] if is_object else value
    yield plain


def _wrong(it: Values, field: str, what: str) -> ApiError:
    return invalid(f"{it['object']} {it['id']}: `{field}` {what}", field)


def _check_type(it: Values, field: str, value: Any, kind: type) -> None:
    # In Python a boolean is an integer.
    fits = type(value) is bool if kind is bool else isinstance(value, kind)
    if not fits or (kind is int and isinstance(value, bool)):
        raise _wrong(it, field, f"must be {_NAMES.get(kind, 'an object')}.")


def _put(world: World, it: Values) -> Object:
    for field, kind in _REQUIRED[it["object"]].items():
        if it.get(field) is None:
            raise _wrong(it, field, "is missing.")
        _check_type(it, field, it[field], kind)
    new: dict[str, Any] = {**_MAKERS[it["object"]](world, it)}
    done = {"items", "lines", "parent", "card"} if it["object"] in _BUILT else set()
    for field in sorted(new.keys() & it.keys() - done):
        value, usual = it[field], new[field]
        if value is None and isinstance(usual, str | int | list | dict):
            raise _wrong(it, field, "cannot be null.")
        wanted = _NULLABLE.get(field) if usual is None else type(usual)
        if value is not None and wanted is not None:
            _check_type(it, field, value, wanted)
        # Fields that older versions lack are those of a new object.
        new[field] = {**usual, **value} if isinstance(usual, dict) else value
    if new.get("test_clock") not in world.clocks:
        # Test clocks are not imported: time is the sandbox's own.
        new["test_clock"] = None
    statuses = _STATUSES.get(it["object"])
    if statuses and new["status"] not in statuses:
        raise _wrong(it, "status", f"is not one of {', '.join(statuses)}.")
    if "client_secret" in new and not it.get("client_secret"):
        new["client_secret"] = f"{it['id']}_secret_{world.secret()}"
    if it["object"] == "payment_method":
        world.cards[it["id"]] = _card(new)
    return world.create(new, None)


_BUILT: Final = frozenset({"invoice", "payment_method", "subscription"})


def _card(method: Object) -> Card:
    card = method["card"]
    return Card(
        brand=card["brand"],
        last4=card["last4"],
        country=card["country"],
        funding=card["funding"],
    )


def _check_names(world: World, it: Object) -> None:
    for kind, field, of in _NAMED:
        id_ = it[field] if it["object"] == kind else None
        if id_ is None:
            continue
        is_there = isinstance(id_, str) and world.find(of, id_)
        if not is_there and not (of == "customer" and world.find(f"deleted_{of}", id_)):
            raise _wrong(it, field, f"names no existing {of}: {id_!r}.")


# New objects of each kind


def _product(world: World, it: Values) -> Object:
    return shapes.product(world, name=it["name"])


_INTERVALS: Final = ("day", "week", "month", "year")


def _price(world: World, it: Values) -> Object:
    how = it.get("recurring")
    if how is not None and field_of(it, "recurring.interval") not in _INTERVALS:
        raise _wrong(
            it, "recurring[interval]", f"is not one of {', '.join(_INTERVALS)}."
        )
    whole = how and {**shapes.recurring(how["interval"], 1), **how}
    count = whole and whole["interval_count"]
    if whole and (type(count) is not int or count < 1 or is_too_long(whole)):
        raise _wrong(
            it, "recurring[interval_count]", "must be 1 or more, up to three years."
        )
    return shapes.price(
        world,
        it["unit_amount"],
        currency=it["currency"],
        product=it["product"],
        recurring=whole,
    )


def _payment_method(world: World, it: Values) -> Object:
    new = shapes.payment_method(world, Card())
    known = new["card"]
    card = {name: it["card"].get(name, known[name]) for name in known}
    for name in ("brand", "last4"):
        _check_type(it, f"card[{name}]", card[name], str)
    return {**new, "card": card}


def _payment_intent(world: World, it: Values) -> Object:
    return shapes.payment_intent(world, amount=it["amount"], currency=it["currency"])


def _charge(world: World, it: Values) -> Object:
    intent = {
        **dict.fromkeys(("id", "customer", "description", "receipt_email")),
        "amount": it["amount"],
        "currency": it["currency"],
        "metadata": {},
    }
    new = shapes.charge(world, intent, shapes.payment_method(world, Card()))
    has_succeeded = it["status"] == "succeeded"
    return {**new, "payment_method": None, "paid": has_succeeded, "captured": True}


def _refund(world: World, it: Values) -> Object:
    charge = world.find("charge", it["charge"])
    if charge is None:
        raise _wrong(it, "charge", f"names no existing charge: {it['charge']!r}.")
    return {
        **shapes.refund(world, charge, amount=it["amount"]),
        "failure_reason": None,
        "failure_balance_transaction": None,
    }


def _subscription(world: World, it: Values) -> Object:
    data = it["items"].get("data")
    if not isinstance(data, list) or not data:
        raise _wrong(it, "items[data]", "must be a list with an item.")
    items = [_item(world, it, one, number) for number, one in enumerate(data)]
    pause = it.get("pause_collection")
    if pause is not None:
        behavior = field_of(it, "pause_collection.behavior")
        if behavior not in ("keep_as_draft", "mark_uncollectible", "void"):
            raise _wrong(it, "pause_collection[behavior]", "is not one of Stripe's.")
        resumes_at = pause.get("resumes_at", "")
        if resumes_at is not None:
            field = "pause_collection[resumes_at]"
            _check_type(it, field, resumes_at, int)
    return shapes.subscription(
        world,
        it["id"],
        currency=items[0]["price"]["currency"],
        customer=it["customer"],
        items=shapes.items_of(it["id"], items),
        status=it["status"],
    )


def _item(world: World, it: Values, item: Any, number: int) -> Object:
    where = f"items[data][{number}]"
    if not isinstance(item, dict):
        raise _wrong(it, where, "must be an object.")
    price = item.get("price")
    if isinstance(price, dict) and price.get("object") == "price":
        # With its expanded objects, which come first.
        price = [_put(world, one) for one in _flat(price, number)][-1]
    else:
        price = world.find("price", str(price))
    if price is None or price["object"] != "price" or price["recurring"] is None:
        raise _wrong(it, f"{where}[price]", "names no existing recurring price.")
    # Before 2025-03-31 the subscription had the period.
    period = {name: item.get(name, it.get(name)) for name in _PERIOD}
    for name, moment in period.items():
        if type(moment) is not int:
            raise _wrong(it, f"{where}[{name}]", "must be an integer.")
    new = shapes.subscription_item(world, it["id"], price)
    kept = {name: item[name] for name in new.keys() & item.keys() - _DERIVED}
    for name, value in sorted(kept.items()):
        if new[name] is not None:
            _check_type(it, f"{where}[{name}]", value, type(new[name]))
    return {**new, **kept, **period}


_PERIOD: Final = ("current_period_end", "current_period_start")
_DERIVED: Final = frozenset({"plan", "price", "subscription"})


def _invoice(world: World, it: Values) -> Object:
    lines = field_of(it, "lines.data") or []
    if not isinstance(lines, list):
        raise _wrong(it, "lines[data]", "must be a list.")
    for number, line in enumerate(lines):
        _check_type(it, f"lines[data][{number}]", line, dict)
    new = shapes.invoice(world, _NOBODY, billing_reason="manual")
    total = it.get("total", 0)
    _check_type(it, "total", total, int)
    # Before 2025-03-31 an invoice named its subscription directly.
    owner, parent = it.get("subscription"), it.get("parent")
    if owner and not parent:
        parent = {
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": owner},
            "type": "subscription_details",
        }
    subscription = field_of({"at": parent}, "at.subscription_details.subscription")
    if parent is not None:
        _check_type(it, "parent", parent, dict)
    if subscription is not None:
        field = "parent[subscription_details][subscription]"
        _check_type(it, field, subscription, str)
    paid = it["status"] == "paid"
    sums = invoicing.sums(total, 0, it["currency"])
    if paid:
        sums = {**sums, "amount_paid": sums["amount_due"], "amount_remaining": 0}
    return {
        **new,
        **sums,
        "currency": it["currency"],
        "customer": it["customer"],
        "lines": listed(f"/v1/invoices/{it['id']}/lines", lines),
        "parent": parent,
        "period_end": world.now,
        "period_start": world.now,
    }


def _invoice_payment(world: World, it: Values) -> Object:
    intent = it["payment"].get("payment_intent")
    if not isinstance(intent, str):
        raise _wrong(it, "payment[payment_intent]", "must be a string.")
    invoice = world.find("invoice", it["invoice"])
    if invoice is None:
        found = f"names no existing invoice: {it['invoice']!r}."
        raise _wrong(it, "invoice", found)
    return shapes.invoice_payment(world, invoice, intent)


_MAKERS: Final[Mapping[str, Callable[[World, Values], Object]]] = MappingProxyType(
    {
        "charge": _charge,
        "customer": lambda world, _: shapes.customer(world),
        "invoice": _invoice,
        "invoice_payment": _invoice_payment,
        "payment_intent": _payment_intent,
        "payment_method": _payment_method,
        "price": _price,
        "product": _product,
        "refund": _refund,
        "setup_intent": lambda world, _: shapes.setup_intent(world),
        "subscription": _subscription,
    }
)


# Future events


def _schedule(world: World, it: Object) -> None:
    with world.on(world.clock_of(it)):
        for due, what in _to_come(it):
            if due is not None and due > world.now:
                world.later(due, what, it["id"])


def _to_come(it: Object) -> Iterable[tuple[int | None, str]]:
    if it["object"] == "invoice" and it["status"] == "draft":
        return [(it["automatically_finalizes_at"], "collect")]
    if it["object"] == "invoice" and it["status"] == "open":
        return [(it["next_payment_attempt"], "retry")]
    if it["object"] != "subscription" or it["status"] not in _RENEWING:
        return []
    warning = (it["trial_end"] or 0) - subscriptions.TRIAL_WARNING_S
    pause = it["pause_collection"] or {"resumes_at": None}
    return [
        (pause["resumes_at"], "collect_again"),
        (period_of(it)[1], "period"),
        (it["cancel_at"], "cancel"),
        (warning, "trial_will_end"),
    ]
