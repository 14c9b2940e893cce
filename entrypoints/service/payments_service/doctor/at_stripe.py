"""Checks at Stripe: the key's permissions, clock, endpoints, missing events."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs

from payments_adapters.postgres.event_log import PostgresEventLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.endpoint import FoundEndpoints
from payments_adapters.stripe.rights import RIGHTS, Right
from payments_core.errors import GatewayMisconfigured, GatewayUnavailable
from payments_core.event_list import EventQuery
from payments_core.ports import Clock
from payments_core.use_cases.back_fill_events import PAGE_EVENTS
from payments_service.doctor.checks import Check, CheckResult, CheckResults, ok, wrong
from payments_service.doctor.endpoints import ENDPOINTS, EndpointReview
from payments_service.doctor.stored import LATE, age, check_skew
from payments_service.endpoint_roles import address_of, is_ours

KEY: Final = "key"
STRIPE: Final = "stripe"
# Of Stripe's 25 calls a second, because the service continues meanwhile.
_AT_ONCE: Final = 4
# An event that back-fill finds is older than one of its turns.
ARRIVED_BY: Final = LATE
_LOOKED_BACK: Final = timedelta(days=3)
_NAMED_MAX: Final = 3
_REACH: Final = (
    "find out why this machine cannot reach Stripe (egress rules, DNS, certificates): "
    '`curl -sS "${PAYMENTS_STRIPE_API_BASE:-https://api.stripe.com}"`; and check '
    "https://status.stripe.com"
)
_SET_KEY: Final = "set PAYMENTS_STRIPE_API_KEY to a valid key"


@attrs.frozen(kw_only=True)
class AtStripe:
    """`clock` is compared with Stripe's time: in development the sandbox's."""

    admin: StripeAdmin
    clock: Clock
    store: PostgresStore | None
    secrets: Sequence[str]
    livemode: bool
    url: str | None

    def checks(self) -> Sequence[Check]:
        return [
            Check(KEY, self._key),
            Check(ENDPOINTS, self._endpoints),
            Check("deliveries", self._deliveries),
        ]

    async def _key(self) -> CheckResults:
        """Check the permissions of the key, and Stripe's clock by its answers."""
        few = asyncio.Semaphore(_AT_ONCE)

        async def prove(right: Right) -> CheckResult | None:
            async with few:
                began = self.clock()
                try:
                    theirs = await self.admin.prove(right)
                except GatewayMisconfigured as error:
                    if not error.permission:
                        raise
                    return wrong(
                        KEY,
                        f"no permission to read {right.resource}: {right.why}",
                        f'give it the permission "{right.resource}": {right.level}',
                    )
                # Stripe's time has whole seconds.
                middle = began + (self.clock() - began) / 2
                skew = check_skew("clock", "Stripe", theirs, middle)
                clocks.append(skew)
                return None

        clocks = list[CheckResult]()
        rights = [it for it in RIGHTS if not it.of_setup]
        try:
            proven = await asyncio.gather(*map(prove, rights))
        except GatewayMisconfigured:
            return [wrong(KEY, "Stripe refuses the key", _SET_KEY)]
        except GatewayUnavailable as error:
            return [wrong(STRIPE, str(error), _REACH)]
        lacks = [it for it in proven if it is not None]
        writes = ", ".join(it.resource for it in rights if it.writes)
        may = ok(
            KEY,
            f"it can read all {len(rights)} lists; the permissions to write "
            f"({writes}) cannot be checked without writing",
        )
        return [*(lacks or [may]), *clocks[:1]]

    async def _endpoints(self) -> CheckResults:
        try:
            every = await self.admin.endpoints()
        except GatewayMisconfigured as error:
            if not error.permission:
                raise
            return [self._unseen("the key has no permission to read them")]
        found = self._looked_at(every)
        review = EndpointReview(
            endpoints=found.it,
            others=[it for it in every.it if is_ours(it) and it not in found.it],
            secrets=self.secrets,
            livemode=self.livemode,
            at=found.at,
            url=self.url,
        )
        if found.thin_refused is None:
            return review.results()
        unseen = "event destinations cannot be read: thin events are not checked"
        return [*review.results(), self._unseen(unseen)]

    def _unseen(self, text: str) -> CheckResult:
        [right] = [it for it in RIGHTS if it.of_setup]
        return attrs.evolve(
            Check(ENDPOINTS, self._endpoints).unknown(text),
            remedy=f'give the key the permission "{right.resource}": read',
        )

    async def _ours(self) -> FoundEndpoints:
        return self._looked_at(await self.admin.endpoints())

    def _looked_at(self, found: FoundEndpoints) -> FoundEndpoints:
        ours = [
            it
            for it in found.it
            if (
                address_of(it.url) == address_of(self.url)
                if self.url is not None
                else is_ours(it)
            )
        ]
        return attrs.evolve(found, it=ours)

    async def _deliveries(self) -> CheckResults:
        """Check whether recent events have arrived."""
        if self.store is None:
            return [Check("deliveries", self._deliveries).unknown("no database is set")]
        now, ours = self.clock(), (await self._ours()).it
        if not ours:
            return [ok("deliveries", "no endpoint sends to this service")]
        # Events from before the endpoint were not sent here.
        since = max(now - _LOOKED_BACK, min(it.made_at for it in ours))
        until = now - ARRIVED_BY
        if since >= until:
            return [ok("deliveries", "the endpoint is too new to check")]
        query = EventQuery(since=since, until=until, limit=PAGE_EVENTS)
        page = await self.admin.events(query)
        # Only types that back-fill would store.
        due = [it for it in page.events if it.report is not None]
        ids = frozenset(it.id for it in due)
        known = await PostgresEventLog(self.store).known(ids) if ids else frozenset()
        lost = [it for it in due if it.id not in known]
        if not due:
            return [ok("deliveries", "no recent event was expected")]
        if not lost:
            text = f"all {len(due)} of the latest expected events have arrived"
            return [ok("deliveries", text)]
        named = ", ".join(it.id for it in lost[-_NAMED_MAX:])
        first = min(it.created_at for it in lost)
        return [
            wrong(
                "deliveries",
                f"{len(lost)} of the latest {len(due)} expected events have not "
                f"arrived, the oldest for {age(page.at, first)}: {named}",
                "check that Stripe reaches the endpoint and gets a 200 (the metric "
                "payments_webhooks_refused_total shows why it does not); `payments "
                "worker` back-fills missing events; to do it at once: "
                f"`payments webhook recover --since {first:%Y-%m-%dT%H:%M:%SZ}`",
            )
        ]
