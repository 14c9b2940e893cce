"""Events in every API version, as the sandbox renders them, are read alike."""

import json
from collections.abc import Sequence

import attrs
import pytest

from payments_adapters.stripe import translate
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core.events import SyncNeeded
from payments_core.job_key import JobKey, JobKind
from payments_core.subscription import (
    PaidPeriod,
    SubscriptionReport,
)
from payments_sandbox.api_versions import NEWEST, render
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.state import Event
from support.sandbox import Api
from support.stripe_bodies import GENERATIONS, OWED_TYPES, SUB_1, SUBSCRIPTION_TYPES

World = tuple[Api, Sequence[Event]]


def in_version(api: Api, happened: Event, version: str, *, named: str = "") -> bytes:
    """Return an event as an endpoint of this version gets it, or one with this name."""
    world = api.engine.world
    whole = shown(world, happened)
    thing = render(world, happened.object, version, happened.links)
    data = {**whole["data"], "object": thing}
    return json.dumps({**whole, "api_version": named or version, "data": data}).encode()


def lived(api: Api) -> Sequence[Event]:
    """Take subscriptions through everything that we follow; return the events."""
    plain, dearer = api.price(900), api.price(1900)
    customer = api.customer(None)
    trial = api.subscribe(
        customer["id"],
        plain["id"],
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
        metadata={"user_id": "ada", "intent_id": "intent-1"},
    )
    api.advance("8 days")
    good = api.give_card(customer["id"], "pm_card_visa")
    api.post(f"subscriptions/{trial['id']}/resume")
    bad = api.give_card(customer["id"], "pm_card_chargeCustomerFail")
    for pays in (True, False):
        held = api.post(
            f"subscriptions/{trial['id']}",
            items=[{"id": trial["items"]["data"][0]["id"], "price": dearer["id"]}],
            payment_behavior="pending_if_incomplete",
            proration_behavior="always_invoice",
        )
        if pays:
            path = f"invoices/{held['latest_invoice']}/pay"
            api.post(path, payment_method=good)
            plain, dearer = dearer, plain
            api.advance("1 day")
            dearer = api.price(2900)
    api.advance("1 day")
    api.engine.set_card(bad, declines="lost_card")
    api.advance("2 months")
    api.subscribe(api.customer("pm_card_authenticationRequired")["id"], plain["id"])
    api.advance("1 day")
    return list(api.engine.world.events.values())


@pytest.fixture(scope="module")
def world() -> World:
    api = Api.begin()
    return api, lived(api)


def of_types(world: World, *types: str) -> list[Event]:
    return [event for event in world[1] if event.type in types]


@pytest.mark.parametrize("type_", SUBSCRIPTION_TYPES)
@pytest.mark.parametrize("version", GENERATIONS)
def test_a_subscription_says_the_same_in_every_generation(
    world: World, type_: str, version: str
) -> None:
    """
    Where the period is, and added or removed fields, do not change the report.
    """
    happened = of_types(world, type_)
    assert happened
    for event in happened:
        newest = translate(in_version(world[0], event, NEWEST)).report
        assert isinstance(newest, SubscriptionReport)
        assert newest.gateway_id == event.object["id"]

        as_ours = in_version(world[0], event, version, named=API_VERSION)
        assert translate(as_ours).report == newest

        found = translate(in_version(world[0], event, version)).report
        if newest.is_terminal or version == NEWEST:
            assert found == newest
        else:
            key = attrs.evolve(SUB_1, subject=newest.gateway_id)
            assert found == SyncNeeded(key, "another API version")


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_paid_invoice_says_the_same_in_every_generation(
    world: World, version: str
) -> None:
    """
    Its owner, what it covers, and that a proration covers nothing.
    """
    terms, owners = set(), set()
    for event in of_types(world, "invoice.paid"):
        newest = translate(in_version(world[0], event, NEWEST)).report
        as_ours = in_version(world[0], event, version, named=API_VERSION)
        assert translate(as_ours).report == newest
        terms.add(type(newest))
        found = translate(in_version(world[0], event, version)).report
        if version != NEWEST:
            assert isinstance(found, SyncNeeded)
            owners.add(found.job.kind)
    assert terms == {PaidPeriod, SyncNeeded}
    assert owners <= {JobKind.SUBSCRIPTION}


@pytest.mark.parametrize("type_", OWED_TYPES)
@pytest.mark.parametrize("version", GENERATIONS)
def test_an_owed_invoice_is_a_notice_in_every_generation(
    world: World, type_: str, version: str
) -> None:
    """
    The subscription is synced.
    """
    happened = of_types(world, type_)
    assert happened
    for event in happened:
        details = event.object["parent"]["subscription_details"]
        key = JobKey(JobKind.SUBSCRIPTION, details["subscription"])
        found = translate(in_version(world[0], event, version)).report
        assert found == SyncNeeded(key, type_)
