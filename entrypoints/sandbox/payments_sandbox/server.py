"""A sandbox served on a port, in a thread of its own."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from payments_sandbox.app import SandboxApp
from payments_sandbox.back_off import BackOff
from payments_sandbox.chaos import Fault, Plan
from payments_sandbox.engine import START, Engine
from payments_sandbox.listeners import listen, server_of, url_of
from payments_sandbox.periods import moment
from payments_sandbox.state import Object
from payments_sandbox.triggers import trigger

START_S_MAX: Final = 30.0
TICK_S: Final = 1.0
# The first back-off after a failure; it grows with each further one.
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 60.0

_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


async def serve(
    app: SandboxApp,
    listener: Any,
    stop: asyncio.Event,
    on_started: Callable[[], None],
    *,
    ticking: bool,
) -> None:
    """Serve until `stop`; with `ticking` its time passes as real time does.

    Deliveries begin once it answers: a receiver may call it.
    """
    server = server_of(app)
    tasks: list[asyncio.Task[None]] = []
    serving = asyncio.create_task(server.serve([listener]))
    ended = asyncio.create_task(stop.wait())
    started = asyncio.create_task(server.up.wait())
    try:
        await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
        on_started()
        work = {"a delivery": app.deliver}
        if ticking:
            work["a tick"] = Ticker(app).tick
        tasks += [
            asyncio.create_task(over_and_over(it, name, BackOff(RETRY_S, RETRY_S_MAX)))
            for name, it in work.items()
        ]
        await asyncio.wait(
            [serving, ended, *tasks], return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        server.should_exit = True
        for task in (*tasks, ended, started):
            task.cancel()
        results = await asyncio.gather(serving, *tasks, return_exceptions=True)
        await app.sender.close()
    for result in results:
        if isinstance(result, Exception):
            raise result


async def over_and_over(
    work: Callable[[], Awaitable[None]], name: str, back_off: BackOff
) -> None:
    """Repeat the work until cancelled; a failure is only logged."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001  # any error: time goes on
            _LOG.exception("%s of the sandbox failed; it is tried again", name)
            await asyncio.sleep(back_off.wait_s())
        else:
            back_off.reset()


@attrs.define
class Ticker:
    """Lets virtual time pass as real time does, from its current value."""

    app: SandboxApp
    # In seconds, with any zero.
    real_time: Callable[[], float] = time.monotonic
    tick_s: float = TICK_S
    _told: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._told = self.real_time()

    async def tick(self) -> None:
        """Wait for one tick; then let as much time pass as since the last one."""
        await asyncio.sleep(self.tick_s)
        passed = 0

        def until(now: int) -> int:
            # Both times are read when this turn begins: other calls may have delayed
            # it, and moved the clock beyond the target.
            nonlocal passed
            passed = int(self.real_time() - self._told)
            return now + passed

        await self.app.advance(until)
        self._told += passed


@attrs.define(kw_only=True)
class Sandbox:
    """A fake Stripe on a local port, for the duration of the block.

        with Sandbox(seed=7) as sandbox:
            client = stripe.StripeClient(
                sandbox.api_key, base_addresses={"api": sandbox.url}
            )
            sandbox.advance("1 month")

    Its clock stands still until `advance`. The same seed and the same calls give the
    same ids, events and order. Every method may be called from any thread, and from a
    coroutine: none needs the caller's event loop.
    """

    seed: int = 0
    start: datetime = attrs.field(factory=lambda: moment(START))
    after_retries: str = "cancel"
    thin_events: bool = False
    port: int = 0
    engine: Engine = attrs.field(init=False)
    app: SandboxApp = attrs.field(init=False)
    _url: str | None = attrs.field(init=False, default=None)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(init=False, default=None)
    _thread: threading.Thread | None = attrs.field(init=False, default=None)
    _stop: asyncio.Event | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.engine = Engine(
            seed=self.seed,
            start=lambda: int(self.start.timestamp()),
            after_retries=self.after_retries,
            thin_events=self.thin_events,
        )
        self.app = SandboxApp.of(self.engine)

    # Start and stop

    def __enter__(self) -> Self:
        listener = listen(self.port)
        self._url = url_of(listener)
        started = threading.Event()
        ready: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(listener, started.set))
            except BaseException as error:  # noqa: BLE001  # raised to the caller
                ready.append(error)
                started.set()

        self._thread = threading.Thread(target=run, name="sandbox", daemon=True)
        self._thread.start()
        if not started.wait(START_S_MAX) or ready:
            raise RuntimeError("the sandbox did not start") from (
                ready[0] if ready else None
            )
        return self

    async def _serve(self, listener: Any, on_started: Callable[[], None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self.app, listener, self._stop, on_started, ticking=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop and self._stop and self._thread:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_S_MAX)
        self._loop = self._url = None

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the sandbox is not started: use it in a `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _do(self, work: Callable[[], _T]) -> _T:
        async def do() -> _T:
            try:
                return work()
            finally:
                self.app.tell()

        return self._run(do())

    # Address and time

    @property
    def url(self) -> str:
        """The base address for clients, in place of Stripe's.

        Raises:
            RuntimeError: the sandbox is not started.
        """
        if self._url is None:
            raise RuntimeError("the sandbox is not started: use it in a `with` block")
        return self._url

    @property
    def api_key(self) -> str:
        return self.engine.api.api_key

    @property
    def now(self) -> datetime:
        """The sandbox's time, in UTC."""
        return moment(self.engine.now)

    # Actions

    def advance(self, until: str | datetime) -> datetime:
        """Let time pass ("1 month", or until a time); return the new time.

        Returns when everything that fell due has happened and been delivered.

        Raises:
            ValueError: `until` is in the past, or not a span.
        """
        wanted = int(until.timestamp()) if isinstance(until, datetime) else until
        return moment(self._run(self.app.advance(wanted)))

    def deliver(self) -> None:
        """Deliver everything that is due, and wait for it."""
        self._run(self.app.flush())

    def deliver_to(self, url: str, secret: str, *, version: str | None = None) -> str:
        """Send every event to this address from now on; return the endpoint's id."""
        return self._do(lambda: self.engine.add_endpoint(url, secret, version))

    def restricted_key(self, *permissions: str) -> str:
        """Return a new key with only these permissions ("customer_write", …)."""
        return self._do(lambda: self.engine.restricted_key(*permissions))

    def roll_secret(self, endpoint_id: str, *, keep_s: int = 86_400) -> str:
        """Give an endpoint a new secret; the old one is valid for `keep_s` seconds."""
        return self._do(lambda: self.engine.roll_secret(endpoint_id, keep_s=keep_s))

    def authenticate(
        self, intent: str, *, succeed: bool = True, card: str | None = None
    ) -> Object:
        """Finish an intent (its id, or client secret) as the card's holder would.

        An intent that is not confirmed is first confirmed with `card`; then the bank's
        3-D Secure step follows, if the bank requires it.
        """
        return self._do(
            lambda: self.engine.authenticate(intent, succeed=succeed, card=card)
        )

    def import_objects(self, objects: Sequence[Any]) -> list[Object]:
        """Import Stripe's objects, with their ids; no events are sent."""
        return self._do(lambda: self.engine.import_objects(objects))

    def set_card(self, payment_method_id: str, *, declines: str | None) -> None:
        """Make a card decline ("insufficient_funds", …) from now on; None: succeed."""
        self._do(lambda: self.engine.set_card(payment_method_id, declines=declines))

    def trigger(self, type_: str, user: str, **values: str) -> list[str]:
        """Make an event of this type happen to a user; return the types it caused."""
        return self._do(lambda: trigger(self.engine, type_, user, values))

    def chaos(self, **rates: float) -> None:
        """Make faults occur at these rates (0 to 1), by their names in `Fault`."""
        wanted = {Fault(name): rate for name, rate in rates.items()}
        self._do(lambda: self.engine.chaos.set_rates(wanted))

    def plan(
        self, fault: Fault | str, matches: str = "*", *, times: int = 1, skip: int = 0
    ) -> None:
        """Plan a fault for the next call ("POST /v1/subscriptions") or event type."""
        plan = Plan(Fault(fault), matches, times, skip)
        self._do(lambda: self.engine.chaos.plan(plan))

    def calm(self) -> None:
        """Stop all faults."""
        self._do(self.engine.chaos.calm)

    def reset(self, seed: int | None = None) -> None:
        """Start again, with the same key."""
        self._do(lambda: self.engine.reset(seed))

    # State

    def events(self, type_: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Return the events, oldest first: id, type, created, object_id."""
        return self._do(lambda: self.engine.log(type_))

    def objects(self, kind: str) -> Sequence[Object]:
        """Return the objects of a kind ("subscription"), oldest first."""
        return self._do(lambda: self.engine.world.all(kind))

    def state(self) -> Mapping[str, Any]:
        """Return the number of objects of each kind, the endpoints, and the chaos."""
        return self._do(self.engine.state)
