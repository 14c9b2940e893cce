"""Who hears of calls to the gateway: metrics, say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


class GatewayListener:
    """Hears of each call; as it is, it does nothing."""

    def called(
        self, operation: str, error: BaseException | None, seconds: float | None
    ) -> None:
        """Hear that a call ended, or was not made; None: it was answered.

        The seconds are those of the call itself, without the wait for the budget; None:
        it was not made.
        """

    def waited(self, endpoint: str) -> None:
        """Hear that a call found the budget of an endpoint used up, and waits."""


@contextmanager
def heard(listener: GatewayListener, operation: str) -> Iterator[Callable[[], None]]:
    """Tell a listener how a call ends; what is lent is called when it leaves."""
    left_at: float | None = None

    def leaves() -> None:
        nonlocal left_at
        left_at = perf_counter()

    error: BaseException | None = None
    try:
        yield leaves
    except BaseException as raised:
        error = raised
        raise
    finally:
        seconds = None if left_at is None else perf_counter() - left_at
        listener.called(operation, error, seconds)
