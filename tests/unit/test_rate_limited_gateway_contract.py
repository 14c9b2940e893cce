"""The contract of the payment gateway, behind a budget and a breaker."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
import pytest
from typing_extensions import override

from contracts import every_contract_of
from payments_adapters.rate_limited_gateway import CircuitBreaker, RateLimitedGateway
from payments_core.ports import PaymentGateway
from support.memory_world import MemoryWorld, Named, as_far_as_the_fake_goes

pytestmark = pytest.mark.anyio


class Plenty:
    """A budget that is never used up."""

    async def take(
        self,
        endpoint: str,
        *,
        beside: Sequence[str] = (),
        per_s: float,  # noqa: ARG002  # the port's
        now: datetime,  # noqa: ARG002  # the port's
    ) -> Mapping[str, int]:
        return dict.fromkeys((endpoint, *beside), 1)


@attrs.define
class LimitedWorld(MemoryWorld):
    """The gateway in memory, called through the limits."""

    limited: RateLimitedGateway = attrs.field(init=False)

    @override
    def __attrs_post_init__(self) -> None:
        MemoryWorld.__attrs_post_init__(self)
        self.limited = RateLimitedGateway(
            self.memory, Plenty(), CircuitBreaker(self.clock), self.clock
        )

    @property
    @override
    def gateway(self) -> PaymentGateway:
        return self.limited


@pytest.fixture
def world() -> LimitedWorld:
    return LimitedWorld()


@as_far_as_the_fake_goes
@every_contract_of("world")
class TestRateLimitedGateway(Named):
    """Every contract of a gateway: the limits change none of its promises."""
