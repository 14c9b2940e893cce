"""A pytest fixture: `pytest_plugins = ["payments_sandbox.plugin"]`.

def test_it_renews(stripe_sandbox: Sandbox) -> None:
    stripe_sandbox.advance("1 month")
"""

from collections.abc import Iterator

import pytest

from payments_sandbox import Sandbox


@pytest.fixture
def stripe_sandbox() -> Iterator[Sandbox]:
    """Lend a fresh sandbox on a free local port."""
    with Sandbox() as sandbox:
        yield sandbox
