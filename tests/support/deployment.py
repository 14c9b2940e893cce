"""Everything that handles money, in memory, with a crash possible at any call."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import attrs

from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryAccountHistory,
    MemoryCheckpoints,
    MemoryDatabase,
    MemoryEventLog,
    MemoryIntentDirectory,
    MemoryLedger,
    MemoryWorkQueue,
)
from payments_adapters.stripe import StripeEvents, StripeSignatures, translate
from payments_adapters.stripe.gateway import StripeGateway
from payments_core.account import PaymentAccount
from payments_core.caller import ADMIN_SCOPE, Caller
from payments_core.errors import StoreUnavailable
from payments_core.events import GatewayEvent
from payments_core.facts import facts_of
from payments_core.identity import Email, UserId
from payments_core.intent import Intent
from payments_core.jobs import RunWork
from payments_core.policy import DEFAULT_POLICY, Policy
from payments_core.tokens import Token
from payments_core.use_cases import (
    BackFillEvents,
    ChangeSubscription,
    CheckChange,
    ConfirmOpen,
    EndSubscription,
    ExecuteOperation,
    FindPrice,
    GetAuthorizedAccount,
    LimitDeclines,
    PreviewChange,
    ReadSubscriptions,
    Recorded,
    RecordFacts,
    RegisterUser,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)
from payments_core.use_cases.execute_operation import CUSTOMER_WITHIN
from payments_sandbox.api import ApiRequest
from payments_sandbox.engine import Engine
from payments_sandbox.forms import encoded, parsed
from payments_sandbox.resources.endpoints import shown
from support.inprocess import InProcess
from support.sandbox import Api
from support.snapshots import snapshot_of
from support.stripe_bodies import a_secret

ADA = UserId("ada")
ROUNDS_MAX = 1_000
CLAIMED_MAX = 16
SECRET = a_secret("new")
BEGINNING = datetime(2026, 1, 10, 12, tzinfo=UTC)


class Crash(BaseException):
    """The process has crashed. Nothing catches this."""


class Break(StrEnum):
    """How a call of a port fails."""

    # The process crashes: before the call, or after it with an unknown result.
    CRASH = "crash"
    # A store reports that it did not answer: before it did anything, or afterwards.
    NO_ANSWER = "no answer"
    # The process is frozen until its lease has ended and a worker has continued.
    FREEZE = "freeze"


@attrs.define
class Fuse:
    """Counts the ends of port calls, and breaks the `at`th of them.

    Each call has two: before it does anything, and when it is done but its caller does
    not know. `reached` says whether that end was reached.
    """

    at: int | None = None
    how: Break = Break.CRASH
    # The method whose calls are counted; None: all.
    only: str | None = None
    calls: int = 0
    reached: bool = False
    # The method that was broken.
    broken: str = ""
    names: Counter[str] = attrs.field(factory=Counter)
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def burn(self, name: str, *, is_store: bool) -> None:
        if self.how is Break.NO_ANSWER and not is_store:
            # The gateway's possible answers have their own schedules.
            return
        if self.only not in {None, name}:
            return
        self.calls += 1
        if self.calls != self.at:
            return
        self.reached, self.broken = True, name
        if self.how is Break.CRASH:
            raise Crash
        if self.how is Break.NO_ANSWER:
            raise StoreUnavailable
        if self.meanwhile is not None:
            await self.meanwhile()

    def around(self, it: Any) -> Any:
        """Return an object whose asynchronous methods use up the fuse."""
        return _Fused(it, self)


class _Fused:
    def __init__(self, it: Any, fuse: Fuse) -> None:
        self._it = it
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._it, name)
        if name.startswith("_") or not callable(found) or name in {"freeze", "plan"}:
            return found
        is_store = not isinstance(self._it, StripeGateway)

        async def fused(*args: Any, **kwargs: Any) -> Any:
            self._fuse.names[f"{type(self._it).__name__}.{name}"] += 1
            await self._fuse.burn(name, is_store=is_store)
            answer = await found(*args, **kwargs)
            await self._fuse.burn(name, is_store=is_store)
            return answer

        return fused


async def _no_wait(_: float) -> None:
    """Do not wait: no other process exists."""


# Thousands of schedules begin in the same state, and receive the same events.
_translated: Final = lru_cache(maxsize=1_000)(translate)


def caller_of(user: UserId, *, scopes: Collection[str] = ()) -> Caller:
    return Caller(
        Token(
            issuer="users.test",
            jti="t",
            user_id=user,
            issued_at=BEGINNING,
            expires_at=BEGINNING + timedelta(days=1000),
            email=Email.of(f"{user}@example.com"),
            scopes=frozenset(scopes),
        )
    )


def admin() -> Caller:
    return caller_of(UserId("admin"), scopes=[ADMIN_SCOPE])


def _gateway_on(line: InProcess) -> AbstractAsyncContextManager[StripeGateway]:
    gateway = StripeGateway(
        line.engine.api.api_key, base="http://sandbox.test", livemode=False
    )
    return gateway.opened(line)


@attrs.define
class Deployment:
    """One deployment: a database, a sandbox behind the real SDK, and a process."""

    api: Api
    line: InProcess
    gateway: StripeGateway
    basic: str
    pro: str
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(BEGINNING))
    # The same clock, as in production, unless a test sets another.
    system_clock: FixedClock = attrs.field(
        default=attrs.Factory(lambda self: self.clock, takes_self=True)
    )
    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    fuse: Fuse = attrs.field(factory=Fuse)
    policy: Policy = DEFAULT_POLICY
    crashes: int = 0
    _answered: int = 0
    # Without the limit: histories decline as often as they like.
    declines_max: int = 0
    # How many ids of intents were created.
    _made: int = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, **settings: Any) -> AsyncIterator["Deployment"]:
        """Lend a deployment whose sandbox begins now; two prices of one product."""
        engine = Engine(start=lambda: int(BEGINNING.timestamp()), **settings)
        api, line = Api(engine), InProcess(engine)
        basic = api.price(900)
        pro = api.post(
            "prices",
            currency="eur",
            unit_amount=1900,
            recurring={"interval": "month"},
            product=basic["product"],
        )
        api.post(f"products/{basic['product']}", default_price=basic["id"])
        async with _gateway_on(line) as gateway:
            yield cls(api, line, gateway, basic["id"], pro["id"])

    def saved(self) -> Callable[[], AbstractAsyncContextManager["Deployment"]]:
        """Return a function that lends copies of this deployment.

        Their sandbox, database and clock are theirs alone; each has a new process.
        """
        line, now = self.line, attrs.evolve(self)
        copy = snapshot_of(
            (
                line.engine,
                line.changes,
                line.reads,
                self.database,
                (self.clock, self.system_clock),
            )
        )

        @asynccontextmanager
        async def opened() -> AsyncIterator[Deployment]:
            engine, changes, reads, database, (clock, system_clock) = copy()
            again = InProcess(engine)
            again.changes, again.reads = changes, reads
            async with _gateway_on(again) as gateway:
                yield attrs.evolve(
                    now,
                    api=Api(engine),
                    line=again,
                    gateway=gateway,
                    clock=clock,
                    system_clock=system_clock,
                    database=database,
                    fuse=Fuse(),
                )

        return opened

    @property
    def looks(self) -> int:
        """Count the worker's reads of a subscription."""
        return self.fuse.names["StripeGateway.subscription"]

    @property
    def engine(self) -> Engine:
        return self.line.engine

    async def advance(self, by: timedelta) -> None:
        """Let time pass, here and at the gateway."""
        self.clock.advance(by)
        await self.engine.advance(int(self.clock.now.timestamp()))

    def restart(self, break_at: int | None = None, how: Break = Break.CRASH) -> None:
        """Begin a new process over the same database and gateway."""
        self.crashes += self.fuse.reached
        self.fuse = Fuse(break_at, how, meanwhile=self._elsewhere)

    async def _elsewhere(self) -> None:
        """Let another process work while this one is frozen, longer than a lease."""
        frozen, self.fuse = self.fuse, Fuse()
        await self.advance(timedelta(minutes=2))
        await self.work()
        self.fuse = frozen

    def new_id(self) -> str:
        self._made += 1
        return f"intent-{self._made}"

    @property
    def directory(self) -> Any:
        return self.fuse.around(MemoryAccountDirectory(self.database))

    @property
    def asked(self) -> Any:
        """Return the gateway as the process sees it."""
        return self.fuse.around(self.gateway)

    @property
    def ledger(self) -> Any:
        return self.fuse.around(MemoryLedger(self.database))

    @property
    def record(self) -> RecordFacts:
        return RecordFacts(
            self.ledger, self.clock, self.system_clock, self.policy, sleep=_no_wait
        )

    @property
    def execute(self) -> ExecuteOperation:
        return ExecuteOperation(
            self.ledger,
            self.record,
            self.asked,
            self.clock,
            self.system_clock,
            self.new_id,
            _no_wait,
        )

    @property
    def reach(self) -> GetAuthorizedAccount:
        return GetAuthorizedAccount(self.directory, RegisterUser(self.record))

    async def apply(self, events: Sequence[GatewayEvent]) -> Sequence[Recorded]:
        return await self.record([facts_of(event) for event in events])

    async def register(self, user: UserId = ADA) -> None:
        register = RegisterUser(self.record)
        await register(user, Email.of(f"{user}@example.com"))

    async def account(self, user: UserId = ADA) -> PaymentAccount:
        found = await MemoryAccountDirectory(self.database).find(user)
        assert found is not None
        return found

    # What is true at the gateway

    @property
    def product(self) -> str:
        return str(self.api.get(f"prices/{self.basic}")["product"])

    def decline(self, payment_method: str) -> None:
        """Let the bank decline a card from now on."""
        self.engine.set_card(payment_method, declines="insufficient_funds")

    def customers_of(self, user: UserId) -> list[str]:
        found = self.engine.world.all("customer")
        return [it["id"] for it in found if it["metadata"].get("user_id") == user]

    def subscriptions_of(self, user: UserId) -> list[Any]:
        found = self.engine.world.all("subscription")
        return [it for it in found if it["metadata"].get("user_id") == user]

    def made_by(self, intent_id: str) -> list[str]:
        """Return all objects with an intent's id, ended or not."""
        world = self.engine.world
        return [
            it["id"]
            for kind in ("customer", "setup_intent", "subscription")
            for it in world.all(kind)
            if it["metadata"].get("intent_id") == intent_id
        ]

    def is_committed(self, key: str, request: ApiRequest) -> bool:
        """Say whether a committed intent has this call, with just these parameters."""
        for intent in self.database.tables.intents.values():
            for call in intent.calls:
                if intent.key_of(call) == key:
                    params = json.loads(call.frozen.body)
                    sent = parsed(request.body.decode())
                    return parsed(encoded(params)) == sent
        return False

    def paid_twice(self) -> list[str]:
        """Return the payment intents that were charged more than once."""
        taken = Counter(
            it["payment_intent"]
            for it in self.engine.world.all("charge")
            if it["status"] == "succeeded"
        )
        return [id_ for id_, times in taken.items() if times > 1]

    # A client's requests

    @property
    def prices(self) -> FindPrice:
        return FindPrice(self.asked, self.policy)

    @property
    def confirm(self) -> ConfirmOpen:
        return ConfirmOpen(self.directory, self.asked, self.record)

    @property
    def check(self) -> CheckChange:
        return CheckChange(self.prices, self.clock)

    @property
    def declines(self) -> LimitDeclines:
        return LimitDeclines(
            MemoryIntentDirectory(self.database), self.clock, self.declines_max
        )

    @property
    def start(self) -> StartSubscription:
        return StartSubscription(
            self.reach, self.execute, self.prices, self.confirm, self.declines
        )

    @property
    def change(self) -> ChangeSubscription:
        return ChangeSubscription(
            self.reach, self.execute, self.check, self.confirm, self.declines
        )

    @property
    def preview(self) -> PreviewChange:
        return PreviewChange(self.reach, self.check, self.asked, self.confirm)

    @property
    def end(self) -> EndSubscription:
        return EndSubscription(self.reach, self.execute)

    @property
    def update_card(self) -> UpdateCard:
        return UpdateCard(self.reach, self.execute, self.declines)

    @property
    def set_up_card(self) -> SetUpCard:
        return SetUpCard(self.reach, self.execute, self.declines)

    @property
    def read(self) -> ReadSubscriptions:
        return ReadSubscriptions(self.reach)

    async def hear(
        self, types: Collection[str] | None = None, *, apply_only: bool = False
    ) -> None:
        """Take in the new events, as webhooks, and run the jobs.

        Only of some types, if these are named: the others are lost. With `apply_only`
        no job is run.
        """
        made = list(self.engine.world.events.values())[self._answered :]
        self._answered += len(made)
        events = [it for it in made if types is None or it.type in types]
        bodies = [json.dumps(shown(self.engine.world, it)).encode() for it in events]
        if bodies:
            await self.apply([_translated(body) for body in bodies])
        if apply_only:
            return
        # Some syncs wait shortly for the events that make them unnecessary.
        self.clock.advance(timedelta(seconds=5))
        await self.work()

    # Background work

    @property
    def run_work(self) -> RunWork:
        return RunWork(
            self.fuse.around(MemoryWorkQueue(self.database)),
            self.record,
            self.execute,
            self.asked,
            self.clock,
            self.system_clock,
            self.directory,
            self.fuse.around(MemoryIntentDirectory(self.database)),
            self.fuse.around(MemoryEventLog(self.database)),
            StripeEvents(
                StripeSignatures((SECRET,), self.system_clock), livemode=False
            ),
            self.fuse.around(MemoryAccountHistory(self.database)),
        )

    @property
    def back_fill(self) -> BackFillEvents:
        return BackFillEvents(
            self.asked,
            self.fuse.around(MemoryCheckpoints(self.database)),
            self.fuse.around(MemoryEventLog(self.database)),
            self.record,
            self.clock,
            self.system_clock,
        )

    async def work_once(self) -> int:
        """Do what is due now; return how much it was."""
        run = self.run_work
        claimed = await run.claim(CLAIMED_MAX)
        for it in claimed:
            await run(it)
        return len(claimed)

    async def work(self) -> None:
        """Let the worker do what is due.

        Raises:
            AssertionError: the work does not end.
        """
        for _ in range(ROUNDS_MAX):
            if not await self.work_once():
                return
        raise AssertionError("the worker finds no end")

    async def quiesce(self, *, within: timedelta = timedelta(hours=60)) -> None:
        """Let time pass, and the worker work, until no intent is open.

        Raises:
            AssertionError: an intent is still open when the time is over.
        """
        ends = self.clock.now + within
        while self.clock.now < ends:
            await self.work()
            if self.open_intents:
                # An intent that waited for another of its user continues soon after it.
                self.clock.advance(CUSTOMER_WITHIN)
                await self.work()
            if not self.open_intents:
                return
            await self.advance(timedelta(minutes=7))
        assert not self.open_intents, self.open_intents

    @property
    def open_intents(self) -> list[Intent]:
        return [it for it in self.database.tables.intents.values() if it.open]

    @property
    def intents(self) -> list[Intent]:
        return list(self.database.tables.intents.values())

    async def intent(self, id_: str) -> Intent | None:
        return await MemoryIntentDirectory(self.database).find(id_)  # type: ignore[arg-type]  # a text will do


Deed = Callable[[Deployment], Awaitable[Intent]]
