"""Write an intent down before anything is asked of the gateway."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.errors import (
    AccountNotFound,
    ChangedElsewhere,
    IdempotencyKeyReused,
    OperationInProgress,
)
from payments_core.identity import UserId
from payments_core.intent import (
    LEASE,
    NOTHING_WANTED,
    Intent,
    IntentId,
    IntentKind,
    Wanted,
)
from payments_core.ports import Clock, LinkKeys, NewId, OpenUnitOfWork, UnitOfWork

RETRIES_MAX: Final = 5


def _no_rule(_: PaymentAccount) -> None:
    """Forbid nothing."""


@attrs.frozen(kw_only=True)
class Asking:
    """An operation that somebody asks for.

    `key` is whose it is and the idempotency key, as one text; None without one.
    `about` is what the path of the request names, and `asked` what was asked for in so
    many words, where `wanted` says more: both are for the fingerprint. `subject` is
    what only one operation of the kind may be open on.
    """

    user_id: UserId
    kind: IntentKind
    wanted: Wanted = NOTHING_WANTED
    about: str = ""
    asked: Wanted | None = None
    subject: str = ""
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        return (self.asked or self.wanted).fingerprint(self.kind, self.about)

    @property
    def key_digest(self) -> str | None:
        # A digest: keys come from outside, of any length and look.
        return self.key and hashlib.sha256(self.key.encode()).hexdigest()


@attrs.frozen
class Begun:
    """An intent that is to be run by whoever asked, or one that ended before."""

    intent: Intent
    replayed: bool = False


@attrs.frozen
class BeginIntent:
    open_unit_of_work: OpenUnitOfWork
    clock: Clock
    new_id: NewId

    async def known(self, asking: Asking) -> Begun | None:
        """Return what the idempotency key names already; None if nothing yet.

        Raises:
            IdempotencyKeyReused: it came with another request.
            OperationInProgress: it is being run by somebody else.
        """
        if asking.key is None:
            return None
        async with self.open_unit_of_work() as work:
            begun = await self._known(work, asking)
            await work.commit()
        return begun

    async def __call__(
        self, asking: Asking, rule: Callable[[PaymentAccount], None] = _no_rule
    ) -> Begun:
        """Return the intent of what is asked, committed and leased to the caller.

        `rule` raises what the account forbids; it is asked with the account locked.

        Raises:
            AccountNotFound: there is no such user.
            IdempotencyKeyReused: the key came with another request.
            OperationInProgress: the key, or the user, kind and subject, are busy.
            ChangedElsewhere: others begin the same all the time; do it again.
        """
        for _ in range(RETRIES_MAX):
            try:
                return await self._once(asking, rule)
            except ChangedElsewhere:
                continue
        return await self._once(asking, rule)

    async def _once(
        self, asking: Asking, rule: Callable[[PaymentAccount], None]
    ) -> Begun:
        async with self.open_unit_of_work() as work:
            found = await work.accounts(LinkKeys(frozenset({asking.user_id})))
            if not found:
                raise AccountNotFound
            begun = await self._known(work, asking) or await self._open(work, asking)
            if begun is None:
                rule(found[0])
                begun = Begun(await self._lease(work, self._new(asking)))
            await work.commit()
        return begun

    async def _known(self, work: UnitOfWork, asking: Asking) -> Begun | None:
        key = asking.key_digest
        intent = await work.intent_under(key) if key else None
        if intent is None:
            return None
        if intent.fingerprint != asking.fingerprint:
            raise IdempotencyKeyReused
        if not intent.open:
            return Begun(intent, replayed=True)
        return await self._taken_up(work, intent)

    async def _open(self, work: UnitOfWork, asking: Asking) -> Begun | None:
        intent = await work.open_intent(asking.user_id, asking.kind, asking.subject)
        if intent is None:
            return None
        # Whoever asks for the very same, with no key to tell the two apart, means it.
        if asking.key is None and intent.fingerprint == asking.fingerprint:
            return await self._taken_up(work, intent)
        raise OperationInProgress(intent.id)

    async def _taken_up(self, work: UnitOfWork, intent: Intent) -> Begun:
        """Go on in the place of whoever began it, if they are gone."""
        if intent.due_at > self.clock():
            raise OperationInProgress(intent.id)
        return Begun(await self._lease(work, intent))

    async def _lease(self, work: UnitOfWork, intent: Intent) -> Intent:
        now = self.clock()
        leased = intent.taken(now)
        await work.save_intent(leased, at=now)
        return attrs.evolve(leased, version=leased.version + 1)

    def _new(self, asking: Asking) -> Intent:
        now: datetime = self.clock()
        return Intent(
            id=IntentId(self.new_id()),
            user_id=asking.user_id,
            kind=asking.kind,
            subject=asking.subject,
            wanted=asking.wanted,
            key=asking.key_digest,
            fingerprint=asking.fingerprint,
            due_at=now + LEASE,
            created_at=now,
        )
