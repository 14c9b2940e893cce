"""A sandbox without I/O: a world, its API, and its time."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_sandbox import charging, scheduler, shapes, subscriptions
from payments_sandbox.api import Api, ApiRequest, ApiResponse
from payments_sandbox.api_versions import generation_of
from payments_sandbox.cards import DECLINES
from payments_sandbox.chaos import Chaos
from payments_sandbox.errors import ApiError, CardError, invalid
from payments_sandbox.imports import import_objects
from payments_sandbox.journal import (
    HEADERS,
    Arrived,
    Authenticated,
    Called,
    CardReissued,
    CardSet,
    Entry,
    Imported,
    Passed,
    Reset,
    SecretRolled,
)
from payments_sandbox.periods import DAY, MOMENT_MAX, span_after
from payments_sandbox.permissions import PERMISSIONS
from payments_sandbox.resources import payment_intents, setup_intents
from payments_sandbox.resources.endpoints import usable_url
from payments_sandbox.state import Cause, Object, World
from payments_sandbox.webhook_delivery import Outbox

# 2026-01-01T00:00:00Z: the default start of a sandbox.
START: Final = 1_767_225_600
AFTER_RETRIES: Final = ("cancel", "unpaid", "past_due")
# A roll leaves the old secret valid for at most this long.
ROLL_S_MAX: Final = DAY
SHOWN_MAX: Final = 100
# Answers that refuse the key of the request.
_OF_KEY: Final = frozenset({401, 403})
# A replaced card is valid for this much longer.
REISSUE_YEARS: Final = 4
# If nothing happens, the passing of time is recorded at most this often.
_NOTED_S: Final = 60

# A time in seconds, a span such as "1 month", or a function that returns the target for
# the time at which the clock is moved.
Until = int | str | Callable[[int], int]
# The holder's default card, which only a bank that requires authentication can refuse.
_CARDS: Final = {True: "pm_card_visa", False: "pm_card_authenticationRequired"}

Flush = Callable[[], Awaitable[None]]
Progress = Callable[[int], None]
Preset = Callable[["Engine"], None]
Watch = Callable[[ApiRequest, ApiResponse], None]


async def _no_flush() -> None:
    pass


@attrs.define(kw_only=True)
class Engine:
    """All of a sandbox except its I/O; one call at a time.

    `start` is its first time, in seconds since 1970; `preset` creates its initial
    objects, under the name `preset_name`. `after_retries` is what happens to an unpaid
    subscription: cancel, unpaid or past_due.
    """

    seed: int = 0
    start: Callable[[], int] = lambda: START
    api_key: str | None = None
    after_retries: str = attrs.field(
        default="cancel", validator=attrs.validators.in_(AFTER_RETRIES)
    )
    # Webhooks are thin events: they only say which object changed.
    thin_events: bool = False
    preset: Preset = lambda _: None
    preset_name: str = ""
    # Called with every call and its answer.
    watch: Watch = lambda _, __: None
    # Called with everything that determines the state, before its effect is visible.
    record: Callable[[Entry], None] = lambda _: None
    # Called with the time when it changes, before anything that happened then is sent.
    show_time: Callable[[int], None] = lambda _: None
    _noted_at: int = attrs.field(init=False, default=0)
    # How many things fell due on the sandbox's own clock.
    _steps: int = attrs.field(init=False, default=0)
    world: World = attrs.field(init=False)
    api: Api = attrs.field(init=False)
    chaos: Chaos = attrs.field(init=False)
    outbox: Outbox = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Start again: only the key stays, and the preset's objects are created."""
        self._begin(self.seed if seed is None else seed, self.start())
        self.record(self.beginning)
        self.show_time(self.now)

    @property
    def beginning(self) -> Reset:
        """Return the first entry of a journal that begins now."""
        return Reset(at=self.now, seed=self.seed, preset=self.preset_name)

    def _begin(self, seed: int, start: int) -> None:
        self.seed = seed
        self.world = World(
            self.seed,
            start,
            after_retries=self.after_retries,
            thin_events=self.thin_events,
        )
        self.world.handle(scheduler.HANDLERS)
        # Drawn even if one is given, so that ids depend only on the seed.
        drawn = f"sk_test_{self.world.secret()}"
        self.api_key = self.api_key or drawn
        self.api = Api(self.world, self.api_key)
        self.chaos = Chaos(self.seed)
        self.outbox = Outbox(self.world, self.chaos, self._arrived)
        self._noted_at, self._steps = start, 0
        self.preset(self)
        # The initial objects cause no events.
        self.world.settle()

    @property
    def now(self) -> int:
        return self.world.clocks[None].now

    # API calls and time

    def answer(self, request: ApiRequest, *, fails: str | None = None) -> ApiResponse:
        """Execute a request, and publish its events."""
        drawn = self.world.drawn
        response = self.api.answer(request, fails=fails)
        # A read that drew no id need not be repeated. A request with a refused key must
        # not be: it would be repeated with the key that may do everything.
        looked = request.method == "GET" and self.world.drawn == drawn
        if not looked and response.status not in _OF_KEY:
            headers = {
                it: request.headers[it] for it in HEADERS if it in request.headers
            }
            self.record(
                Called(
                    at=self.now,
                    steps=self._steps,
                    number=self.api.asked,
                    method=request.method,
                    path=request.path,
                    query=request.query,
                    body=request.body,
                    headers=headers,
                    fails=fails,
                )
            )
        self.outbox.publish()
        self.watch(request, response)
        return response

    async def advance(
        self,
        until: Until,
        flush: Flush = _no_flush,
        progress: Progress = lambda _: None,
    ) -> int:
        """Let time pass, and run in order what falls due; return the new time.

        `flush` sends the due deliveries: after every step, before anything later
        happens. A reset meanwhile ends it.

        Raises:
            ValueError: `until` is in the past, too far away, or not a span.
        """
        world, clock = self.world, self.world.clocks[None]
        target = _target(clock.now, until)
        await flush()
        while (
            self.world is world
            and (due := self._next_due()) is not None
            and due <= target
        ):
            if clock.next_due is not None and clock.next_due <= due:
                self._step()
                # Before anything is sent.
                self.note_time(clock.now)
                self.show_time(clock.now)
                self.outbox.publish()
            else:
                clock.now = max(clock.now, due)
                self.show_time(clock.now)
            await flush()
            # Decades may fall due; other calls must not wait meanwhile.
            await asyncio.sleep(0)
            progress(clock.now)
        if self.world is world:
            if target - self._noted_at >= (_NOTED_S if callable(until) else 1):
                self.note_time(target)
            clock.now = max(clock.now, target)
            self.show_time(clock.now)
        return self.now

    def _step(self) -> None:
        self.world.step(self.world.clocks[None])
        self._steps += 1

    def note_time(self, at: int) -> None:
        """Record this time, if nothing else was recorded."""
        self.record(Passed(at=at, steps=self._steps))
        self._noted_at = at

    def _next_due(self) -> int | None:
        dues = [self.world.clocks[None].next_due, self.outbox.next_due]
        # Deliveries that are still due after a flush cannot be sent.
        if dues[1] is not None and dues[1] <= self.now:
            dues.pop()
        return min((due for due in dues if due is not None), default=None)

    def _arrived(self, event_id: str, endpoint_id: str) -> None:
        self.record(
            Arrived(
                at=self.now,
                steps=self._steps,
                event_id=event_id,
                endpoint_id=endpoint_id,
            )
        )

    # What the customers, banks and dashboards of Stripe's users can do

    def authenticate(
        self, named: str, *, succeed: bool = True, card: str | None = None
    ) -> Object:
        """Finish a payment or setup intent as its holder would, in a browser.

        `named` is its id or its client secret. An intent that is not confirmed is first
        confirmed with `card` (`pm_card_…` or `pm_…`), else with its own card, else with
        a magic one; then the bank's authentication follows, if there is one.

        Raises:
            ApiError: the intent or card does not exist, or the intent does not wait
                for this.
            CardError: the card declines; the decline stays recorded.
        """
        world = self.world
        kind, intent = self._intent_named(named)
        if intent["status"] not in charging.CONFIRMABLE:
            raise invalid(
                f"{intent['id']} does not wait for its holder: {intent['status']}."
            )
        if intent["status"] == "requires_action":
            if card is not None:
                raise invalid(f"{intent['id']} has a card that waits for its bank.")
        else:
            card = card or intent["payment_method"] or _CARDS[succeed]
            charging.require_known(world, card)
        self.record(
            Authenticated(
                at=self.now,
                steps=self._steps,
                intent_id=intent["id"],
                succeed=succeed,
                card=card,
            )
        )
        # The holder's browser is the cause, and no API request.
        world.cause = Cause()
        try:
            with world.on(world.clock_of(intent)), world.atomic(keeping=CardError):
                if card is not None:
                    intent = _CONFIRM[kind](world, intent["id"], card)
                if intent["status"] == "requires_action":
                    intent = _authenticated(world, intent, succeed=succeed)
                elif not succeed:
                    raise invalid(f"The bank of {card} does not ask its holder.")
                world.catch_up()
        finally:
            self.outbox.publish()
        return intent

    def _intent_named(self, named: str) -> tuple[str, Object]:
        id_, _, secret = named.partition("_secret_")
        kind = "setup_intent" if id_.startswith("seti_") else "payment_intent"
        intent = self.world.get(kind, id_)
        if secret and intent["client_secret"] != named:
            raise invalid(f"That is not the client secret of {id_}.", "client_secret")
        return kind, intent

    def restricted_key(self, *permissions: str) -> str:
        """Return a new key with only these permissions, valid until the next reset.

        Raises:
            ValueError: an unknown permission ("customer_write", "event_read", …).
        """
        if unknown := set(permissions) - PERMISSIONS:
            raise ValueError(f"unknown permission: {', '.join(sorted(unknown))}")
        # Not drawn from the world's seed: no id depends on it.
        key = f"rk_test_{secrets.token_hex(16)}"
        self.api.restricted[key] = frozenset(permissions)
        return key

    def set_card(self, id_: str, *, declines: str | None) -> None:
        """Make a card decline from now on, or (None) succeed.

        Raises:
            ApiError: the payment method or the decline does not exist.
        """
        self.world.get("payment_method", id_)
        if declines is not None and declines not in DECLINES:
            raise invalid(
                f"{declines} is not one of: {', '.join(DECLINES)}", "declines"
            )
        self.record(
            CardSet(
                at=self.now, steps=self._steps, payment_method_id=id_, declines=declines
            )
        )
        self.world.cards[id_] = attrs.evolve(
            self.world.cards[id_], charging=DECLINES[declines] if declines else None
        )

    def reissue_card(self, id_: str) -> Object:
        """Make the bank replace a card, which Stripe learns from the card network.

        Raises:
            ApiError: the payment method does not exist, or is not attached.
        """
        method = self.world.get("payment_method", id_)
        if method["customer"] is None:
            raise invalid(f"{id_} is not attached to a customer.")
        self.record(CardReissued(at=self.now, steps=self._steps, payment_method_id=id_))
        self.world.cause = Cause()
        card = method["card"]
        with self.world.on(self.world.clock_of(method)), self.world.atomic():
            done = self.world.change(
                method,
                "payment_method.automatically_updated",
                card={**card, "exp_year": card["exp_year"] + REISSUE_YEARS},
            )
        self.outbox.publish()
        return done

    def import_objects(self, objects: Sequence[Any]) -> list[Object]:
        """Import Stripe's objects, with their ids; no events are sent.

        Raises:
            ApiError: an object is invalid; nothing was imported.
        """
        # A refused import draws ids, too: a replay must draw the same.
        self.record(Imported(at=self.now, steps=self._steps, objects=list(objects)))
        self.world.cause = Cause()
        made = import_objects(self.world, objects)
        self.outbox.publish()
        return made

    def add_endpoint(self, url: str, secret: str, version: str | None = None) -> str:
        """Register an endpoint with a given secret, for every event.

        Raises:
            ApiError: the address or the version cannot be used.
        """
        if version is not None:
            generation_of(version)
        new = self.world.create(
            shapes.webhook_endpoint(
                self.world,
                api_version=version,
                enabled_events=["*"],
                url=usable_url(url),
            ),
            None,
        )
        self.world.secrets[new["id"]] = [(secret, None)]
        return str(new["id"])

    def roll_secret(self, endpoint_id: str, *, keep_s: int = ROLL_S_MAX) -> str:
        """Give an endpoint a new secret; the old one stays valid for `keep_s` seconds.

        Raises:
            ApiError: the endpoint does not exist.
        """
        self.world.get("webhook_endpoint", endpoint_id)
        self.record(
            SecretRolled(
                at=self.now, steps=self._steps, endpoint_id=endpoint_id, keep_s=keep_s
            )
        )
        until = self.now + min(keep_s, ROLL_S_MAX)
        held = [
            (secret, until if ends is None else min(ends, until))
            for secret, ends in self.world.secrets[endpoint_id]
        ]
        secret = f"whsec_{self.world.secret(32)}"
        self.world.secrets[endpoint_id] = [*held, (secret, None)]
        return secret

    # Replay of a journal

    def replay(self, entries: Iterable[Entry]) -> None:
        """Take the state that these entries, the first of which is a reset, lead to.

        Undelivered events are delivered again; chaos is off.
        """
        noting, self.record = self.record, lambda _: None
        for entry in entries:
            if not isinstance(entry, Reset):
                self._replay_until(entry)
            self._replay(entry)
        self.record = noting

    def _replay_until(self, entry: Entry) -> None:
        clock = self.world.clocks[None]
        while clock.next_due is not None and clock.next_due <= entry.at:
            if entry.steps is not None and self._steps >= entry.steps:
                # Due in that second, but run after the requests in it.
                break
            self._step()
            self.outbox.publish()
        clock.now = self._noted_at = max(clock.now, entry.at)

    def _replay(self, entry: Entry) -> None:
        match entry:
            case Called():
                headers = {**entry.headers, "authorization": f"Bearer {self.api_key}"}
                self.api.asked = entry.number - 1
                self.answer(
                    ApiRequest(
                        method=entry.method,
                        path=entry.path,
                        query=entry.query,
                        body=entry.body,
                        headers=headers,
                    ),
                    fails=entry.fails,
                )
            case Authenticated():
                # A request that was declined or refused then is so again.
                with contextlib.suppress(ApiError):
                    self.authenticate(
                        entry.intent_id, succeed=entry.succeed, card=entry.card
                    )
            case CardSet():
                self.set_card(entry.payment_method_id, declines=entry.declines)
            case CardReissued():
                self.reissue_card(entry.payment_method_id)
            case Imported():
                with contextlib.suppress(ApiError):
                    self.import_objects(entry.objects)
            case SecretRolled():
                self.roll_secret(entry.endpoint_id, keep_s=entry.keep_s)
            case Arrived():
                self.outbox.forget(entry.event_id, entry.endpoint_id)
            case Reset():
                self._begin(entry.seed, entry.at)
            case Passed():
                pass

    # For people

    def state(self) -> Mapping[str, Any]:
        """Return the state, in JSON types."""
        tables = self.world.objects
        return {
            "now": self.now,
            "seed": self.seed,
            "objects": {kind: len(table) for kind, table in tables.items() if table},
            "events": len(self.world.events),
            "waiting_deliveries": len(self.outbox),
            "subscriptions": [
                {
                    "id": it["id"],
                    "customer": it["customer"],
                    "status": it["status"],
                    "current_period_end": it["items"]["data"][0]["current_period_end"],
                }
                for it in self.world.all("subscription")[-SHOWN_MAX:]
            ],
            "endpoints": [
                {"id": it["id"], "url": it["url"], "api_version": it["api_version"]}
                for it in self.world.all("webhook_endpoint")
            ],
            "chaos": self.chaos.state(),
        }

    def log(self, type_: str | None = None) -> list[Mapping[str, Any]]:
        """Return the whole log of events, oldest first, a short row each."""
        return [
            {
                "id": event.id,
                "type": event.type,
                "created": event.created,
                "object_id": event.object["id"],
                "undelivered": len(self.world.undelivered.get(event.id, ())),
            }
            for event in self.world.events.values()
            if type_ in (None, event.type)
        ]


def _confirm_payment(world: World, id_: str, card: str) -> Object:
    wanted = payment_intents.Confirm(payment_method=card)
    return payment_intents.confirm(world, wanted, id_)


def _confirm_setup(world: World, id_: str, card: str) -> Object:
    return setup_intents.confirm(world, setup_intents.Confirm(payment_method=card), id_)


_CONFIRM: Final[Mapping[str, Callable[[World, str, str], Object]]] = MappingProxyType(
    {"payment_intent": _confirm_payment, "setup_intent": _confirm_setup}
)


def _authenticated(world: World, intent: Object, *, succeed: bool) -> Object:
    if intent["object"] == "setup_intent":
        return setup_intents.authenticate(world, intent, succeed=succeed)
    tried = charging.authenticate(world, intent, succeed=succeed)
    return subscriptions.follow(world, tried)


def _target(now: int, until: Until) -> int:
    match until:
        case str():
            target = span_after(now, until)
        case int():
            target = until
        case _:
            target = until(now)
    if target < now:
        raise ValueError("a clock only goes forward")
    if target > MOMENT_MAX:
        raise ValueError("a clock goes up to the year 2100")
    return target
