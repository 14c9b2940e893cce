"""Deliveries of events: to which endpoint, in which generation, when, how often.

Rule 1: a payload is rendered when its event happens, in the endpoint's version, and
        never changes; every attempt is signed anew, with every valid secret.
Rule 2: an attempt that is not answered 2xx is retried, with back-off, until three days
        have passed (docs.stripe.com/webhooks).
Rule 3: what is due is decided here, in virtual time; the sender does the I/O.
"""

import heapq
from collections.abc import Callable, Container, Iterable
from datetime import datetime
from typing import Final

import attrs
import msgspec

from payments_sandbox.api_versions import ACACIA, NEWEST, knows, render
from payments_sandbox.chaos import Chaos, Fault
from payments_sandbox.periods import DAY, HOUR, MINUTE
from payments_sandbox.resources.destinations import KIND, PREFIX
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.signature import signed
from payments_sandbox.state import Event, Object, World
from payments_sandbox.thin_events import thin

# The waits between attempts; the last one repeats.
BACKOFF_S: Final = (
    MINUTE,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    12 * HOUR,
)
GIVE_UP_S: Final = 3 * DAY
DELAY_S_MAX: Final = HOUR
REORDER_MAX: Final = 8


@attrs.frozen(kw_only=True)
class Delivery:
    """One event on its way to one endpoint."""

    event_id: str
    event_type: str
    endpoint_id: str
    body: bytes
    made_at: int
    attempt: int = 1


# The kinds of endpoints.
_KINDS: Final = ("webhook_endpoint", KIND)
# Due time, order, creation order (unique), and the delivery.
_Due = tuple[int, int, int, Delivery]


@attrs.define
class Outbox:
    """Deliveries by due time."""

    world: World
    chaos: Chaos
    # Called when an event was delivered to an endpoint.
    on_arrival: Callable[[str, str], None] = lambda _, __: None
    # By endpoint: a long queue of one does not slow the others.
    _due: dict[str, list[_Due]] = attrs.field(factory=dict)
    _order: int = 0
    # The latest attempts, for display: time, type, endpoint, status or fault.
    attempts: list[tuple[int, str, str, str]] = attrs.field(factory=list)

    def __len__(self) -> int:
        return sum(map(len, self._due.values()))

    @property
    def next_due(self) -> int | None:
        return min((due[0][0] for due in self._due.values() if due), default=None)

    def publish(self) -> None:
        """Add new events to the log, and schedule their deliveries."""
        for event in self.world.settle():
            faults = self.chaos.for_event(event.type)
            if Fault.NEVER_MADE in faults:
                continue
            self._take(event)
            if Fault.TWIN in faults:
                # Not an id drawn from the world: that would change all later ids.
                self._take(attrs.evolve(event, id=f"{event.id}twin"))

    def _take(self, event: Event) -> None:
        self.world.events[event.id] = event
        endpoints = [
            it
            for kind in _KINDS
            for it in self.world.all(kind)
            if _wants(it, event.type)
        ]
        if not endpoints:
            return
        self.world.undelivered[event.id] = {it["id"] for it in endpoints}
        for endpoint in endpoints:
            self._send(event, endpoint)

    def _send(self, event: Event, endpoint: Object) -> None:
        faults = self.chaos.for_delivery(event.type)
        version = _version(endpoint)
        if Fault.OTHER_GENERATION in faults:
            other = NEWEST if version.endswith("acacia") else ACACIA
            version = other if knows(other, event.type) else version
        if Fault.DROP in faults:
            # Lost: it stays undelivered, and `/v1/events` shows that.
            self._note(event.type, endpoint["id"], "dropped")
            return
        delivery = Delivery(
            event_id=event.id,
            event_type=event.type,
            endpoint_id=endpoint["id"],
            body=payload(self.world, event, version, is_thin=_is_destination(endpoint)),
            made_at=self._now,
        )
        due, order = self._now, 0
        if Fault.DELAY in faults:
            due += self.chaos.within(DELAY_S_MAX)
        if Fault.REORDER in faults:
            # One position would change nothing: it would still be the older of the two.
            order = 1 + self.chaos.within(REORDER_MAX)
        for _ in range(1 + (Fault.DUPLICATE in faults)):
            self._push(due, delivery, order)

    def _push(self, due: int, delivery: Delivery, later: int = 0) -> None:
        self._order += 1
        heap = self._due.setdefault(delivery.endpoint_id, [])
        heapq.heappush(heap, (due, self._order + later, self._order, delivery))

    def pop_due(
        self, *, but: Container[str] = (), among: Container[str] | None = None
    ) -> Delivery | None:
        """Return the next delivery that is due; the caller sends it.

        Deliveries to endpoints in `but`, or not in a given `among`, wait.
        """
        while due := self._next_of(but, among):
            *_, delivery = heapq.heappop(due)
            endpoint = self._endpoint(delivery)
            if endpoint and endpoint["status"] == "enabled":
                return delivery
            # For a disabled endpoint it stays undelivered; for a deleted one it is
            # dropped.
            if endpoint is None:
                self._settle(delivery.event_id, delivery.endpoint_id)
        return None

    def _next_of(
        self, but: Container[str], among: Container[str] | None
    ) -> list[_Due] | None:
        """Return the queue of the endpoint whose turn it is; None if none is due."""
        found = [
            due
            for id_, due in self._due.items()
            if due
            and due[0][0] <= self._now
            and id_ not in but
            and (among is None or id_ in among)
        ]
        return min(found, default=None)

    def url_of(self, delivery: Delivery) -> str:
        endpoint = self._endpoint(delivery)
        assert endpoint is not None  # noqa: S101  # only deliveries with one are sent
        return str(endpoint.get("url") or endpoint["webhook_endpoint"]["url"])

    def _endpoint(self, delivery: Delivery) -> Object | None:
        found = (self.world.find(kind, delivery.endpoint_id) for kind in _KINDS)
        return next((it for it in found if it is not None), None)

    def signature_of(self, delivery: Delivery, at: datetime) -> str:
        """Return the header: one `v1` for each valid secret."""
        held = [
            secret
            for secret, until in self.world.secrets.get(delivery.endpoint_id, ())
            if until is None or until > self._now
        ]
        return signed(delivery.body, held, at)

    def answered(self, delivery: Delivery, status: int | None) -> None:
        """Record an endpoint's answer (None: none); on failure schedule a retry."""
        self._note(
            delivery.event_type,
            delivery.endpoint_id,
            "no answer" if status is None else str(status),
        )
        if status is not None and 200 <= status < 300:  # noqa: PLR2004  # success
            self._arrived(delivery)
            return
        wait = BACKOFF_S[min(delivery.attempt, len(BACKOFF_S)) - 1]
        if self._now + wait > delivery.made_at + GIVE_UP_S:
            self._note(delivery.event_type, delivery.endpoint_id, "given up")
            return
        again = attrs.evolve(delivery, attempt=delivery.attempt + 1)
        self._push(self._now + wait, again)

    def forget(self, event_id: str, endpoint_id: str) -> None:
        """Remove a delivery that arrived before."""
        waiting = self._due.get(endpoint_id, [])
        kept = [due for due in waiting if due[-1].event_id != event_id]
        if len(kept) < len(waiting):
            heapq.heapify(kept)
            self._due[endpoint_id] = kept
            self._settle(event_id, endpoint_id)

    def _arrived(self, delivery: Delivery) -> None:
        self.on_arrival(delivery.event_id, delivery.endpoint_id)
        self._settle(delivery.event_id, delivery.endpoint_id)

    def _settle(self, event_id: str, endpoint_id: str) -> None:
        # A set: a duplicate delivery must not count as another endpoint's.
        waiting = self.world.undelivered.get(event_id, set())
        waiting.discard(endpoint_id)
        if not waiting:
            self.world.undelivered.pop(event_id, None)

    def _note(self, type_: str, endpoint_id: str, what: str) -> None:
        self.attempts.append((self._now, type_, endpoint_id, what))
        del self.attempts[:-1_000]

    @property
    def _now(self) -> int:
        # The sandbox's time, also for events on a test clock: they are delivered now.
        return self.world.clocks[None].now


def _wants(endpoint: Object, type_: str) -> bool:
    wanted: Iterable[str] = endpoint["enabled_events"]
    name = f"{PREFIX}{type_}" if _is_destination(endpoint) else type_
    return (
        endpoint["status"] == "enabled"
        and ("*" in wanted or name in wanted)
        and knows(_version(endpoint), type_)
    )


def _is_destination(endpoint: Object) -> bool:
    return bool(endpoint["object"] == KIND)


def _version(endpoint: Object) -> str:
    return endpoint.get("api_version") or NEWEST


def payload(
    world: World, event: Event, version: str, *, is_thin: bool = False
) -> bytes:
    """Return the payload for an endpoint of this version."""
    if is_thin or world.thin_events:
        return msgspec.json.encode(thin(event))
    whole = shown(world, event)
    data = {
        **whole["data"],
        "object": render(world, event.object, version, event.links),
    }
    return msgspec.json.encode({**whole, "api_version": version, "data": data})
