"""A busy gateway is retried after longer and longer waits, and not for ever."""

import pytest

from payments_core.errors import (
    AccountBusy,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.use_cases.patience import TRIES_MAX, UNANSWERED_MAX, Patience

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (GatewayNotAttempted("busy"), TRIES_MAX),
        (AccountBusy(), TRIES_MAX),
        (GatewayOutcomeUnknown("silence"), UNANSWERED_MAX),
        (GatewayMisconfigured("a key that is refused"), 1),
        (StoreUnavailable(), 1),
    ],
)
async def test_each_error_is_waited_for_so_often(
    error: PaymentsError, tries: int
) -> None:
    """
    Then it is raised as it is; each wait is reported, and is longer than the one
    before.
    """
    tried, waits, told = 0, list[float](), list[tuple[Exception, float]]()

    async def action() -> None:
        nonlocal tried
        tried += 1
        raise error

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with pytest.raises(type(error)) as raised:
        await Patience(sleep, lambda *it: told.append(it))(action)

    assert raised.value is error
    assert tried == tries
    assert told == [(error, it) for it in waits]
    assert len(waits) == tries - 1
    assert waits == sorted(waits)


async def test_what_is_answered_at_last_is_returned() -> None:
    """
    However often it was busy before, up to the last attempt.
    """
    left = TRIES_MAX - 1

    async def action() -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise GatewayNotAttempted("busy")
        return "it"

    async def sleep(_: float) -> None:
        """Return at once."""

    assert await Patience(sleep)(action) == "it"
