"""A sweep's steps, retried if the gateway is busy, and not for ever."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import attrs
import pytest
from typing_extensions import override

from payments_adapters.stripe.object_lists import StripeLists
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.jobs import RunSweep
from payments_core.jobs.drift_cause import SETTLES_WITHIN
from payments_core.jobs.run_sweep import COMPARED_FOR, SETTLE_S
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.sweep import SweepPlace, SweepRange
from payments_core.use_cases.patience import TRIES_MAX, UNANSWERED_MAX
from support.deployment import BEGINNING, Break, Fuse
from support.reconciling import A_MOMENT, Story, no_wait, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


async def test_a_gateway_that_is_busy_is_asked_again(story: Story) -> None:
    """
    The same step, after longer and longer waits, up to a limit.
    """
    story.api.delete(story.subscription)
    await story.deployment.hear([], apply_only=True)
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    lists = _Busy(story.lists, TRIES_MAX - 1)
    told_of = list[float]()
    run = RunSweep(
        attrs.evolve(story.reconcile, lists=lists),
        sleep=sleep,
        on_wait=lambda _, wait_s: told_of.append(wait_s),
    )
    story.deployment.clock.advance(A_MOMENT)
    found = [step async for step in run(run.range_now(), SweepPlace(), repairs=False)]
    assert sum(len(it.findings) for it in found) == 2
    assert told_of == sorted(told_of)
    assert len(told_of) == TRIES_MAX - 1
    # And once for the differences to settle.
    assert [it for it in waits if it != SETTLE_S] == told_of
    assert waits.count(SETTLE_S) == 1

    lists.times = TRIES_MAX
    with pytest.raises(GatewayNotAttempted):
        await anext(run(run.range_now(), SweepPlace(), repairs=False))


@attrs.define
class _Busy:
    """Refuses the first pages."""

    lists: StripeLists
    times: int
    error: PaymentsError = attrs.field(factory=lambda: GatewayNotAttempted("busy"))

    async def page(self, *args: Any, **kwargs: Any) -> ObjectPage:
        if self.times:
            self.times -= 1
            raise self.error
        page: ObjectPage = await self.lists.page(*args, **kwargs)
        return page


@pytest.mark.parametrize("error", [GatewayMisconfigured(), StoreUnavailable()])
async def test_what_no_repetition_mends_ends_it_at_once(
    story: Story, error: PaymentsError
) -> None:
    """
    A refused key, and a database that does not answer: there is no wait for them here.
    """
    lists = _Busy(story.lists, 1, error)
    run = RunSweep(attrs.evolve(story.reconcile, lists=lists), sleep=no_wait)
    with pytest.raises(type(error)):
        await anext(run(run.range_now(), SweepPlace(), repairs=False))
    assert lists.times == 0


async def test_what_was_just_made_is_left_out(story: Story) -> None:
    """
    Of customers, subscriptions and disputes all are compared, of the rest what is not
    too old.
    """
    run, now = RunSweep(story.reconcile), story.deployment.clock.now
    until = now - SETTLES_WITHIN

    assert run.range_now() == SweepRange(since=now - COMPARED_FOR, until=until)
    range_ = run.range_now(BEGINNING - timedelta(days=400))
    for list_ in ObjectList:
        is_whole = list_ in {
            ObjectList.CUSTOMERS,
            ObjectList.SUBSCRIPTIONS,
            ObjectList.DISPUTES,
        }
        since = None if is_whole else BEGINNING - timedelta(days=400)
        assert range_.of(SweepPlace(list_=list_)) == CreatedBetween(
            start=since, end=until
        )


@attrs.define
class _Silent:
    """A gateway that does not answer the first reads of a subscription."""

    inner: Any
    times: int
    error: PaymentsError = attrs.field(factory=lambda: GatewayOutcomeUnknown("nothing"))

    async def subscription(self, gateway_id: str) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return await self.inner.subscription(gateway_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    ("times", "kinds"),
    [
        (UNANSWERED_MAX - 1, {"subscription_status", "subscription_end"}),
        # The subscription is reported, and the payment is found all the same.
        (UNANSWERED_MAX * 99, {"unreadable"}),
    ],
)
async def test_a_call_that_is_not_answered_is_made_again(
    story: Story, times: int, kinds: set[str]
) -> None:
    """
    Up to a limit: one thing does not stop the others.
    """
    story.api.delete(story.subscription)
    story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)
    gateway: Any = _Silent(story.deployment.gateway, times)
    run = RunSweep(attrs.evolve(story.reconcile, gateway=gateway), sleep=no_wait)
    found = [
        finding
        async for step in run(run.range_now(BEGINNING), SweepPlace(), repairs=True)
        for finding in step.findings
    ]
    assert {it.drift.kind.value for it in found} == {*kinds, "payment_unknown"}


async def test_a_bug_concerns_what_it_is_about(story: Story) -> None:
    """
    It is reported as ours, its trace once, and the rest is compared and repaired.
    """
    heard = list[tuple[str, Exception]]()

    def listen(subject: str, error: Exception) -> None:
        heard.append((subject, error))

    story.charge()
    story.api.delete(story.subscription)
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)

    class Buggy(_Silent):
        @override
        async def subscription(self, gateway_id: str) -> Any:
            raise KeyError(gateway_id)

    gateway: Any = Buggy(story.deployment.gateway, 0)
    record = attrs.evolve(story.reconcile.record, on_bug=listen)
    reconcile = attrs.evolve(story.reconcile, gateway=gateway, record=record)
    run = RunSweep(reconcile, sleep=no_wait)
    found = [
        finding
        async for step in run(run.range_now(BEGINNING), SweepPlace(), repairs=True)
        for finding in step.findings
    ]
    told_of = {(it.drift.kind.value, it.cause.value, it.repaired) for it in found}
    assert told_of == {
        ("unreadable", "own_bug", False),
        ("payment_unknown", "event_lost", True),
    }
    [(subject, error)] = heard
    assert story.subscription.endswith(f"/{subject}")
    assert isinstance(error, KeyError)
    assert error.__traceback__ is not None


async def test_a_sweep_goes_on_though_its_place_is_gone(story: Story) -> None:
    """
    The customer after which the next page begins was deleted: its second is read again.
    """
    for _ in range(150):
        story.api.customer(card=None)
    await story.deployment.hear()
    story.deployment.clock.advance(A_MOMENT)
    run = story.run
    range_ = run.range_now(BEGINNING)
    first = await anext(run(range_, SweepPlace(), repairs=False))
    assert first.place is not None
    story.api.delete(f"customers/{first.place.after}")

    rest = [step async for step in run(range_, first.place, repairs=False)]
    assert rest[0].objects > 50
    assert rest[-1].place is None
    assert not [it for step in rest for it in step.findings]


async def test_findings_are_told_as_they_are_made(story: Story) -> None:
    """
    Also of a page that is not compared to its end.
    """
    for _ in range(2):
        story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)
    told_of, left = list[str](), [4]

    async def before_each() -> None:
        left[0] -= 1
        if not left[0]:
            raise StoreUnavailable

    run = attrs.evolve(
        story.run, on_finding=lambda it: told_of.append(it.drift.subject)
    )
    with pytest.raises(StoreUnavailable):
        async for _ in run(
            run.range_now(BEGINNING),
            SweepPlace(),
            repairs=True,
            before_each=before_each,
        ):
            pass
    assert len(told_of) == 1


@pytest.mark.parametrize("error", [GatewayNotAttempted("busy"), StoreUnavailable()])
async def test_what_nothing_can_be_compared_without_ends_the_sweep_at_its_place(
    story: Story, error: PaymentsError
) -> None:
    """
    A gateway that stays busy, and a database that does not answer, are no finding of
    the one thing: the page is compared later, from the same place.
    """
    story.api.delete(story.subscription)
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)
    reconcile, heard = story.reconcile, list[str]()
    if isinstance(error, StoreUnavailable):
        fuse = Fuse(1, Break.NO_ANSWER, only="find")
        reconcile = attrs.evolve(reconcile, jobs=fuse.around(reconcile.jobs))
    else:
        gateway: Any = _Silent(story.deployment.gateway, TRIES_MAX, error)
        reconcile = attrs.evolve(reconcile, gateway=gateway)
    record = attrs.evolve(reconcile.record, on_bug=lambda it, _: heard.append(it))
    run = RunSweep(attrs.evolve(reconcile, record=record), sleep=no_wait)
    range_, places = run.range_now(BEGINNING), list[SweepPlace | None]()

    async def swept() -> None:
        async for step in run(range_, SweepPlace(), repairs=True):
            assert not step.findings
            places.append(step.place)

    with pytest.raises(type(error)):
        await swept()
    assert not heard
    [place] = places
    assert place is not None
    assert place.list_ is ObjectList.SUBSCRIPTIONS
    step = await anext(run(range_, place, repairs=True))
    assert {it.drift.kind.value for it in step.findings} == {
        "subscription_status",
        "subscription_end",
    }
    assert all(it.repaired for it in step.findings)
