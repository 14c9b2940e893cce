"""Whose a subscription is, by hand: an administrator decides, with a reason."""

from collections.abc import Sequence

import attrs

from payments_core.by_hand import ByHand, LoggedChange
from payments_core.caller import Caller
from payments_core.changes import Lookup
from payments_core.errors import (
    GatewayObjectMissing,
    SubscriptionNotFound,
)
from payments_core.facts import (
    Fact,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
)
from payments_core.identity import UserId
from payments_core.ports import AuditLog, PaymentGateway
from payments_core.subscription import Subscription
from payments_core.use_cases.record_facts import RecordFacts


@attrs.frozen
class SubscriptionLink:
    """A subscription, whose it is, and the last that was decided of that by hand."""

    subscription: Subscription
    changes: Sequence[LoggedChange]


@attrs.frozen
class LinkSubscription:
    """Link a subscription to a user, or to nobody: nothing else does then.

    One that we have not kept, as its events are in conflict, is fetched. What was paid
    for it, a sync asks for. One that we have kept is unlinked also where the gateway
    has it not.
    """

    record: RecordFacts
    gateway: PaymentGateway
    log: AuditLog

    async def read(self, gateway_id: str, *, caller: Caller) -> SubscriptionLink:
        """Return a subscription that we have kept.

        Raises:
            ScopeRequired: the caller is no administrator.
            SubscriptionNotFound: it is not known.
        """
        caller.require_admin()
        found = await self._find(gateway_id)
        if found is None:
            raise SubscriptionNotFound
        changes = (await self.log.page(subject=gateway_id)).changes
        return SubscriptionLink(found, changes[::-1])

    async def __call__(
        self,
        gateway_id: str,
        user_id: UserId | None,
        reason: str,
        *,
        also: Sequence[Fact] = (),
        caller: Caller,
    ) -> SubscriptionLink:
        """Return it as it is linked then; what is `also` a fact is saved, too.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is none.
            AccountNotFound: there is no such user.
            SubscriptionNotFound: neither we nor the gateway know it; or it is to be
                unlinked, and we do not know it.
            SubscriptionLinked: it is linked to another user, or would be if it was
                kept.
            GatewayUnavailable: it could not be asked.
        """
        caller.require_admin()
        by_hand = ByHand.of(caller.user_id, reason)
        decided = await self._decided(gateway_id, user_id, by_hand)
        await self.record.one(SourcedFacts(facts=(decided, *also)))
        return await self.read(gateway_id, caller=caller)

    async def check(
        self, gateway_id: str, user_id: UserId | None, *, caller: Caller
    ) -> SubscriptionLink | None:
        """Return it if we have kept it; of another one the gateway is asked.

        It is decided as when it is linked, and nothing is saved.

        Raises:
            ScopeRequired, AccountNotFound, SubscriptionNotFound, SubscriptionLinked,
                GatewayUnavailable: as when it is linked.
        """
        caller.require_admin()
        by_hand = ByHand.maybe(caller.user_id, None)
        decided = await self._decided(gateway_id, user_id, by_hand)
        await self.record.check(SourcedFacts(facts=(decided,)))
        try:
            return await self.read(gateway_id, caller=caller)
        except SubscriptionNotFound:
            return None

    async def _decided(
        self, gateway_id: str, user_id: UserId | None, by_hand: ByHand
    ) -> SubscriptionLinkDecided:
        decided = SubscriptionLinkDecided(
            gateway_id=gateway_id, user_id=user_id, by_hand=by_hand
        )
        if await self._find(gateway_id) is not None:
            return decided
        if user_id is None:
            raise SubscriptionNotFound
        observed = await self._fetched(gateway_id)
        return attrs.evolve(decided, observed=observed)

    async def _find(self, gateway_id: str) -> Subscription | None:
        lookup = Lookup(subscriptions=frozenset({gateway_id}))
        found = (await self.record.snapshot(lookup)).subscriptions
        return found[0] if found else None

    async def _fetched(self, gateway_id: str) -> SubscriptionObserved:
        # The number of a load is greater than all before: what is fetched is newer.
        sequence = (await self.record.snapshot(Lookup())).sequence
        try:
            found = await self.gateway.subscription(gateway_id)
        except GatewayObjectMissing:
            raise SubscriptionNotFound from None
        return SubscriptionObserved(report=found.report, at=found.at, sequence=sequence)
