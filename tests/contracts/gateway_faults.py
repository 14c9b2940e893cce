"""What a payment gateway promises when a request or its answer is lost or fails."""

from contextlib import suppress
from typing import Final

import pytest

from contracts.gateway_sending import (
    Asking,
    intent_of,
    of_each_kind,
    of_each_that_makes,
)
from contracts.gateway_world import GatewayFault, GatewayWorld, ask, new_key
from payments_core.errors import GatewayNotAttempted, GatewayOutcomeUnknown
from payments_core.gateway import Answer, GatewayRequest

BUSY_TIMES_MAX: Final = 100

_ignore = pytest.mark.parametrize(
    "fault", [GatewayFault.REPLY_LOST, GatewayFault.TIMEOUT_AFTER]
)


async def _asked_again(
    world: GatewayWorld, request: GatewayRequest, key: str
) -> Answer:
    """Send again while the key is busy: the first request may still be in progress."""
    for _ in range(BUSY_TIMES_MAX):
        with suppress(GatewayNotAttempted):
            return await ask(world, request, key)
    return await ask(world, request, key)


class FaultsContract:
    @_ignore
    @of_each_that_makes
    async def test_what_was_done_unheard_is_found_and_told_again(
        self, world: GatewayWorld, asking: Asking, fault: GatewayFault
    ) -> None:
        """
        A lost answer is an unknown outcome. What was made is found; the same key
        returns it.
        """
        request, key = await asking(world), new_key()
        world.plan(fault, request)
        with pytest.raises(GatewayOutcomeUnknown) as silence:
            await ask(world, request, key)
        assert not silence.value.server_error_cached

        found = await world.gateway.find(request)
        assert found is not None
        assert (await _asked_again(world, request, key)).id == found.id
        assert world.made_by(intent_of(request)) == [found.id]

    @of_each_kind
    async def test_what_was_reached_unheard_is_found(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        Of every kind of request, by its intent or by the object itself.
        """
        request = await asking(world)
        world.plan(GatewayFault.REPLY_LOST, request)
        with pytest.raises(GatewayOutcomeUnknown):
            await ask(world, request)

        assert await world.gateway.find(request) is not None

    @of_each_that_makes
    async def test_what_never_arrived_is_not_found(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        Nothing was made; the same key makes it.
        """
        request, key = await asking(world), new_key()
        world.plan(GatewayFault.TIMEOUT_BEFORE, request)
        with pytest.raises(GatewayOutcomeUnknown) as silence:
            await ask(world, request, key)
        assert not silence.value.server_error_cached
        assert await world.gateway.find(request) is None

        answer = await _asked_again(world, request, key)
        assert world.made_by(intent_of(request)) == [answer.id]

    @of_each_that_makes
    async def test_what_was_done_before_an_error_is_found_and_not_told(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        A 500 is stored under its key: the key will never say that it was done.
        """
        request, key = await asking(world), new_key()
        world.plan(GatewayFault.ERROR_MADE, request)
        for _ in range(2):
            with pytest.raises(GatewayOutcomeUnknown) as silence:
                await ask(world, request, key)
            assert silence.value.server_error_cached

        found = await world.gateway.find(request)
        assert found is not None
        assert world.made_by(intent_of(request)) == [found.id]

    @of_each_that_makes
    async def test_what_was_not_done_before_an_error_is_not_found(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        The key is of no further use; another key makes it.
        """
        request, key = await asking(world), new_key()
        world.plan(GatewayFault.ERROR_NOT_MADE, request)
        for _ in range(2):
            with pytest.raises(GatewayOutcomeUnknown) as silence:
                await ask(world, request, key)
            assert silence.value.server_error_cached
        assert await world.gateway.find(request) is None

        answer = await ask(world, request)
        assert world.made_by(intent_of(request)) == [answer.id]

    @of_each_kind
    async def test_a_gateway_that_is_busy_has_done_nothing(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        The outcome is known: nothing is found, nothing is stored, and the same key does
        it.
        """
        request, key = await asking(world), new_key()
        world.plan(GatewayFault.RATE_LIMITED, request)
        with pytest.raises(GatewayNotAttempted):
            await ask(world, request, key)
        assert await world.gateway.find(request) is None

        answer = await ask(world, request, key)
        found = await world.gateway.find(request)
        assert found is not None
        assert found.id == answer.id
