"""What is notified of calls to the gateway: metrics, for example."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


class GatewayListener:
    """Is notified of each call; this one does nothing."""

    def called(
        self, operation: str, error: BaseException | None, seconds: float | None
    ) -> None:
        """Handle a call that ended, or was not made; None: it was answered.

        The seconds are those of the call itself, without the wait for the budget; None:
        the call was not made.
        """

    def waited(self, endpoint: str) -> None:
        """Handle a call that found the budget of an endpoint used up, and waits."""


@contextmanager
def heard(listener: GatewayListener, operation: str) -> Iterator[Callable[[], None]]:
    """Report to a listener how a call ends; the yielded function marks its start."""
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
