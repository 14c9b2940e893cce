"""How a process that serves ends: on SIGTERM or SIGINT, with exit code 0.

Rule 1: it ends so from before its command is imported, whatever it waits for then.
Rule 2: what begins is cut off; what has begun ends in its own way, see `Ending.by`.
Rule 3: the first signal counts. Later ones are ignored until the process is gone: the
        loop and the interpreter restore signals earlier, and the default action kills.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from payments_core.errors import StoreUnavailable
from payments_service.cli.exit_codes import Exit

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@attrs.define
class Ending:
    """Whether this process was asked to end, and what that does."""

    _told: bool = attrs.field(init=False, default=False)
    _over: bool = attrs.field(init=False, default=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(init=False, default=None)
    _end: Callable[[], object] = attrs.field(init=False, default=lambda: None)

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["Ending"]:
        """Listen to the signals, in the main thread."""
        ending = cls()
        before = {number: signal.signal(number, ending._hear) for number in SIGNALS}
        try:
            yield ending
        finally:
            if not ending._told:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` on a loop of its own, until it ends or a signal comes."""
        # Importing it takes a moment, in which we listen already.
        from payments_service.cli import environment  # noqa: PLC0415

        environment.run(self._until_told(work))

    def by(self, stop: Callable[[], object]) -> None:
        """From now on a signal calls `stop`, on the loop, and cuts nothing off."""
        self._end = stop
        if self._told:
            stop()

    async def _until_told(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._end, self._loop = task.cancel, asyncio.get_running_loop()
        if self._told:
            # An import may have swallowed what `_hear` raised.
            task.cancel()
        try:
            await task
        except (asyncio.CancelledError, StoreUnavailable):
            # Cut off, a wait for a database that does not answer may end in either.
            if not self._told:
                raise
        finally:
            self._over = True

    def _hear(self, *_: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._told = True
        if self._over:
            return
        if self._loop is None:
            raise SystemExit(Exit.DONE)
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        # Read on the loop: since the signal `by` may have been called.
        self._end()
