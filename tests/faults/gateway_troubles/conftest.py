"""A service whose sandbox has no faults left after each test."""

from collections.abc import Iterator

import pytest

from support.service_with_sandbox import Payer, ServiceWithSandbox, selling


@pytest.fixture(scope="module")
def world(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    with selling(postgres, template) as stack:
        yield stack


@pytest.fixture
def stack(world: ServiceWithSandbox) -> Iterator[ServiceWithSandbox]:
    yield world
    world.sandbox.calm()


@pytest.fixture
def ada(stack: ServiceWithSandbox) -> Payer:
    """A user whose card is set before anything fails."""
    payer = stack.user()
    payer.give_card().raise_for_status()
    return payer
