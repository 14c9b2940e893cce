"""What the core asks of the world, in the core's words.

A docstring here is a promise; `tests/contracts` holds every adapter to it. Any of
the stores may raise `StoreUnavailable`: it did not answer, the change may or may not
have happened, and running the same again is safe.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.events import (
    EventKey,
    EventState,
    GatewayEvent,
    KeptEvent,
    Outcome,
    Receipt,
)
from payments_core.gateway import (
    Answer,
    ChangeSubscription,
    Collection,
    FrozenRequest,
    GatewayRequest,
    LookedUp,
    Preview,
    Price,
    SetUp,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId, IntentKind
from payments_core.job import Job, JobKey
from payments_core.payment import Payment, PaymentId
from payments_core.revocation import Token, TokenCutOff, TokenRevocation
from payments_core.subscription import Subscription, SubscriptionReport


class Clock(Protocol):
    def __call__(self) -> datetime:
        """Return the present moment, in UTC."""


class EventReader(Protocol):
    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate. Nothing is parsed before the signature holds.

        Raises:
            BadSignature: nobody who knows our secret wrote this, lately.
            MalformedEvent: signed, but not an event that can be read.
        """

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified when it came.

        Raises:
            MalformedEvent: it is not an event that can be read.
        """


class EventIntake(Protocol):
    async def __call__(self, event: GatewayEvent) -> Receipt:
        """Return once the event is durable, applied or set aside.

        Events that wait at the same time may share a transaction; one that fails
        does not take the others down. Whoever waits may go away: the event is
        taken all the same.

        Raises:
            Overloaded: too many wait already; nothing was kept.
            StoreUnavailable: it may or may not have been kept; send it again.
        """


class NewId(Protocol):
    def __call__(self) -> str:
        """Return an id that nobody has had: a UUID, as text."""


@attrs.frozen
class LinkKeys:
    """The keys under which payments and subscriptions find their accounts."""

    user_ids: frozenset[UserId] = frozenset()
    customer_ids: frozenset[CustomerId] = frozenset()
    email_keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.user_ids or self.customer_ids or self.email_keys)


def link_keys(
    payments: Iterable[Payment] = (), subscriptions: Iterable[SubscriptionReport] = ()
) -> LinkKeys:
    """Return every key under which one of these could find its account."""
    user_ids, customer_ids, email_keys = set(), set(), set()
    for payment in payments:
        if payment.claimed_by:
            user_ids.add(UserId(payment.claimed_by))
        if payment.customer_id:
            customer_ids.add(payment.customer_id)
        if payment.email:
            email_keys.add(payment.email)
    for report in subscriptions:
        customer_ids.add(report.customer_id)
        if report.claimed_by:
            user_ids.add(UserId(report.claimed_by))
    return LinkKeys(frozenset(user_ids), frozenset(customer_ids), frozenset(email_keys))


@attrs.frozen
class PaymentRecord:
    """A payment as it is kept: the fact, whose it is, and how often it was saved.

    Without a `user_id` it is *unlinked*: nobody's yet.
    """

    payment: Payment
    user_id: UserId | None = None
    version: int = 0


@attrs.frozen
class Findings:
    """What is known about a batch of events before it is applied.

    `known` are those of the events that were kept before; `payments` and
    `subscriptions` those that the events report on; `accounts` those things' owners
    and whoever is found under the keys of the reports, their subscriptions included.
    """

    known: frozenset[EventKey]
    accounts: Sequence[PaymentAccount]
    payments: Sequence[PaymentRecord]
    subscriptions: Sequence[Subscription] = ()


@attrs.frozen
class Unlinked:
    """What is nobody's yet."""

    payments: Sequence[PaymentRecord]
    subscriptions: Sequence[Subscription]


class _Books(Protocol):
    """Accounts, payments and subscriptions.

    Accounts come with their subscriptions, and locked until the end, in the order of
    their ids: two transactions over the same accounts take turns and do not deadlock.
    """

    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        """Return what is known about these events, the accounts locked."""

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        """Return the accounts under any of the keys, locked."""

    async def payments(self, ids: Iterable[PaymentId]) -> Sequence[PaymentRecord]:
        """Return those of these payments that are known, linked or not."""

    async def subscriptions(self, gateway_ids: Iterable[str]) -> Sequence[Subscription]:
        """Return those of these subscriptions that are known, linked or not."""

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        """Stop the race between a payment and the registration of its owner.

        Who keeps something unlinked holds its keys; who registers an account or binds
        a customer holds them exclusively. Until the end of the transaction one waits
        for the other.
        """

    async def unlinked(self, keys: LinkKeys) -> Unlinked:
        """Return what is nobody's and carries any of the keys."""

    async def linkable(self, *, limit: int) -> LinkKeys:
        """Return keys of unlinked things for which there is an account by now."""

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        """Return all payments of these users."""

    async def tickets(self, count: int) -> Sequence[int]:
        """Draw tickets: each is greater than all that were drawn before it."""

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        subscriptions: Sequence[Subscription] = (),
        at: datetime,
    ) -> None:
        """Save new events, and what changed; each version grows by one.

        An account is saved without its subscriptions: they are saved by themselves.

        Raises:
            ChangedElsewhere: an event is there already, an account, payment or
                subscription was saved since it was read, or another account has the
                e-mail or the customer.
        """


class _Intents(Protocol):
    async def intent(self, id_: IntentId) -> Intent | None:
        """Return an intent, locked."""

    async def intent_under(self, key: str) -> Intent | None:
        """Return the intent that an idempotency key names, locked."""

    async def open_intent(
        self, user_id: UserId, kind: IntentKind, subject: str
    ) -> Intent | None:
        """Return the open intent of this user, kind and subject, locked."""

    async def due_intents(self, *, now: datetime, limit: int) -> Sequence[Intent]:
        """Return open intents that are due, locked; what others hold is left out."""

    async def save_intent(self, intent: Intent, *, at: datetime) -> None:
        """Save an intent; its version grows by one.

        Raises:
            ChangedElsewhere: it was saved since it was read; its key names another;
                or another of its user, kind and subject is open.
        """


class _Jobs(Protocol):
    async def ask(self, jobs: Sequence[Job]) -> None:
        """Ask for jobs.

        One that is there already is due at the earlier moment, is asked for once
        more, and is alive again.
        """

    async def ask_for_silent(self, *, now: datetime, limit: int) -> int:
        """Ask to look up subscriptions that should have been heard of by now.

        That is when `Subscription.look_at` has passed and no job for them is there.
        Return how many.
        """

    async def due_jobs(self, *, now: datetime, limit: int) -> Sequence[Job]:
        """Return living jobs that are due, locked; what others hold is left out."""

    async def job(self, key: JobKey) -> Job | None:
        """Return a job, locked."""

    async def save_job(self, job: Job) -> None:
        """Save a job that was read in this transaction."""

    async def finish_job(self, job: Job) -> None:
        """Remove a job that was read in this transaction."""

    async def settle(self, *, waiting_for: JobKey, outcome: Outcome) -> None:
        """Give the pending events that wait for a job their outcome."""

    async def settle_event(self, key: EventKey, outcome: Outcome) -> None:
        """Give one pending event its outcome."""


class UnitOfWork(_Books, _Intents, _Jobs, Protocol):
    """One transaction: leaving it without `commit` rolls everything back."""

    async def commit(self) -> None: ...


class OpenUnitOfWork(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]: ...


class PaymentGateway(Protocol):
    """Whoever takes the money.

    Every method may raise `GatewayBusy`, after which nothing was done, and
    `GatewaySilent`, after which nobody knows; and `GatewayObjectMissing` where what
    is read is not there. An answer of another object, of the other mode, or that
    cannot be read is silence: it is never believed.
    """

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        """Render a request; the same request is rendered the same every time."""

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        """Send what was frozen of this request.

        Raises:
            GatewayRefused: a definite no.
        """

    async def find(self, request: GatewayRequest) -> Answer | None:
        """Return what an earlier sending of this request made or reached.

        It looks for the request's intent, or at the thing itself; None if nothing
        came of it.
        """

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        """Return the customer that was made for a user with this e-mail, if any."""

    async def subscription(self, gateway_id: str) -> LookedUp:
        """Return a subscription as it is now."""

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        """Return all subscriptions of a customer, ended ones too."""

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        """Return the card that pays by default."""

    async def collection(self, invoice_id: str) -> Collection:
        """Return how far the payment of an invoice is."""

    async def set_up(self, set_up_id: str) -> SetUp:
        """Return how far a card set-up is."""

    async def payment(self, payment_id: PaymentId) -> Payment:
        """Return what the gateway says of a payment now."""

    async def price(self, price_id: str) -> Price:
        """Return a price."""

    async def price_of(self, product_id: str) -> Price:
        """Return the default price of a product."""

    async def preview(
        self, customer_id: CustomerId, change: ChangeSubscription
    ) -> Preview:
        """Return what a change would cost, if made with its `proration_date`.

        Raises:
            GatewayRefused: the change cannot be made.
        """


class AccountDirectory(Protocol):
    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        """Return an account as last committed, unlocked; by e-mail its key counts."""


class IntentDirectory(Protocol):
    async def find(self, id_: IntentId) -> Intent | None:
        """Return an intent as last committed, unlocked."""


class EventLog(Protocol):
    async def kept(
        self,
        *,
        state: EventState | None = None,
        unlinked: bool = False,
        limit: int = 100,
    ) -> Sequence[KeptEvent]:
        """Return kept events without their bodies, the latest received first."""

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        """Return the events of this id, with their bodies."""


class TokenVerifier(Protocol):
    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims.

        Raises:
            InvalidToken: anything is wrong with it.
        """


@attrs.frozen
class RevocationPage:
    """Some revocations, and where the next page starts; None at the end."""

    revocations: Sequence[TokenRevocation]
    after: tuple[str, str] | None


class TokenStore(Protocol):
    async def is_dead(self, token: Token) -> bool:
        """Say whether the token, or all of its user's tokens, were invalidated.

        True from the moment `invalidate` or `cut_off` returned, for everybody.
        """

    async def invalidate(self, revocation: TokenRevocation) -> None:
        """Kill one token; killing it again changes nothing."""

    async def cut_off(self, cut_off: TokenCutOff) -> None:
        """Kill a user's tokens up to a moment; an earlier moment changes nothing."""

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        """Return revocations in the order of (issuer, jti)."""
