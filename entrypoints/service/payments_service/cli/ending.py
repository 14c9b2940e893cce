"""How a process that serves ends: on SIGTERM or Ctrl-C, with exit code 0.

Rule 1: it ends so from before its command is imported, whatever it waits for then.
Rule 2: what begins is cut off; what has begun ends in its own way, see `Ending.by`.
Rule 3: the first signal counts. Later ones are ignored until the process is gone, also
        when Python, at its end, restores signals: the default action kills.
Rule 4: one that comes while a loop begins or ends cuts nothing off, so that no loop and
        no coroutine is left half made. It is noted, and counts once the loop runs.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs

from payments_core.errors import StoreUnavailable
from payments_service.cli.exit_codes import Exit

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_T = TypeVar("_T")


@attrs.define
class Ending:
    """Whether this process was asked to end, and what that does.

    `began` is when it began to listen, in seconds of the monotonic clock.
    """

    began: float = attrs.field(init=False, factory=time.monotonic)
    _told: bool = attrs.field(init=False, default=False)
    _only_notes: bool = attrs.field(init=False, default=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(init=False, default=None)
    _end: Callable[[], object] = attrs.field(init=False, default=lambda: None)

    @classmethod
    @contextmanager
    def listening(
        cls, signals: Sequence[signal.Signals] = SIGNALS
    ) -> Iterator["Ending"]:
        """Listen to the signals, in the main thread.

        Under `nohup` the end of a terminal ends nothing.
        """
        hup, ignored = signal.SIGHUP, signal.SIG_IGN
        if hup in signals and signal.getsignal(hup) is ignored:
            signals = [number for number in signals if number is not hup]
        ending = cls()
        before = {number: signal.signal(number, ending._hear) for number in signals}
        try:
            yield ending
        finally:
            # What comes in between is not for a handler that is gone.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if ending._told else handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` on a loop of its own, until it ends or a signal comes."""
        # Importing it takes a moment, in which we listen already.
        from payments_service.cli import environment  # noqa: PLC0415

        self._only_notes = True
        environment.run(self._until_told(work))

    def step(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` on a loop of its own, before the one of `run`.

        Raises:
            SystemExit: a signal came.
        """
        done: list[_T] = []

        async def noted() -> None:
            done.append(await work())

        self.run(noted)
        self._only_notes = False
        self.go_on()
        return done[0]

    def go_on(self) -> None:
        """Return unless a signal came: something may have swallowed what it raised.

        Raises:
            SystemExit: one came.
        """
        if self._told:
            raise SystemExit(Exit.DONE)

    @property
    def told(self) -> bool:
        """Whether a signal came."""
        return self._told

    def by(self, stop: Callable[[], object]) -> None:
        """From now on a signal calls `stop`, on the loop, and cuts nothing off."""
        self._end = stop
        if self._told:
            stop()

    async def _until_told(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._end, self._loop = task.cancel, asyncio.get_running_loop()
        self._only_notes = False
        if self._told:
            # While the loop began, or an import swallowed what `_hear` raised.
            task.cancel()
        try:
            await task
        except (asyncio.CancelledError, StoreUnavailable):
            # Cut off, a wait for a database that does not answer may end in either.
            if not self._told:
                raise
        finally:
            self._only_notes, self._loop = True, None

    def _hear(self, *_: object) -> None:
        # Of two that came at once the second is ignored here: Python complains of one
        # whose handler is gone when its turn comes.
        if self._told or self._only_notes:
            self._told = True
            return
        self._told = True
        if self._loop is None:
            raise SystemExit(Exit.DONE)
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        # Read on the loop: since the signal `by` may have been called.
        self._end()
