"""What must be synced because of an object that a thin event names."""

import json
from typing import Any

import pytest

from contracts.examples import CH_1
from payments_adapters.stripe import translate
from payments_core.errors import GatewayObjectMissing
from payments_core.events import EventState, ObjectChanged
from payments_core.job_key import JobKey, JobKind
from payments_sandbox.thin_events import thin
from support.deployment import ADA, Deployment
from support.operations import GOOD, start

pytestmark = pytest.mark.anyio


async def jobs_of(deployment: Deployment, kind: Any, id_: str) -> list[JobKey]:
    return list(await deployment.gateway.jobs_of(ObjectChanged(kind, id_)))


async def test_an_object_names_what_it_is_about() -> None:
    """
    An invoice its subscription, a refund and a dispute their charge, a card its
    customer.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        world, api = deployment.engine.world, deployment.api
        [charge], [invoice] = world.all("charge"), world.all("invoice")
        [subscription] = world.all("subscription")
        refund = api.post("refunds", charge=charge["id"], amount=100)
        payment = [JobKey(JobKind.PAYMENT, charge["id"])]

        assert await jobs_of(deployment, "invoice", invoice["id"]) == [
            JobKey(JobKind.SUBSCRIPTION, subscription["id"])
        ]
        assert await jobs_of(deployment, "refund", refund["id"]) == payment
        assert await jobs_of(deployment, "card", charge["payment_method"]) == [
            JobKey(JobKind.CUSTOMER, charge["customer"])
        ]


async def test_what_is_not_about_ours_asks_for_nothing() -> None:
    """
    A card without a customer, a set-up that we did not begin.
    """
    async with Deployment.opened() as deployment:
        api = deployment.api
        customer = api.post("customers")["id"]
        set_up = api.post("setup_intents", customer=customer)
        card = api.give_card(customer, GOOD)
        api.post(f"payment_methods/{card}/detach")

        for kind, id_ in (
            ("set_up", set_up["id"]),
            ("card", card),
        ):
            assert await jobs_of(deployment, kind, id_) == []


@pytest.mark.parametrize("kind", ["invoice", "refund", "dispute", "card", "set_up"])
async def test_what_is_not_there_is_missing(kind: Any) -> None:
    """
    The event that named it is then quarantined.
    """
    async with Deployment.opened() as deployment:
        with pytest.raises(GatewayObjectMissing):
            await jobs_of(deployment, kind, f"xx_{CH_1}")


async def test_a_thin_event_is_applied_when_its_object_was_synced() -> None:
    """
    First the job that reads the object, then the sync that it requests.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        events = list(deployment.engine.world.events.values())
        bodies = [json.dumps(thin(it)).encode() for it in events]
        await deployment.apply([translate(body) for body in bodies])
        await deployment.work()

        states = {
            key.type: row.outcome.state
            for key, row in deployment.database.tables.events.items()
        }
        assert states["v1.invoice.paid"] is EventState.APPLIED
        assert states["v1.charge.succeeded"] is EventState.APPLIED
        assert states["v1.product.created"] is EventState.IGNORED
        assert set(states.values()) == {EventState.APPLIED, EventState.IGNORED}
        account = await deployment.account(ADA)
        assert account.payment_status.value == "paid"
