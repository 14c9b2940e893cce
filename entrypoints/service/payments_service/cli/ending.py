"""How a long-running process ends: on SIGTERM or Ctrl-C, with exit code 0.

Rule 1: this holds from before its command is imported, whatever it is waiting for.
Rule 2: work that is starting is cancelled; a started service shuts down in its own way,
        see `Ending.by`.
Rule 3: the first signal counts. Later ones are ignored until the process has exited,
        also while Python restores signals on exit: the default action would kill it.
Rule 4: a signal while an event loop starts or ends cancels nothing, so that no loop and
        no coroutine is left incomplete. It is noted, and applies once the loop runs.
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
    """Whether a signal told this process to stop, and what it then does.

    `began` is when it began to handle signals, in seconds of the monotonic clock.
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
        """Handle the signals, in the main thread.

        Under `nohup` SIGHUP stays ignored: closing the terminal ends nothing.
        """
        hup, ignored = signal.SIGHUP, signal.SIG_IGN
        if hup in signals and signal.getsignal(hup) is ignored:
            signals = [number for number in signals if number is not hup]
        ending = cls()
        before = {number: signal.signal(number, ending._hear) for number in signals}
        try:
            yield ending
        finally:
            # A signal that arrives in between must not reach the removed handler.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if ending._told else handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` on an event loop of its own, until it ends or a signal arrives."""
        # Imported here because it takes a while, and signals are handled already.
        from payments_service.cli import environment  # noqa: PLC0415

        self._only_notes = True
        environment.run(self._until_told(work))

    def step(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` on an event loop of its own, before the loop of `run`.

        Raises:
            SystemExit: a signal arrived.
        """
        done: list[_T] = []

        async def noted() -> None:
            done.append(await work())

        self.run(noted)
        self._only_notes = False
        self.go_on()
        return done[0]

    def go_on(self) -> None:
        """Return unless a signal arrived: its exception may have been swallowed.

        Raises:
            SystemExit: a signal arrived.
        """
        if self._told:
            raise SystemExit(Exit.DONE)

    @property
    def told(self) -> bool:
        """Whether a signal arrived."""
        return self._told

    def by(self, stop: Callable[[], object]) -> None:
        """Let a signal call `stop`, on the event loop, instead of cancelling `work`."""
        self._end = stop
        if self._told:
            stop()

    async def _until_told(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._end, self._loop = task.cancel, asyncio.get_running_loop()
        self._only_notes = False
        if self._told:
            # It arrived while the loop started, or an import swallowed the exception.
            task.cancel()
        try:
            await task
        except (asyncio.CancelledError, StoreUnavailable):
            # A cancelled wait for a database can end with either exception.
            if not self._told:
                raise
        finally:
            self._only_notes, self._loop = True, None

    def _hear(self, *_: object) -> None:
        # If two signals arrive at once, the second is ignored here: Python reports an
        # error for a signal whose handler was removed before it ran.
        if self._told or self._only_notes:
            self._told = True
            return
        self._told = True
        if self._loop is None:
            raise SystemExit(Exit.DONE)
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        # Read on the loop, because `by` may have been called since the signal.
        self._end()
