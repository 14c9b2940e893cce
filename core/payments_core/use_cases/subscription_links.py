"""Link a subscription to a user by hand: an administrator decides, with a reason."""

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
    """A subscription with its owner, and the latest decisions by hand on the owner."""

    subscription: Subscription
    changes: Sequence[LoggedChange]


@attrs.frozen
class LinkSubscription:
    """Link a subscription to a user, or unlink it: nothing else changes its owner.

    A subscription that is not stored, because its events are in conflict, is fetched; a
    sync job fetches what was paid for it. A stored subscription can be unlinked even if
    the gateway does not have it.
    """

    record: RecordFacts
    gateway: PaymentGateway
    log: AuditLog

    async def read(self, gateway_id: str, *, caller: Caller) -> SubscriptionLink:
        """Return a stored subscription.

        Raises:
            ScopeRequired: the caller is no administrator.
            SubscriptionNotFound: it is not stored.
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
        """Link the subscription and return it; the facts in `also` are saved with it.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is invalid.
            AccountNotFound: there is no such user.
            SubscriptionNotFound: it exists neither here nor at the gateway, or it is to
                be unlinked and is not stored.
            SubscriptionLinked: it is linked to another user, or would be if it was
                stored.
            GatewayUnavailable: it could not be fetched.
        """
        caller.require_admin()
        by_hand = ByHand.of(caller.user_id, reason)
        decided = await self._decided(gateway_id, user_id, by_hand)
        await self.record.one(SourcedFacts(facts=(decided, *also)))
        return await self.read(gateway_id, caller=caller)

    async def check(
        self, gateway_id: str, user_id: UserId | None, *, caller: Caller
    ) -> SubscriptionLink | None:
        """Check whether it can be linked; return it if it is stored, else fetch it.

        The same rules apply as when it is linked, and nothing is saved.

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
        # A load's number is greater than all before, so the fetched report is newer.
        sequence = (await self.record.snapshot(Lookup())).sequence
        try:
            found = await self.gateway.subscription(gateway_id)
        except GatewayObjectMissing:
            raise SubscriptionNotFound from None
        return SubscriptionObserved(report=found.report, at=found.at, sequence=sequence)
