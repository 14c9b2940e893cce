"""How many round trips to the database a request takes: each costs network latency."""

from collections.abc import Callable, Iterator

import attrs
import httpx
import pytest

from support.round_trips import RoundTrips, counting
from support.service_with_sandbox import GOOD, OTHER, Payer, ServiceWithSandbox, selling

SUBSCRIBE_MAX = 12
UPDATE_CARD_MAX = 8
USERS_COUNT = 3


@attrs.frozen
class Counted:
    """A service with a sandbox, and its requests to its database."""

    stack: ServiceWithSandbox
    trips: RoundTrips

    def needed(
        self,
        before: Callable[[Payer], httpx.Response],
        request: Callable[[Payer], httpx.Response],
    ) -> int:
        """Return how many round trips a request takes, after another by the same user.

        The first user warms the service up. A request that takes longer than a second
        may draw calls to the gateway again, so the minimum of several counts.
        """
        counts = []
        for _ in range(1 + USERS_COUNT):
            user = self.stack.user()
            before(user).raise_for_status()
            count = self.trips.count
            request(user).raise_for_status()
            counts.append(self.trips.count - count)
        print(f"cold {counts[0]}, warm {counts[1:]} round trips")
        return min(counts[1:])


@pytest.fixture(scope="module")
def counted(postgres: str, template: str) -> Iterator[Counted]:
    with counting(postgres) as (trips, dsn), selling(dsn, template) as stack:
        # Otherwise webhooks would be counted with the request that causes them.
        for endpoint in stack.wire.get("webhook_endpoints")["data"]:
            stack.wire.delete(f"webhook_endpoints/{endpoint['id']}")
        yield Counted(stack, trips)


def test_a_subscription_of_a_new_customer_takes_few_round_trips(
    counted: Counted,
) -> None:
    """
    With a new card, of a registered user; BEGIN and COMMIT count, too.
    """
    needed = counted.needed(
        lambda user: user.call("GET", "payment-status"),
        lambda user: user.subscribe(payment_method=GOOD),
    )
    assert 1 <= needed <= SUBSCRIBE_MAX


def test_a_card_update_takes_few_round_trips(counted: Counted) -> None:
    """
    Of a user who already has a customer and a card.
    """
    needed = counted.needed(Payer.give_card, lambda user: user.give_card(OTHER))
    assert 1 <= needed <= UPDATE_CARD_MAX
