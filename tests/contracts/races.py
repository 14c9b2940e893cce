"""Writers that meet on one thing, 150 times: whichever is first, nothing is lost.

Subclass, give a `ledger`, and run.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import NOON, a_payment, a_report, an_event
from payments_core import Policy
from payments_core.account import PaymentAccount
from payments_core.changes import Lookup
from payments_core.entitlement import standing
from payments_core.facts import (
    CustomerBound,
    Fact,
    PaymentCorrected,
    PaymentReported,
    SourcedFacts,
    SubscriptionObserved,
    UserRegistered,
    facts_of,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.linking import LinkKeys
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.ports import Ledger
from payments_core.use_cases.record_facts import RecordedState, RecordFacts

RACES: Final = 150
WRITERS: Final = 20
# How many steps of others a writer may wait before it begins.
HEAD_START_MAX: Final = 6
SEED: Final = 9
LATER: Final = NOON + timedelta(days=1)

Writer = Callable[[], Awaitable[None]]


@attrs.frozen
class Runner:
    """One user of one race, and what may be reported of the user."""

    number: int

    @property
    def user(self) -> UserId:
        return UserId(f"user-{self.number}")

    @property
    def email(self) -> Email:
        return Email.of(f"{self.user}@example.org")

    @property
    def new_email(self) -> Email:
        return Email.of(f"new-{self.user}@example.org")

    @property
    def customer(self) -> CustomerId:
        return CustomerId(f"cus_{self.number}")

    @property
    def payment_id(self) -> PaymentId:
        return PaymentId(f"ch_{self.number}")

    @property
    def subscription_id(self) -> str:
        return f"sub_{self.number}"

    @property
    def registered(self) -> UserRegistered:
        return UserRegistered(user_id=self.user, email=self.email)

    @property
    def by_email(self) -> Payment:
        return a_payment(self.payment_id, email=self.email)


RUNNERS: Final = tuple(map(Runner, range(RACES)))
_EVENT_NUMBERS: Final = itertools.count()


@attrs.frozen
class Track:
    """Runs the writers of all races, some of them at once."""

    ledger: Ledger
    record: RecordFacts
    dice: random.Random = attrs.field(factory=lambda: random.Random(SEED))  # noqa: S311  # an order that can be had again

    async def tell(self, *facts: Fact) -> None:
        """Record facts that no event reported."""
        await self._record(SourcedFacts(facts=facts))

    async def report(self, said: Payment) -> None:
        """Record one event's report."""
        number = next(_EVENT_NUMBERS)
        await self._record(facts_of(an_event(f"evt_race_{number}", said)))

    async def _record(self, source: SourcedFacts) -> None:
        [recorded] = await self.record([source])
        assert recorded.state is RecordedState.SAVED, recorded

    async def run(self, race: Callable[[Runner], Sequence[Writer]]) -> None:
        """Run the writers of each race at once, in reverse in every second race."""
        room = asyncio.Semaphore(WRITERS)

        async def write(writer: Writer, head_start: int) -> None:
            async with room:
                for _ in range(head_start):
                    await asyncio.sleep(0)
                await writer()

        async with asyncio.TaskGroup() as tasks:
            for runner in RUNNERS:
                writers = race(runner)[:: 1 if runner.number % 2 else -1]
                for writer in writers:
                    late = self.dice.randrange(HEAD_START_MAX)
                    tasks.create_task(write(writer, late))

    async def all_tell(self, fact: Callable[[Runner], Fact]) -> None:
        """Record a fact for each runner, before the races."""
        sources = [SourcedFacts(facts=(fact(runner),)) for runner in RUNNERS]
        recorded = await self.record(sources)
        assert {it.state for it in recorded} == {RecordedState.SAVED}

    async def accounts(self) -> Sequence["Finish"]:
        """Return each stored account, checked against its own payments."""
        users = frozenset(it.user for it in RUNNERS)
        lookup = Lookup(
            keys=LinkKeys(user_ids=users),
            payments=frozenset(it.payment_id for it in RUNNERS),
            subscriptions=frozenset(it.subscription_id for it in RUNNERS),
            histories=users,
            whole_histories=users,
        )
        snapshot = await self.ledger.load(lookup)
        accounts = {it.user_id: it for it in snapshot.accounts}
        records = {it.payment.id: it for it in snapshot.payments}
        histories: dict[UserId | None, list[Payment]] = {}
        for record in snapshot.histories:
            histories.setdefault(record.user_id, []).append(record.payment)
        found = [
            Finish(
                runner,
                accounts[runner.user],
                records.get(runner.payment_id),
                histories.get(runner.user, []),
            )
            for runner in RUNNERS
        ]
        for it in found:
            it.assert_folded()
        return found


@attrs.frozen
class Finish:
    """What is stored after a race: the account, the one payment, and all of its own."""

    runner: Runner
    account: PaymentAccount
    record: PaymentRecord | None
    payments: Sequence[Payment]

    @property
    def is_linked(self) -> bool:
        return self.record is not None and self.record.user_id == self.runner.user

    @property
    def payment(self) -> Payment:
        assert self.record is not None
        return self.record.payment

    def assert_folded(self) -> None:
        """Assert that the account agrees with the sum of its payments."""
        account = self.account
        model = standing(
            self.payments, account.subscriptions, now=LATER, policy=Policy()
        )
        assert account.payment_status is model.payment_status, self.runner
        assert account.payment_expire_date == model.payment_expire_date, self.runner


def _losses(found: Sequence[Finish]) -> int:
    """Count the payments that did not find their account."""
    return sum(not it.is_linked for it in found)


class RacesContract:
    """`ledger` is a `Ledger` over an empty store."""

    @pytest.fixture
    def track(self, ledger: Ledger) -> Track:
        return Track(
            ledger, RecordFacts(ledger, lambda: LATER, lambda: LATER, Policy())
        )

    async def test_a_payment_and_the_registration_of_its_owner(
        self, track: Track
    ) -> None:
        """
        Payments by e-mail, by customer and by user id, and the user: they are linked,
        whichever is first.
        """

        def race(runner: Runner) -> Sequence[Writer]:
            number, at = runner.number, [NOON + timedelta(hours=n) for n in range(3)]
            mine = attrs.evolve(runner.registered, customer_id=runner.customer)
            paid = (
                a_payment(f"ch_{number}", at=at[0], email=runner.email),
                a_payment(f"ch_{number}_c", at=at[1], customer=runner.customer),
                a_payment(f"ch_{number}_u", at=at[2], user=runner.user),
            )
            return [
                lambda: track.report(paid[0]),
                lambda: track.tell(mine),
                lambda: track.report(paid[1]),
                lambda: track.report(paid[2]),
            ]

        await track.run(race)

        found = await track.accounts()
        assert _losses(found) == 0
        assert {len(it.payments) for it in found} == {3}

    async def test_a_dispute_before_its_charge(self, track: Track) -> None:
        """
        The dispute does not name an owner; the charge does. All count.
        """
        await track.all_tell(lambda runner: runner.registered)

        def race(runner: Runner) -> Sequence[Writer]:
            opened = Payment(id=runner.payment_id, dispute=DisputeState.OPEN)
            won = Payment(id=runner.payment_id, dispute=DisputeState.WON)
            return [
                lambda: track.report(opened),
                lambda: track.report(won),
                lambda: track.report(runner.by_email),
            ]

        await track.run(race)

        found = await track.accounts()
        assert _losses(found) == 0
        assert {it.payment.dispute for it in found} == {DisputeState.WON}
        assert {it.payment.state for it in found} == {PaymentState.SUCCEEDED}

    async def test_a_rename_and_a_payment_under_the_new_email(
        self, track: Track
    ) -> None:
        """
        Whichever is second links the payment; a payment under the old e-mail that was
        linked before stays linked.
        """
        await track.all_tell(lambda runner: runner.registered)
        await track.all_tell(lambda runner: PaymentReported(runner.by_email))

        def race(runner: Runner) -> Sequence[Writer]:
            renamed = UserRegistered(user_id=runner.user, email=runner.new_email)
            paid = a_payment(
                f"ch_{runner.number}_new", at=LATER, email=runner.new_email
            )
            return [lambda: track.tell(renamed), lambda: track.report(paid)]

        await track.run(race)

        found = await track.accounts()
        assert _losses(found) == 0
        assert all(it.account.email == it.runner.new_email for it in found)
        assert {len(it.payments) for it in found} == {2}

    async def test_a_bind_and_what_the_customer_has(self, track: Track) -> None:
        """
        A payment and a subscription that only name the customer find the user.
        """
        await track.all_tell(lambda runner: runner.registered)
        drawn = (await track.ledger.load(Lookup())).sequence

        def race(runner: Runner) -> Sequence[Writer]:
            bound = CustomerBound(
                user_id=runner.user, customer_id=runner.customer, existed=True
            )
            paid = a_payment(runner.payment_id, customer=runner.customer)
            begun = a_report(runner.subscription_id, customer=runner.customer)
            fetched = SubscriptionObserved(report=begun, at=LATER, sequence=drawn)
            return [
                lambda: track.report(paid),
                lambda: track.tell(bound),
                lambda: track.tell(fetched),
            ]

        await track.run(race)

        found = await track.accounts()
        assert _losses(found) == 0
        assert all(it.account.customer_id == it.runner.customer for it in found)
        assert {len(it.account.subscriptions) for it in found} == {1}

    async def test_a_refund_of_a_payment_that_is_being_linked(
        self, track: Track
    ) -> None:
        """
        In the end the payment has its user, and is refunded.
        """
        await track.all_tell(lambda runner: PaymentReported(runner.by_email))

        def race(runner: Runner) -> Sequence[Writer]:
            refund = attrs.evolve(
                runner.by_email, state=PaymentState.REFUNDED, refunded_minor=1_000
            )
            return [
                lambda: track.report(refund),
                lambda: track.tell(runner.registered),
            ]

        await track.run(race)

        found = await track.accounts()
        assert _losses(found) == 0
        assert {it.payment.state for it in found} == {PaymentState.REFUNDED}

    async def test_a_correction_that_was_fetched_before_a_refund(
        self, track: Track
    ) -> None:
        """
        Saved after the refund or at the same time, it does not undo the refund.
        """
        await track.all_tell(lambda runner: runner.registered)
        await track.all_tell(lambda runner: PaymentReported(runner.by_email))
        fetched = (await track.ledger.load(Lookup())).sequence

        def race(runner: Runner) -> Sequence[Writer]:
            refund = attrs.evolve(
                runner.by_email, state=PaymentState.REFUNDED, refunded_minor=1_000
            )
            correct = PaymentCorrected(runner.by_email, fetched)

            async def one_after_the_other() -> None:
                await track.report(refund)
                await track.tell(correct)

            if runner.number % 3 == 0:
                return [one_after_the_other]
            return [lambda: track.report(refund), lambda: track.tell(correct)]

        await track.run(race)

        found = await track.accounts()
        assert {it.payment.state for it in found} == {PaymentState.REFUNDED}
