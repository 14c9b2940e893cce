"""The whole state of one sandbox: objects, clocks and events.

Rule 1: no I/O, no real time, no randomness except the seed's: the same calls give the
        same world, to the last id.
Rule 2: objects are values in the shape of the newest API generation. A change replaces
        the old value, so an event can simply reference the value of its time.
Rule 3: code that changes an object names the event by which Stripe reports it.
Rule 4: a step that raises leaves nothing behind (`atomic`).
"""

import heapq
import random
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_sandbox.cards import Card
from payments_sandbox.errors import missing

Object = Mapping[str, Any]
Handler = Callable[["World", str], None]

_ALPHABET: Final = string.digits + string.ascii_letters
_ID_LENGTH: Final = 18
# The indexed fields of objects; a dot leads into a nested object.
_INDEXED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "charge": ("customer", "payment_intent"),
        "dispute": ("charge",),
        "invoice": ("customer", "parent.subscription_details.subscription"),
        "invoice_payment": ("invoice", "payment.payment_intent"),
        "invoiceitem": ("customer", "invoice"),
        "payment_intent": ("customer",),
        "payment_method": ("customer",),
        "price": ("product",),
        "refund": ("charge",),
        "setup_intent": ("customer",),
        "subscription": ("customer",),
    }
)
INVOICE_OF_SUBSCRIPTION: Final = "parent.subscription_details.subscription"


@attrs.define
class Clock:
    """A time, and what falls due on it: (when, order, what, object id)."""

    now: int
    scheduled: list[tuple[int, int, str, str]] = attrs.field(factory=list)

    @property
    def next_due(self) -> int | None:
        return self.scheduled[0][0] if self.scheduled else None


@attrs.frozen
class Cause:
    """The request that caused an event; none, if time did."""

    request_id: str | None = None
    idempotency_key: str | None = None


@attrs.frozen(kw_only=True)
class Event:
    """An event; `object` is the object just after it.

    `links` are fields of older generations, such as a charge's invoice.
    """

    id: str
    type: str
    created: int
    object: Object
    previous: Object | None
    cause: Cause
    links: Mapping[str, str | None]


# Stripe sends previous values in updates, and for a detached card its customer.
_TELL_BEFORE: Final = ("updated", ".detached")


def _before(old: Any, new: Any) -> Any:
    """Return the previous value; for an object, only the fields that changed."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return old
    return {
        name: _before(old.get(name), new.get(name))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    }


def field_of(value: Object, path: str) -> Any:  # JSON is anything
    """Return the value at a dotted path; None if there is none."""
    at: Any = value
    for name in path.split("."):
        at = at.get(name) if isinstance(at, Mapping) else None
    return at


@attrs.define
class World:
    """The state of one sandbox; `seed` and `start` (seconds) determine the rest."""

    seed: int
    start: int
    clocks: dict[str | None, Clock] = attrs.field(init=False)
    clock: Clock = attrs.field(init=False)
    cause: Cause = attrs.field(init=False, factory=Cause)
    objects: dict[str, dict[str, Object]] = attrs.field(init=False, factory=dict)
    events: dict[str, Event] = attrs.field(init=False, factory=dict)
    cards: dict[str, Card] = attrs.field(init=False, factory=dict)
    # Payment methods whose holder authenticated for off-session payments.
    authenticated: set[str] = attrs.field(init=False, factory=set)
    # Subscription changes that wait for their payment.
    pending: dict[str, Any] = attrs.field(init=False, factory=dict)
    # The signing secrets of each webhook endpoint, and until when each is valid.
    secrets: dict[str, list[tuple[str, int | None]]] = attrs.field(
        init=False, factory=dict
    )
    # The endpoints to which an event is not delivered yet.
    undelivered: dict[str, set[str]] = attrs.field(init=False, factory=dict)
    # The fate of a subscription when all retries failed.
    after_retries: str = "cancel"
    # Whether webhooks only say which object changed.
    thin_events: bool = False
    # The number of random draws: unchanged means that nothing was created.
    drawn: int = attrs.field(init=False, default=0)
    _handlers: Mapping[str, Handler] = attrs.field(init=False, factory=dict)
    _random: random.Random = attrs.field(init=False)
    _order: int = attrs.field(init=False, default=0)
    _index: dict[tuple[str, str, str], dict[str, None]] = attrs.field(
        init=False, factory=dict
    )
    _news: list[Event] = attrs.field(init=False, factory=list)
    _undo: list[tuple[str, str, Object | None]] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(f"{self.seed}:world")  # noqa: S311  # a seed's
        self.clock = Clock(self.start)
        self.clocks = {None: self.clock}

    @property
    def now(self) -> int:
        """The current clock's time, in seconds."""
        return self.clock.now

    def new_id(self, prefix: str, length: int = _ID_LENGTH) -> str:
        return f"{prefix}_{self.secret(length)}"

    def secret(self, length: int = 24) -> str:
        self.drawn += 1
        return "".join(self._random.choices(_ALPHABET, k=length))

    def jitter(self, seconds_max: int) -> int:
        self.drawn += 1
        return self._random.randrange(seconds_max)

    # Objects

    def find(self, kind: str, id_: str) -> Object | None:
        return self.objects.get(kind, {}).get(id_)

    def get(self, kind: str, id_: str, param: str | None = None) -> Object:
        """Return an object; `param` is the parameter that named it, if not the path.

        Raises:
            ApiError: it does not exist.
        """
        found = self.find(kind, id_)
        if found is None:
            raise missing(kind, id_, param)
        return found

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind, oldest first."""
        return list(self.objects.get(kind, {}).values())

    def by(self, kind: str, path: str, value: str) -> list[Object]:
        """Return the objects whose indexed field has this value, oldest first."""
        return [
            self.objects[kind][id_] for id_ in self._index.get((kind, path, value), ())
        ]

    def create(self, new: Object, event: str | None) -> Object:
        """Store a new object; `event` reports it, None if Stripe does not."""
        self._put(new["object"], new["id"], new)
        if event:
            self.report(event, new)
        return new

    def change(self, it: Object, event: str | None, **fields: Any) -> Object:
        """Replace an object by a changed one, and report it.

        An `….updated` that changed nothing is not reported; any other event is.
        """
        old = self.objects[it["object"]][it["id"]]
        previous = {
            name: _before(old.get(name), value)
            for name, value in fields.items()
            if name not in old or old[name] != value
        }
        if not previous and (event is None or event.endswith(".updated")):
            return old
        new = {**old, **fields}
        self._put(new["object"], new["id"], new)
        if event:
            self.report(event, new, previous if event.endswith(_TELL_BEFORE) else None)
        return new

    def remove(self, it: Object, event: str | None) -> Object:
        """Delete an object; return the stub that Stripe answers."""
        if event:
            self.report(event, it)
        self._put(it["object"], it["id"], None)
        return {"id": it["id"], "object": it["object"], "deleted": True}

    def _put(self, kind: str, id_: str, new: Object | None) -> None:
        table = self.objects.setdefault(kind, {})
        old = table.get(id_)
        self._undo.append((kind, id_, old))
        self._replace(kind, id_, old, new)

    def _replace(
        self, kind: str, id_: str, old: Object | None, new: Object | None
    ) -> None:
        for path in _INDEXED.get(kind, ()):
            before = old and field_of(old, path)
            after = new and field_of(new, path)
            if before != after or (old is None) != (new is None):
                if before:
                    self._index[kind, path, before].pop(id_, None)
                if after:
                    self._index.setdefault((kind, path, after), {})[id_] = None
        if new is None:
            self.objects[kind].pop(id_, None)
        else:
            self.objects[kind][id_] = new

    @contextmanager
    def atomic(self, *, keeping: type[Exception] | None = None) -> Iterator[None]:
        """Undo everything if the block raises, unless it raises `keeping`."""
        mark, news, order = len(self._undo), len(self._news), self._order
        beside = dict(self.pending), dict(self.secrets), dict(self.clocks)
        # A request moves only test clocks; on the sandbox's it only schedules.
        times = [
            (it, it.now, it.scheduled[:]) for id_, it in self.clocks.items() if id_
        ]
        try:
            yield
        except Exception as error:
            if keeping is None or not isinstance(error, keeping):
                while len(self._undo) > mark:
                    kind, id_, old = self._undo.pop()
                    self._replace(kind, id_, self.objects[kind].get(id_), old)
                del self._news[news:]
                self.pending, self.secrets, self.clocks = beside
                for clock, now, scheduled in times:
                    clock.now, clock.scheduled = now, scheduled
                self._forget_after(order)
            raise

    def _forget_after(self, order: int) -> None:
        """Remove what was scheduled after this."""
        scheduled = self.clocks[None].scheduled
        kept = [due for due in scheduled if due[1] <= order]
        if len(kept) < len(scheduled):
            heapq.heapify(kept)
            self.clocks[None].scheduled = kept

    # Events

    def report(self, type_: str, it: Object, previous: Object | None = None) -> None:
        self._news.append(
            Event(
                id=self.new_id("evt"),
                type=type_,
                created=self.now,
                object=it,
                previous=previous,
                cause=self.cause,
                links=self.links_of(it),
            )
        )

    def links_of(self, it: Object) -> Mapping[str, str | None]:
        """Return the fields that generations before 2025-03-31 had on an object."""
        kind = it["object"]
        if kind == "charge":
            return {"invoice": self._invoice_of(it["payment_intent"])}
        if kind == "payment_intent":
            return {"invoice": self._invoice_of(it["id"])}
        if kind == "invoice":
            intent = self.intent_of(it) or {"id": None, "latest_charge": None}
            return {"payment_intent": intent["id"], "charge": intent["latest_charge"]}
        return {}

    def _invoice_of(self, intent_id: str | None) -> str | None:
        payments = intent_id and self.by(
            "invoice_payment", "payment.payment_intent", intent_id
        )
        return payments[0]["invoice"] if payments else None

    def intent_of(self, invoice: Object) -> Object | None:
        """Return the payment intent by which an invoice is collected, if any."""
        payments = self.by("invoice_payment", "invoice", invoice["id"])
        if not payments:
            return None
        return self.find("payment_intent", payments[-1]["payment"]["payment_intent"])

    def invoice_of(self, intent: Object) -> Object | None:
        """Return the invoice that a payment intent collects, if any."""
        id_ = self._invoice_of(intent["id"])
        return (id_ and self.find("invoice", id_)) or None

    def settle(self) -> list[Event]:
        """Return the events since the last call; they can no longer be undone."""
        news, self._news = self._news, []
        self._undo.clear()
        return news

    # Time

    def clock_of(self, it: Object | None) -> Clock:
        """Return the clock an object lives on: a test clock, or the sandbox's."""
        if it is not None and it["object"] == "test_helpers.test_clock":
            return self.clocks[it["id"]]
        for kind in ("charge", "invoice"):
            # A refund, a dispute and a payment of an invoice name no customer.
            if it is not None and "customer" not in it and kind in it:
                it = self.find(kind, it[kind])
        id_ = it and it.get("test_clock")
        owner = it and it.get("customer")
        if not id_ and isinstance(owner, str):
            customer = self.find("customer", owner)
            customer = customer or self.find("deleted_customer", owner)
            id_ = customer and customer["test_clock"]
        return self.clocks.get(id_ or None, self.clocks[None])

    @contextmanager
    def on(self, clock: Clock) -> Iterator[None]:
        """Run the block at this clock's time."""
        before, self.clock = self.clock, clock
        try:
            yield
        finally:
            self.clock = before

    def later(self, due: int, kind: str, id_: str) -> None:
        """Schedule something; its handler decides whether it still applies."""
        self._order += 1
        heapq.heappush(self.clock.scheduled, (due, self._order, kind, id_))

    def handle(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def step(self, clock: Clock) -> None:
        """Run the next thing that falls due on a clock; the clock moves there.

        If it raises, it stays due, and the clock does not move.
        """
        before, first = clock.now, heapq.heappop(clock.scheduled)
        due, _, kind, id_ = first
        clock.now = max(clock.now, due)
        try:
            with self.on(clock), self.atomic():
                self.cause = Cause()
                self._handlers[kind](self, id_)
        except Exception:
            clock.now = before
            heapq.heappush(clock.scheduled, first)
            raise

    def catch_up(self) -> None:
        """Run what is due already: a call may schedule something in the past."""
        clock = self.clock
        while clock.next_due is not None and clock.next_due <= clock.now:
            self.step(clock)


def listed(url: str, data: Iterable[Object], *, has_more: bool = False) -> Object:
    """Return a list as Stripe wraps it."""
    return {"object": "list", "data": list(data), "has_more": has_more, "url": url}
