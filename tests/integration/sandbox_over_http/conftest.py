"""A sandbox for each test, and a client of it."""

from collections.abc import Iterator

import httpx
import pytest

from payments_sandbox import Sandbox
from support.sandbox import conforming
from support.sandbox_http import client_of


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with conforming(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox) as client:
        yield client
