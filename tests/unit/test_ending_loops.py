"""A signal while a loop begins or ends: `payments_service.cli.ending`, rule 4."""

import asyncio
import gc
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import attrs
import pytest

from payments_service.cli.ending import Ending

SOME_CALLS: Final = 20

ENDS: Final = pytest.mark.parametrize("by", ["run", "step"])

Work = Callable[[], Coroutine[Any, Any, None]]


async def short() -> None:
    await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


@attrs.define
class SignalAtCall:
    """A profiler that raises a signal at the n-th call or return."""

    call: int
    seen: int = 0

    def __call__(self, *_: object) -> None:
        self.seen += 1
        if self.seen == self.call:
            signal.raise_signal(signal.SIGTERM)


def run(by: str, work: Work, at: SignalAtCall) -> bool:
    """Run it, and return whether a signal was noted.

    A noted signal stays ignored as long as the process lives: here, the tests.
    """
    before = signal.getsignal(signal.SIGTERM)
    with Ending.listening([signal.SIGTERM]) as ending, suppress(SystemExit):
        sys.setprofile(at)
        try:
            getattr(ending, by)(work)
        finally:
            sys.setprofile(None)
    signal.signal(signal.SIGTERM, before)
    return ending.told


@ENDS
def test_f07_a_signal_at_any_call_leaves_no_loop_and_no_coroutine_half_made(
    by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Otherwise Python warns when one of them is deallocated.
    """
    run(by, short, SignalAtCall(0))  # it imports what later runs need
    calls = SignalAtCall(0)
    run(by, short, calls)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # The last call is the test's own: it ends the profile.
        told = [run(by, short, SignalAtCall(n)) for n in range(1, calls.seen)]
        gc.collect()

    assert [str(warning.message) for warning in warned] == []
    assert caplog.messages == []
    assert all(told)
    assert len(told) > SOME_CALLS


@ENDS
def test_f07_a_signal_while_the_loop_begins_cuts_off_what_it_runs(by: str) -> None:
    """
    It is noted before the first step of what would never end.
    """

    def work() -> Coroutine[Any, Any, None]:
        signal.raise_signal(signal.SIGTERM)
        return for_ever()

    assert run(by, work, SignalAtCall(0))
