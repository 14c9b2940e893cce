"""A busy gateway is asked again, later and later, and not for ever."""

import pytest

from payments_core.errors import (
    AccountBusy,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.use_cases.patience import TRIES_MAX, UNANSWERED_MAX, patiently

pytestmark = pytest.mark.anyio


async def tried(*errors: PaymentsError) -> tuple[int, list[float]]:
    """Return how often it was tried, and the waits, if each try ends so in turn."""
    waits, left, tries = list[float](), list(errors), 0

    async def action() -> int:
        nonlocal tries
        tries += 1
        if left:
            raise left.pop(0)
        return tries

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    heard = list[tuple[Exception, float]]()
    done = await patiently(action, sleep, lambda error, s: heard.append((error, s)))
    assert heard == list(zip(errors, waits, strict=True))
    return done, waits


@pytest.mark.parametrize("error", [GatewayNotAttempted("busy"), AccountBusy()])
async def test_who_is_busy_is_asked_again(error: PaymentsError) -> None:
    """
    A second later, then later and later; the last time is the last.
    """
    done, waits = await tried(*[error] * (TRIES_MAX - 1))
    assert done == TRIES_MAX
    assert waits[0] == 1
    assert waits == sorted(waits)
    assert waits[-1] <= 60

    with pytest.raises(type(error)):
        await tried(*[error] * TRIES_MAX)


async def test_what_is_not_answered_is_given_up_sooner() -> None:
    """
    Each such call takes its time.
    """
    silence = GatewayOutcomeUnknown("it did not answer")
    assert (await tried(*[silence] * (UNANSWERED_MAX - 1)))[0] == UNANSWERED_MAX
    with pytest.raises(GatewayOutcomeUnknown):
        await tried(*[silence] * UNANSWERED_MAX)


@pytest.mark.parametrize("error", [GatewayMisconfigured("key"), StoreUnavailable()])
async def test_what_waiting_does_not_mend_is_told_at_once(error: PaymentsError) -> None:
    """
    A key that is refused, a database that is gone.
    """
    with pytest.raises(type(error)):
        await tried(error)
