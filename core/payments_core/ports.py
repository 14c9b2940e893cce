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

from payments_core.account import Email, PaymentAccount, UserId
from payments_core.events import (
    EventKey,
    EventState,
    GatewayEvent,
    KeptEvent,
    Outcome,
    Receipt,
)
from payments_core.payment import CustomerId, Payment
from payments_core.revocation import Token, TokenCutOff, TokenRevocation


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


@attrs.frozen
class LinkKeys:
    """The keys under which payments find their accounts."""

    user_ids: frozenset[UserId] = frozenset()
    customer_ids: frozenset[CustomerId] = frozenset()
    email_keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.user_ids or self.customer_ids or self.email_keys)


def link_keys(payments: Iterable[Payment]) -> LinkKeys:
    """Return every key under which one of these payments could find its account."""
    user_ids, customer_ids, email_keys = set(), set(), set()
    for payment in payments:
        if payment.claimed_by:
            user_ids.add(UserId(payment.claimed_by))
        if payment.customer_id:
            customer_ids.add(payment.customer_id)
        if payment.email:
            email_keys.add(payment.email)
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

    `known` are those of the events that were kept before; `payments` those that
    the events report on; `accounts` those payments' owners and whoever is found
    under the keys of the reports.
    """

    known: frozenset[EventKey]
    accounts: Sequence[PaymentAccount]
    payments: Sequence[PaymentRecord]


class UnitOfWork(Protocol):
    """One transaction: leaving it without `commit` rolls everything back.

    Accounts come locked until the end, in the order of their ids: two
    transactions over the same accounts take turns and do not deadlock.
    """

    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        """Return what is known about these events, the accounts locked."""

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        """Return the accounts under any of the keys, locked."""

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        """Stop the race between a payment and the registration of its owner.

        Who keeps an unlinked payment holds its keys; who registers an account
        or binds a customer holds them exclusively. Until the end of the
        transaction one waits for the other.
        """

    async def unlinked(self, keys: LinkKeys) -> Sequence[PaymentRecord]:
        """Return the payments that are nobody's and carry any of the keys."""

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        """Return all payments of these users."""

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        at: datetime,
    ) -> None:
        """Save new events, and what changed; each version grows by one.

        Raises:
            ChangedElsewhere: an event is there already, an account or payment was
                saved since it was read, or another account has the e-mail or the
                customer.
        """

    async def commit(self) -> None: ...


class OpenUnitOfWork(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]: ...


class AccountDirectory(Protocol):
    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        """Return an account as last committed, unlocked; by e-mail its key counts."""


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
