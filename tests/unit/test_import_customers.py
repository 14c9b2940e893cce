"""Existing customers are bound, and everything they had is known."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from contracts.faults import FaultyLedger
from payments_adapters.memory import MemoryDatabase
from payments_core import decide
from payments_core.by_hand import ActionByHand
from payments_core.changes import Changes
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
)
from payments_core.facts import UserRegistered
from payments_core.identity import CustomerId, Email, UserId
from payments_core.jobs import ImportListener, ImportRow, RowState
from payments_core.jobs.import_customers import TOGETHER
from payments_core.subscription import SubscriptionStatus
from support.crowd import compare
from support.deployment import Crash, Deployment
from support.importing import (
    BY,
    imported,
    importer,
    lived,
    overheard,
    rows_of,
    shown,
)
from support.profiles import PROVES
from support.reconciling import Story, reconciling

pytestmark = pytest.mark.anyio

SHARES: Final = 2
WORLDS: Final = 400 if PROVES else 8
BASE_CALLS: Final = {"customers": 1, "charges": 1, "subscriptions": 1, "invoices": 1}


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """Lend a world of three customers; nothing of them is known here.

    Ada has a card and pays, Bob has only a card.
    """
    async with Deployment.opened() as deployment, reconciling(deployment) as it:
        for name in ("ada", "bob", "eve"):
            customer = it.api.post("customers", email=f"{name}@example.com")
            if name != "eve":
                it.api.give_card(customer["id"], "pm_card_visa")
            if name == "ada":
                it.api.subscribe(customer["id"], deployment.basic)
        yield it


def rows(story: Story) -> list[ImportRow]:
    customers = story.deployment.engine.world.all("customer")
    there = [it for it in customers if it["email"]]
    owners = {it["id"]: UserId(it["email"].partition("@")[0]) for it in there}
    return rows_of(story.deployment, owners)


def calls(story: Story) -> Counter[str]:
    return story.deployment.line.reads


@pytest.mark.parametrize("share", range(SHARES))
async def test_an_imported_user_is_right_without_a_webhook(share: int) -> None:
    """
    Status, date, card and subscriptions are the same as if every event had been
    received, and agree with the gateway's own data. A reconciliation finds nothing. The
    same holds if half of the events were received before.
    """
    compared, plain = 0, Counter[str]()
    for number in range(WORLDS // SHARES):
        seed = share * (WORLDS // SHARES) + number
        dice = random.Random(seed)  # noqa: S311  # a seed's
        async with Deployment.opened(seed=seed) as it, reconciling(it) as story:
            before = await lived(it, dice, users=3)
            if heard := dice.random() < 0.3:
                await overheard(it, dice)
            it.line.reads.clear()
            results = await imported(story, before.rows)
            assert {result.state for result in results} <= {RowState.IMPORTED}, results
            if heard:
                # What the binding linked requests syncs, as it always does.
                it.clock.advance(timedelta(seconds=5))
                await it.work()
            else:
                plain.update(it.line.reads)
                plain["rows"] += len(results)
                # Nothing is left to a worker.
                assert not it.database.tables.jobs, seed
            for user in before.accounts.keys() - before.besides:
                known = shown(await it.account(user), it)
                assert known == shown(before.accounts[user], it), (seed, user)
                compared += 1
            if not before.disputed:
                owners = dict(before.owners)
                await compare(it, owners, seed, besides=before.besides)
            again = [
                found
                for found in await story.sweep()
                if found.drift.user_id not in {None, *before.besides}
            ]
            assert not again, (seed, again)
    assert compared
    # Four lists of each; what was refunded or is disputed is fetched separately.
    assert plain["customers"] == plain["subscriptions"] == plain["rows"]


async def test_a_customer_costs_four_calls_and_so_does_a_row_that_is_run_again(
    story: Story,
) -> None:
    """
    The second run changes nothing.
    """
    all_ = rows(story)
    expected = Counter({name: len(all_) for name in BASE_CALLS})
    known = list[object]()
    for state in (RowState.IMPORTED, RowState.KNOWN):
        calls(story).clear()
        results = await imported(story, all_)
        assert {it.state for it in results} == {state}
        assert calls(story) == expected
        tables = story.deployment.database.tables
        known.append(deepcopy((tables.accounts, tables.payments, tables.jobs)))
    assert known[0] == known[1]
    accounts = [await story.deployment.account(it.user_id) for it in all_]
    assert [it.customer_id for it in accounts] == [it.customer_id for it in all_]
    assert [it.card is not None for it in accounts] == [True, True, False]
    [[active], *others] = [it.subscriptions for it in accounts]
    assert active.status is SubscriptionStatus.ACTIVE
    assert others == [(), ()]


async def test_each_binding_is_kept_with_who_and_why(story: Story) -> None:
    """
    Once, however often it is imported.
    """
    all_ = rows(story)
    await imported(story, all_)
    await imported(story, all_)

    kept = [it for _, it in story.deployment.database.tables.changes_by_hand]
    assert [it.subject for it in kept] == [it.customer_id for it in all_]
    assert {it.action for it in kept} == {ActionByHand.BIND_CUSTOMER}
    assert {it.decided for it in kept} == {BY}


async def test_a_dry_run_checks_and_changes_nothing(story: Story) -> None:
    """
    One call for each customer.
    """
    lost = attrs.evolve(rows(story)[0], customer_id=CustomerId("cus_lost"))
    results = await importer(story)([*rows(story), lost], BY, dry_run=True)

    assert [it.state.value for it in results] == [*["imported"] * 3, "refused"]
    # The sandbox counts its objects.
    assert calls(story) == {"customers": 3}
    tables = story.deployment.database.tables
    assert not (*tables.accounts, *tables.changes_by_hand, *tables.subscriptions)


@pytest.mark.parametrize(
    ("case", "field", "code", "reason"),
    [
        ("lost", "customer_id", "unknown_reference", "Stripe has none"),
        (
            "deleted",
            "customer_id",
            "unknown_reference",
            "Stripe has deleted it",
        ),
        ("marked", "customer_id", "customer_taken", "its metadata names another user"),
        ("bobs", "customer_id", "customer_taken", "it is another user's"),
        ("bob", "customer_id", "customer_taken", "the user has another customer"),
        ("his mail", "email", "email_taken", "another user has this e-mail"),
    ],
)
async def test_what_may_not_be_bound_is_refused_and_the_rest_is_imported(
    story: Story, case: str, field: str, code: str, reason: str
) -> None:
    """
    With the field and the reason; nothing of the row is stored.
    """
    ada, bob, eve = rows(story)
    marked = story.api.post("customers", metadata={"user_id": "somebody"})["id"]
    deleted = story.api.post("customers")["id"]
    story.api.delete(f"customers/{deleted}")
    await imported(story, [bob])
    new = attrs.evolve(ada, user_id=UserId("new"))
    row = {
        "lost": attrs.evolve(new, customer_id=CustomerId("cus_lost")),
        "deleted": attrs.evolve(new, customer_id=CustomerId(deleted)),
        "marked": attrs.evolve(new, customer_id=CustomerId(marked)),
        "bobs": attrs.evolve(new, customer_id=bob.customer_id),
        "bob": attrs.evolve(new, user_id=bob.user_id),
        "his mail": attrs.evolve(new, email=bob.email),
    }[case]
    before = len(story.deployment.database.tables.changes_by_hand)

    refused, fine = await importer(story)([row, eve], BY)

    assert (refused.row, refused.state) == (row, RowState.REFUSED)
    told = (refused.field, refused.code, refused.reason)
    assert told == (field, code, reason)
    assert fine.state is RowState.IMPORTED
    assert UserId("new") not in story.deployment.database.tables.accounts
    account = await story.deployment.account(bob.user_id)
    assert account.customer_id == bob.customer_id
    assert len(story.deployment.database.tables.changes_by_hand) == before + 1


async def test_of_two_rows_of_one_batch_that_contradict_the_first_counts(
    story: Story,
) -> None:
    """
    One user, two customers; one customer, two users; one e-mail, two users.
    """
    ada, bob, eve = rows(story)
    results = await importer(story)(
        [
            ada,
            attrs.evolve(ada, customer_id=bob.customer_id),
            attrs.evolve(bob, customer_id=ada.customer_id),
            attrs.evolve(eve, email=ada.email),
            ada,
        ],
        BY,
    )

    states = [it.state.value for it in results]
    assert states == ["imported", "refused", "refused", "refused", "imported"]
    assert [it.field for it in results[1:4]] == ["customer_id", "customer_id", "email"]
    assert len(story.deployment.database.tables.changes_by_hand) == 1


async def test_the_e_mail_of_a_known_user_stays_and_another_one_is_told(
    story: Story,
) -> None:
    """
    A file may be older than what the user said since.
    """
    ada, bob, _ = rows(story)
    await story.deployment.register(UserId("ada"))
    file = [
        attrs.evolve(it, email=Email.of(f"old-{it.email.text}")) for it in (ada, bob)
    ]
    of_ada, of_bob = await importer(story)(file, BY)

    assert of_ada.warnings == (
        "email: the user has another e-mail here, which stays",
        "email: the customer has another e-mail at Stripe",
    )
    assert of_bob.warnings == ("email: the customer has another e-mail at Stripe",)
    account = await story.deployment.account(UserId("ada"))
    assert account.email.key == "ada@example.com"


async def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(
    story: Story,
) -> None:
    """
    Nothing is doubled: a process that ends before or after any call of a port.
    """
    it, all_ = story.deployment, rows(story)
    await imported(story, all_)
    whole = [shown(await it.account(row.user_id), it) for row in all_]
    breaks = 0
    while True:
        it.database = MemoryDatabase()
        it.restart(breaks + 1)
        try:
            await imported(story, all_)
        except Crash:
            breaks += 1
        else:
            break
        it.restart()
        results = await imported(story, all_)
        assert RowState.REFUSED not in {result.state for result in results}
        assert [shown(await it.account(row.user_id), it) for row in all_] == whole
        assert len(it.database.tables.changes_by_hand) == len(all_)
    assert breaks > 2 * len(all_)


@attrs.define
class Heard(ImportListener):
    told: list[str] = attrs.field(factory=list)

    @override
    def asked(self, count: int) -> None:
        self.told.append(f"{count} asked")

    @override
    def read(self, count: int) -> None:
        self.told.append(f"{count} read")


async def test_how_far_a_batch_is_is_told(story: Story) -> None:
    """
    At the real gateway's pace a hundred rows take half a minute.
    """
    heard = Heard()
    await attrs.evolve(importer(story), listener=heard)(rows(story), BY)

    steps = [f"{it} {what}" for what in ("asked", "read") for it in (1, 2, 3)]
    assert heard.told == steps


async def test_a_gateway_that_is_down_ends_the_run(story: Story) -> None:
    """
    What was bound stays, and the same rows can be imported once it is back.
    """
    all_ = rows(story)
    gateway = _Failing(story.deployment.gateway, GatewayNotAttempted("down"), 1)
    run = importer(story)
    with pytest.raises(GatewayNotAttempted):
        await attrs.evolve(
            run,
            history=attrs.evolve(
                run.history,
                reconcile=attrs.evolve(run.history.reconcile, gateway=gateway),
            ),
        )(all_, BY)

    results = await imported(story, all_)
    assert {it.state for it in results} == {RowState.IMPORTED}


async def test_one_customer_without_an_answer_is_refused_and_the_rest_goes_on(
    story: Story,
) -> None:
    """
    An unusable answer would stop the import for ever.
    """
    all_ = rows(story)
    lost = GatewayOutcomeUnknown("an answer that cannot be read")
    gateway = _Failing(story.deployment.gateway, lost, None, all_[1].customer_id)
    run = importer(story)
    results = await attrs.evolve(
        run,
        history=attrs.evolve(
            run.history,
            reconcile=attrs.evolve(run.history.reconcile, gateway=gateway),
        ),
    )(all_, BY)

    assert [it.state.value for it in results] == ["imported", "refused", "imported"]
    assert results[1].field == "customer_id"
    assert "cannot be read" in (results[1].reason or "")


@pytest.mark.parametrize("where", ["decided", "asked", "saved", "read"])
async def test_a_bug_at_one_row_refuses_it_and_the_rest_goes_on(
    story: Story, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The row says that it was a bug; the bug is reported once, with its trace.
    """
    all_, heard = rows(story), list[tuple[str, Exception]]()
    user, customer = all_[1].user_id, all_[1].customer_id
    reconcile, bug = story.reconcile, KeyError("a bug")

    def break_down(groups: Sequence[Changes]) -> None:
        if any(it.after and it.after.user_id == user for it in groups):
            raise bug

    def listen(subject: str, error: Exception) -> None:
        heard.append((subject, error))

    record = attrs.evolve(reconcile.record, on_bug=listen)
    if where == "decided":
        rule: Any = decide._RULES[UserRegistered]

        def broken(group: Any, fact: UserRegistered, source: Any) -> Any:
            if fact.user_id == user:
                raise bug
            return rule(group, fact, source)

        rules = {**decide._RULES, UserRegistered: broken}
        monkeypatch.setattr(decide, "_RULES", rules)
    elif where == "saved":
        record = attrs.evolve(record, ledger=FaultyLedger(record.ledger, break_down))
    elif where == "asked":
        failing: Any = _Failing(reconcile.gateway, bug, None, customer)
        reconcile = attrs.evolve(reconcile, gateway=failing)
    else:
        lists: Any = _Unlisted(reconcile.lists, bug, customer)
        reconcile = attrs.evolve(reconcile, lists=lists)
    run = importer(story)
    reconcile = attrs.evolve(reconcile, record=record)
    history = attrs.evolve(run.history, reconcile=reconcile)

    results = await attrs.evolve(run, history=history)(all_, BY)

    assert [it.state.value for it in results] == ["imported", "refused", "imported"]
    assert results[1].reason == "failed: KeyError"
    assert heard == [(customer, bug)]
    assert bug.__traceback__ is not None


async def test_whose_history_is_not_all_recorded_is_refused_and_told_why(
    story: Story,
) -> None:
    """
    It is bound all the same: what is left out needs a person.
    """
    all_ = rows(story)
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=all_[0].customer_id,
        payment_method="pm_card_visa",
        confirm=True,
        off_session=True,
        metadata={"user_id": "somebody"},
    )

    results = await imported(story, all_)

    assert [it.state.value for it in results] == ["refused", "imported", "imported"]
    assert results[0].field == "history"
    assert (results[0].reason or "").startswith(f"{intent['latest_charge']}: ")
    account = await story.deployment.account(all_[0].user_id)
    assert account.customer_id == all_[0].customer_id


async def test_so_many_customers_are_asked_about_at_a_time(story: Story) -> None:
    """
    No more, whatever the length of a batch.
    """
    for number in range(TOGETHER * 2):
        story.api.post("customers", email=f"user-{number}@example.com")
    gateway = _Failing(story.deployment.gateway, None, None)
    run = importer(story)
    await attrs.evolve(
        run,
        history=attrs.evolve(
            run.history,
            reconcile=attrs.evolve(run.history.reconcile, gateway=gateway),
        ),
    )(rows(story), BY)

    assert gateway.most == TOGETHER


@attrs.define
class _Unlisted:
    """Lists of the gateway's that fail at one customer."""

    lists: Any
    error: Exception
    customer: CustomerId

    async def page(self, *which: Any, **of: Any) -> Any:
        if of.get("customer") == self.customer:
            raise self.error
        return await self.lists.page(*which, **of)


@attrs.define
class _Failing:
    """A gateway that fails on customers: after some answers, or on one customer."""

    gateway: Any
    error: Exception | None
    answers: int | None
    customer_id: str | None = None
    most: int = 0
    _now: int = 0

    async def customer(self, customer_id: CustomerId) -> Any:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            # Others may continue meanwhile.
            await asyncio.sleep(0)
            if self.answers is not None:
                self.answers -= 1
            is_meant = self.customer_id in {None, customer_id}
            if self.error and is_meant and (self.answers is None or self.answers < 0):
                raise self.error
            return await self.gateway.customer(customer_id)
        finally:
            self._now -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)
