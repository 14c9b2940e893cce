"""Results of a comparison with a bug, and with objects deleted during it."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from typing_extensions import override

from contracts.faults import unheard_of
from payments_adapters.stripe.object_lists import StripeLists
from payments_core.drift import DriftKind
from payments_core.errors import GatewayObjectMissing
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs import DriftCause, RunSweep
from payments_core.object_lists import ObjectList, ObjectPage
from payments_core.sweep import Suspect
from support.deployment import ADA
from support.reconciling import Story, no_wait, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


@attrs.frozen
class _Poisoned:
    """A gateway whose subscriptions cannot be decided on, as if by a bug."""

    inner: Any

    async def subscription(self, gateway_id: str) -> Any:
        found = await self.inner.subscription(gateway_id)
        return attrs.evolve(found, report=unheard_of(found.report))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_p35_what_a_bug_does_not_let_be_decided_is_no_agreement(
    story: Story,
) -> None:
    """
    It is reported as a bug of ours: whether it differs is not known.
    """
    story.api.delete(story.subscription)
    await story.deployment.hear([], apply_only=True)
    gateway: Any = _Poisoned(story.deployment.gateway)
    heard = list[str]()
    record = attrs.evolve(story.reconcile.record, on_bug=lambda it, _: heard.append(it))
    reconcile = attrs.evolve(story.reconcile, gateway=gateway, record=record)
    run = RunSweep(reconcile, sleep=no_wait)

    [found] = await run.user(ADA, repairs=True)

    assert (found.drift.kind, found.cause) == (
        DriftKind.UNREADABLE,
        DriftCause.OWN_BUG,
    )
    assert not found.repaired
    assert heard == [found.drift.subject]


@pytest.mark.parametrize("kind", [JobKind.SUBSCRIPTION, JobKind.PAYMENT])
async def test_what_was_listed_and_is_gone_meanwhile_is_not_missing(
    story: Story, kind: JobKind
) -> None:
    """
    A list had it a moment ago. What is in no list, and not at the gateway, is missing.
    """
    is_payment = kind is JobKind.PAYMENT
    id_ = story.invent_payment() if is_payment else story.invent_subscription()
    unlisted = Suspect(subject=id_, job=JobKey(kind, id_))
    listed = attrs.evolve(unlisted, since=story.deployment.clock.now)

    assert await story.reconcile.compare(listed, repairs=False) == []
    [found] = await story.reconcile.compare(unlisted, repairs=False)
    assert found.drift.kind is (
        DriftKind.PAYMENT_MISSING if is_payment else DriftKind.SUBSCRIPTION_MISSING
    )


class _GoneHalfWay(StripeLists):
    """Lists of a customer that is deleted before its payments are read."""

    @override
    async def page(self, list_: ObjectList, *args: Any, **kwargs: Any) -> ObjectPage:
        if list_ is ObjectList.PAYMENTS:
            raise GatewayObjectMissing("customer")
        return await super().page(list_, *args, **kwargs)


async def test_of_a_customer_that_is_gone_half_way_all_is_suspected(
    story: Story,
) -> None:
    """
    Also what was listed before: it ended with the customer, or is unchanged.
    """
    api = story.deployment.engine.api
    lists = _GoneHalfWay(api.api_key, base="http://sandbox.test", livemode=False)
    async with lists.opened(story.deployment.line):
        reconcile = attrs.evolve(story.reconcile, lists=lists)
        found = await reconcile.suspects_of(ADA)

    subscription = story.subscription.removeprefix("subscriptions/")
    assert {it.subject for it in found} == {story.customer, subscription, story.paid}
