"""Pages: the first, the next, and by each filter."""

from contracts.examples import NOON
from payments_core.by_hand import ActionByHand
from payments_core.deliveries import DeliveryQuery
from payments_core.entitlement import PaymentStatus
from payments_core.events import EventState
from payments_core.job_key import JobKind
from payments_core.object_lists import CreatedBetween, ObjectList
from payments_core.payment import PaymentId
from payments_core.payment_list import PaymentPlace
from payments_core.timeline import place_of
from payments_core.user_list import UserFilter
from support.hot_calls.adapters import (
    EARLY,
    LATE,
    OF_HEAVY,
    PAGE,
    THEIR_CUSTOMER,
    THEIR_EMAIL,
    World,
)
from support.many_rows import ENDPOINT


async def payments(it: World) -> None:
    first = await it.on.payments.page(OF_HEAVY, limit=PAGE)
    assert first.after
    await it.on.payments.page(OF_HEAVY, limit=PAGE, after=first.after)
    untimed = PaymentPlace(None, PaymentId("ch_heavy_7"))
    await it.on.payments.page(OF_HEAVY, limit=PAGE, after=untimed)


async def timeline(it: World) -> None:
    found = await it.on.timelines.newest(OF_HEAVY, limit=PAGE)
    before = place_of(found[-1])
    await it.on.timelines.newest(OF_HEAVY, limit=PAGE, before=before)


async def users(it: World) -> None:
    for wanted in (
        UserFilter(),
        UserFilter(status=PaymentStatus.FAILED),
        UserFilter(product="prod"),
        UserFilter(text="u1"),
        UserFilter(email=THEIR_EMAIL),
        UserFilter(customer_id=THEIR_CUSTOMER),
    ):
        first = await it.on.user_list.page(wanted, limit=PAGE)
        await it.on.user_list.page(wanted, limit=PAGE, after=first.after)


async def audit(it: World) -> None:
    first = await it.on.audit.page(limit=PAGE)
    await it.on.audit.page(limit=PAGE, after=first.after)
    await it.on.audit.page(user_id=OF_HEAVY, limit=PAGE)
    await it.on.audit.page(subject="s", since=EARLY, limit=PAGE)
    await it.on.audit.page(action=ActionByHand.RETRY_JOB, limit=PAGE)


async def events(it: World) -> None:
    for state in (None, EventState.PENDING, EventState.QUARANTINED):
        first = await it.on.events.page(state=state, limit=PAGE)
        await it.on.events.page(state=state, limit=PAGE, after=first.after)
        await it.on.events.page(state=state, since=NOON, limit=PAGE)


async def jobs(it: World) -> None:
    for failing in (True, False):
        first = await it.on.job_list.page(failing=failing, limit=PAGE)
        await it.on.job_list.page(failing=failing, limit=PAGE, after=first.after)
        kind = JobKind.CUSTOMER
        await it.on.job_list.page(failing=failing, kind=kind, since=EARLY, limit=PAGE)


async def deliveries(it: World) -> None:
    for dead in (True, False):
        wanted = DeliveryQuery(endpoint=ENDPOINT, dead=dead)
        first = await it.on.delivery_list.page(wanted, limit=PAGE)
        await it.on.delivery_list.page(wanted, limit=PAGE, after=first.after)
        await it.on.delivery_list.page(DeliveryQuery(dead=dead), limit=PAGE)


async def facts(it: World) -> None:
    account = await it.on.accounts.find(OF_HEAVY)
    assert account
    await it.on.history.facts(account)


async def kept_objects(it: World) -> None:
    created = CreatedBetween(start=EARLY, end=LATE)
    for list_ in (ObjectList.PAYMENTS, ObjectList.SUBSCRIPTIONS):
        await it.on.kept.made_between(list_, created, limit=PAGE)
