"""One `payments dev` on an embedded Postgres, for all tests of this folder."""

from collections.abc import Iterator

import pytest

from support.dev_service import (
    DevProcess,
    running,
)


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    """
    One service for all tests that leave it as it is; its folder's name needs quoting.

    Each has users of its own. Time may have passed at its sandbox.
    """
    folder = tmp_path_factory.mktemp("it's a dev") / ".payments"
    with running(folder) as dev:
        yield dev
