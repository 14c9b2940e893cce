"""A service whose sandbox is calm again after each test."""

from collections.abc import Iterator

import pytest

from support import service_with_sandbox as shop
from support.service_with_sandbox import Payer, ServiceWithSandbox


@pytest.fixture(scope="module")
def world(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    with shop.selling(postgres, template) as sales:
        yield sales


@pytest.fixture
def sales(world: ServiceWithSandbox) -> Iterator[ServiceWithSandbox]:
    yield world
    world.sandbox.calm()


@pytest.fixture
def ada(sales: ServiceWithSandbox) -> Payer:
    """Somebody whose card is in place before anything goes wrong."""
    payer = sales.user()
    payer.give_card().raise_for_status()
    return payer
