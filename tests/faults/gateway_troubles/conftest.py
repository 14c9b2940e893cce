"""A service whose sandbox is calm again after each test."""

from collections.abc import Iterator

import pytest

from support import sales as shop
from support.sales import Payer, Sales


@pytest.fixture(scope="module")
def world(postgres: str, template: str) -> Iterator[Sales]:
    with shop.selling(postgres, template) as sales:
        yield sales


@pytest.fixture
def sales(world: Sales) -> Iterator[Sales]:
    yield world
    world.sandbox.calm()


@pytest.fixture
def ada(sales: Sales) -> Payer:
    """Somebody whose card is in place before anything goes wrong."""
    payer = sales.user()
    payer.give_card().raise_for_status()
    return payer
