"""What happens to a user, told as support tells it: over the sandbox, all in memory."""

from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from payments_adapters.memory import MemoryAccountHistory
from payments_core.caller import READ_SCOPE
from payments_core.entitlement import Standing
from payments_core.explanation import Explanation
from payments_core.identity import UserId
from payments_core.use_cases import Change, ExplainUser, Order
from support.deployment import ADA, Deployment, admin, caller_of

A_DAY: Final = timedelta(days=1)
A_MONTH: Final = timedelta(days=32)


@attrs.frozen
class Story:
    """Ada, what she does, and what the bank and Stripe do."""

    deployment: Deployment

    @property
    def explain(self) -> ExplainUser:
        it = self.deployment
        return ExplainUser(
            it.reach,
            MemoryAccountHistory(it.database),
            it.clock,
            it.policy,
            it.declines,
        )

    async def explained(self) -> Explanation:
        return await self.explain(ADA, caller=admin())

    async def explained_to_herself(self) -> Explanation:
        return await self.explain(ADA, caller=caller_of(ADA))

    async def explained_to_a_reader(self) -> Explanation:
        reader = caller_of(UserId("support"), scopes=[READ_SCOPE])
        return await self.explain(ADA, caller=reader)

    async def answer(self) -> tuple[datetime, Standing]:
        """Return the API's current answer, and its time."""
        it = self.deployment
        account, now = await it.account(), it.clock.now
        return now, account.standing(now=now, policy=it.policy)

    async def known_at(self, at: datetime) -> Standing:
        past = await self.explain.at(ADA, at, caller=admin())
        return past.logged.standing(at)

    @property
    def customer(self) -> str:
        return self.deployment.customers_of(ADA)[0]

    @property
    def subscription(self) -> Any:
        return self.deployment.subscriptions_of(ADA)[-1]

    @property
    def charge(self) -> str:
        return str(self.deployment.engine.world.all("charge")[-1]["id"])

    @property
    def api(self) -> Any:
        return self.deployment.api

    async def card(self, name: str = "pm_card_visa") -> None:
        caller = caller_of(ADA)
        await self.deployment.update_card(ADA, name, caller=caller, key=None)
        await self.deployment.hear()

    async def start(self, **order: Any) -> None:
        wanted = Order(**{"price": self.deployment.basic, **order})
        await self.deployment.start(ADA, wanted, caller=admin(), key=None)
        await self.deployment.hear()

    async def subscribe(self, card: str = "pm_card_visa", **order: Any) -> None:
        await self.card(card)
        await self.start(**order)

    async def cancel(self, *, at_period_end: bool) -> None:
        [*_, newest] = (await self.deployment.account()).subscriptions
        await self.deployment.end(
            ADA,
            newest.id,
            at_period_end=at_period_end,
            caller=caller_of(ADA),
            key=None,
        )
        await self.deployment.hear()

    async def upgrade(self) -> None:
        [*_, newest] = (await self.deployment.account()).subscriptions
        change = Change(price=self.deployment.pro)
        await self.deployment.change(ADA, newest.id, change, caller=admin(), key=None)
        await self.deployment.hear()

    async def later(self, by: timedelta) -> None:
        """Advance time, a few days at a time, and deliver the events."""
        while by > timedelta(0):
            step = min(by, timedelta(days=3))
            await self.deployment.advance(step)
            await self.deployment.hear()
            by -= step

    async def decline(self) -> None:
        """Make the bank decline her card from now on."""
        card = (await self.deployment.account()).card
        assert card is not None
        self.deployment.decline(card.id)

    async def buy(self, **more: Any) -> None:
        """Make a payment outside of any subscription."""
        settings = self.api.get(f"customers/{self.customer}")["invoice_settings"]
        card = settings["default_payment_method"]
        await self.buy_as(self.customer, card, **more)

    async def buy_as(self, customer: str, card: str, **more: Any) -> None:
        self.api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            customer=customer,
            payment_method=card,
            confirm=True,
            off_session=True,
            **more,
        )
        await self.deployment.hear()

    async def refund(self, **more: Any) -> None:
        self.api.post("refunds", charge=self.charge, **more)
        await self.deployment.hear()

    async def settle_dispute(self, evidence: str) -> None:
        [disputed] = self.api.get("disputes", charge=self.charge)["data"]
        self.api.post(
            f"disputes/{disputed['id']}",
            evidence={"uncategorized_text": evidence},
            submit=True,
        )
        await self.deployment.hear()
