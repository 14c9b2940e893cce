"""What the core asks of the world, in the core's words.

A docstring here is a promise; `tests/contracts` holds every adapter to it. Any of
the stores may raise `StoreUnavailable`: it did not answer, the change may or may not
have happened, and running the same again is safe.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.events import EventState, GatewayEvent, KeptEvent
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
from payments_core.intent import Intent, IntentId
from payments_core.job import Job
from payments_core.payment import Payment, PaymentId
from payments_core.revocation import Token, TokenCutOff, TokenRevocation
from payments_core.subscription import SubscriptionReport


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


class NewId(Protocol):
    def __call__(self) -> str:
        """Return an id that nobody has had: a UUID, as text."""


class Ledger(Protocol):
    """Accounts and all that belongs to them, events, intents, and jobs asked for."""

    async def load(self, lookup: Lookup) -> Snapshot:
        """Return what is known, at one moment, in one round trip, without a lock."""

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        """Save each group whole or not at all, independently of the others.

        Nothing waits for a lock for longer than a moment. Each thing that is saved
        has a version one greater than before.

        Raises:
            StoreUnavailable: each group may be saved or not; load again.
            SaveTimedOut: the same, and it took too long.
        """


@attrs.frozen
class Claimed:
    """Work that was claimed, and a number drawn with the claim: see `Snapshot`."""

    work: Job | Intent
    sequence: int


class WorkQueue(Protocol):
    """Jobs and intents that are due. A claim is a lease: see `payments_core.lease`."""

    async def claim(self, *, now: datetime, limit: int) -> Sequence[Claimed]:
        """Claim work that is due, of many accounts before much of one.

        Of the open intents of a user one is claimed at a time: it may need the others.
        What somebody else is claiming at this moment is left out.
        """

    async def release(self, claimed: Job, after: Job) -> None:
        """Give a job back as it is then, if the claim still holds.

        One that was asked for meanwhile does not die.
        """

    async def request_overdue(self, *, now: datetime, limit: int) -> int:
        """Ask to sync subscriptions that should have been heard of by now.

        That is when `Subscription.look_at` has passed and no job for them is open.
        Return how many.
        """

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        """Return users for whom something unlinked is there, although it is theirs."""


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

    async def holder_of(self, customer_id: CustomerId) -> UserId | None:
        """Return the user to whom a customer is bound."""


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
