"""What holds in the sandbox after any calls, in any order, on any clock.

1. An invoice is paid if one charge took its amount, nothing was due, or it was paid
   elsewhere; no other invoice has a charge that succeeded, none has two.
2. The items of a subscription share one period. Its invoices charge whole periods, each
   from where the last one ended: but for a restart, which credits what is left of the
   old one (unless told not to), and a pause, which charges nothing.
3. Sums add up: of lines, invoices, balances, charges and refunds.
4. Who only reads the events knows all that Stripe reports, and their time goes forward.
5. Subscriptions move as the core's table says.
6. Nothing is answered 500, and a refused call changes nothing.
7. Requests, objects and events are of the SDK's types.
8. Nothing is overdue: what has its time is done when the time comes.
"""

from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from typing_extensions import override

from support.sandbox_books import (
    check_chain,
    check_collecting,
    check_intent,
    check_paid,
    check_period,
    check_refunded,
    check_standing,
    check_sums,
)
from support.sandbox_rules import Calls


class AnyCalls(Calls):
    """Calls anything, and looks at all of it after every call."""

    @invariant()
    def events_tell_everything(self) -> None:
        self.reader.read_on()
        self.reader.check()

    @invariant()
    def objects_are_consistent(self) -> None:
        world = self.world
        for invoice in world.all("invoice"):
            check_paid(world, invoice, self.elsewhere)
            check_sums(invoice)
            check_collecting(world, invoice)
        for subscription in world.all("subscription"):
            check_period(world, subscription)
            check_standing(world, subscription)
        for intent in world.all("payment_intent"):
            check_intent(world, intent)
        for charge in world.all("charge"):
            check_refunded(world, charge)

    @override
    def teardown(self) -> None:
        for subscription in self.world.all("subscription"):
            check_chain(
                self.world,
                subscription,
                restarts=self.restarts.get(subscription["id"], set()),
                resumes=self.resumes.get(subscription["id"], set()),
                held=self.held,
            )
        self.api.conformance.check_events(self.api.engine)
        assert self.api.conformance.problems == []


def test_the_books_add_up_after_any_calls() -> None:
    """
    Whatever is called, in whatever order: the eight rules at the top hold.
    """
    profile = settings.default
    assert profile is not None
    examples = max(1, profile.max_examples // 2)
    run_state_machine_as_test(
        AnyCalls, settings=settings(max_examples=examples, stateful_step_count=40)
    )
