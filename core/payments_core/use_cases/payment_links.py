"""Whose a payment is, by hand: an administrator decides, with a reason."""

from collections.abc import Sequence

import attrs

from payments_core.by_hand import ByHand, LoggedChange
from payments_core.caller import Caller
from payments_core.errors import (
    GatewayObjectMissing,
    PaymentNotFound,
)
from payments_core.facts import Fact, LinkDecided, SourcedFacts
from payments_core.gateway import FetchedPayment
from payments_core.identity import UserId
from payments_core.payment import Payment, PaymentId, PaymentRecord
from payments_core.ports import AuditLog, PaymentDirectory, PaymentGateway
from payments_core.use_cases.record_facts import RecordFacts


@attrs.frozen
class PaymentLink:
    """A payment, whose it is, and the last that was decided of that by hand."""

    record: PaymentRecord
    changes: Sequence[LoggedChange]


@attrs.frozen
class ReadPaymentLink:
    payments: PaymentDirectory
    log: AuditLog

    async def __call__(self, id_: PaymentId, *, caller: Caller) -> PaymentLink:
        """Return a payment that we have kept.

        Raises:
            ScopeRequired: the caller is no administrator.
            PaymentNotFound: it is not known.
        """
        caller.require_admin()
        record = await self.payments.find(id_)
        if record is None:
            raise PaymentNotFound
        changes = (await self.log.page(subject=id_)).changes
        return PaymentLink(record, changes[::-1])


@attrs.frozen
class LinkPayment:
    """Link a payment to a user, or to nobody: nothing else does then.

    One that we have not kept, as its events are in conflict, is fetched, and so is one
    of which it is not known what it paid. One that we have kept is unlinked also where
    the gateway has it not.
    """

    record: RecordFacts
    gateway: PaymentGateway
    read: ReadPaymentLink

    async def __call__(
        self,
        id_: PaymentId,
        user_id: UserId | None,
        reason: str,
        *,
        also: Sequence[Fact] = (),
        caller: Caller,
    ) -> PaymentLink:
        """Return the payment as it is linked then; what is `also` a fact is saved, too.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is none.
            AccountNotFound: there is no such user.
            PaymentNotFound: neither we nor the gateway know the payment.
            PaymentLinked: it is linked to another user, or would be if it was kept.
            PaymentOfSubscription: it paid for a subscription of another user; or it
                is to be taken from whose subscription it paid for.
            GatewayUnavailable: it could not be asked.
        """
        caller.require_admin()
        by_hand = ByHand.of(caller.user_id, reason)
        decided = await self._decided(id_, user_id, by_hand)
        await self.record.one(SourcedFacts(facts=(decided, *also)))
        return await self.read(id_, caller=caller)

    async def check(
        self, id_: PaymentId, user_id: UserId | None, *, caller: Caller
    ) -> PaymentLink | None:
        """Return the payment if we have kept it; of another one the gateway is asked.

        It is decided as when it is linked, and nothing is saved.

        Raises:
            ScopeRequired, AccountNotFound, PaymentNotFound, PaymentLinked,
                PaymentOfSubscription, GatewayUnavailable: as when it is linked.
        """
        caller.require_admin()
        by_hand = ByHand.maybe(caller.user_id, None)
        decided = await self._decided(id_, user_id, by_hand)
        await self.record.check(SourcedFacts(facts=(decided,)))
        try:
            return await self.read(id_, caller=caller)
        except PaymentNotFound:
            return None

    async def _decided(
        self, id_: PaymentId, user_id: UserId | None, by_hand: ByHand
    ) -> LinkDecided:
        decided = LinkDecided(payment_id=id_, user_id=user_id, by_hand=by_hand)
        record = await self.read.payments.find(id_)
        if record is None and user_id is None:
            raise PaymentNotFound
        if record is None or _is_asked(record.payment, user_id):
            return await self._fetched(decided)
        return decided

    async def _fetched(self, decided: LinkDecided) -> LinkDecided:
        try:
            found = await self._asked(decided.payment_id)
        except PaymentNotFound:
            if decided.user_id is not None:
                raise
            return attrs.evolve(decided, missing=True)
        return attrs.evolve(decided, fetched=found.payment, at=found.at)

    async def _asked(self, id_: PaymentId) -> FetchedPayment:
        try:
            return await self.gateway.payment(id_)
        except GatewayObjectMissing:
            raise PaymentNotFound from None


def _is_asked(payment: Payment, user_id: UserId | None) -> bool:
    """Say whether the gateway is asked what a payment paid that is kept.

    Before one of a subscription's is taken away, too: it may be invented.
    """
    is_taken_away = user_id is None and payment.subscription_id is not None
    return is_taken_away or not payment.invoice_known
