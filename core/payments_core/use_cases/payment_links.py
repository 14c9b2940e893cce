"""Link a payment to a user by hand: an administrator decides, with a reason."""

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
    """A payment with its owner, and the latest decisions by hand about the owner."""

    record: PaymentRecord
    changes: Sequence[LoggedChange]


@attrs.frozen
class ReadPaymentLink:
    payments: PaymentDirectory
    log: AuditLog

    async def __call__(self, id_: PaymentId, *, caller: Caller) -> PaymentLink:
        """Return a stored payment.

        Raises:
            ScopeRequired: the caller is no administrator.
            PaymentNotFound: it is not stored.
        """
        caller.require_admin()
        record = await self.payments.find(id_)
        if record is None:
            raise PaymentNotFound
        changes = (await self.log.page(subject=id_)).changes
        return PaymentLink(record, changes[::-1])


@attrs.frozen
class LinkPayment:
    """Link a payment to a user, or unlink it: nothing else changes its owner then.

    A payment is fetched if it is not stored, because its events are in conflict, or if
    it is not known what it paid. A stored payment can be unlinked even if the gateway
    does not have it.
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
        """Link the payment and return it; the facts in `also` are saved with it.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is invalid.
            AccountNotFound: there is no such user.
            PaymentNotFound: it exists neither here nor at the gateway.
            PaymentLinked: it is linked to another user, or would be if it was stored.
            PaymentOfSubscription: it paid for a subscription of another user, or it is
                to be unlinked from the user of the subscription that it paid for.
            GatewayUnavailable: it could not be fetched.
        """
        caller.require_admin()
        by_hand = ByHand.of(caller.user_id, reason)
        decided = await self._decided(id_, user_id, by_hand)
        await self.record.one(SourcedFacts(facts=(decided, *also)))
        return await self.read(id_, caller=caller)

    async def check(
        self, id_: PaymentId, user_id: UserId | None, *, caller: Caller
    ) -> PaymentLink | None:
        """Check whether it can be linked; return it if it is stored, else fetch it.

        The same rules apply as when it is linked, and nothing is saved.

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
    """Say whether a stored payment must be fetched to know what it paid.

    Also before a subscription's payment is unlinked: it may be invented.
    """
    is_taken_away = user_id is None and payment.subscription_id is not None
    return is_taken_away or not payment.invoice_known
