"""Child processes: a child that dies is restarted, in the same place.

Rule 1: whether a child runs is read from the process itself.
Rule 2: a death and the result of the restart are each one line on stderr.
Rule 3: a child that keeps dying is restarted with a growing delay, up to `WAIT_S_MAX`.
"""

import asyncio
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

import attrs
import click

from payments_sandbox.back_off import BackOff
from payments_service.cli.exit_codes import CommandError

POLL_S: Final = 0.2
WAIT_S: Final = 1.0
WAIT_S_MAX: Final = 30.0
# A child that ran for this long did not fail at its start.
STEADY_S: Final = 60.0


class Running(Protocol):
    """A child that runs."""

    @property
    def process(self) -> "subprocess.Popen[bytes]": ...


_R = TypeVar("_R", bound=Running)


@attrs.define
class Child(Generic[_R]):
    """A child process for the duration of the block, however often it dies.

    `start` starts it, in the place of the previous one, if there was one; it raises
    `CommandError` if it does not start.
    """

    name: str
    start: Callable[[_R | None], AbstractContextManager[_R]]
    # The latest process; it may have ended.
    _latest: _R | None = attrs.field(init=False, default=None)
    _stack: ExitStack = attrs.field(init=False, factory=ExitStack)

    def __enter__(self) -> Self:
        self._latest = self._stack.enter_context(self.start(None))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def running(self) -> _R:
        """The latest process, which may have ended."""
        if self._latest is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._latest

    @property
    def is_up(self) -> bool:
        return self.running.process.poll() is None

    def restart(self) -> None:
        """Clean up the process that ended, and start the next; block until it is up.

        Raises:
            CommandError: it did not start.
        """
        self._stack.close()
        self._latest = self._stack.enter_context(self.start(self._latest))

    def how_it_ended(self) -> str:
        code = self.running.process.poll()
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


async def keep(
    child: Child[_R],
    back_off: BackOff | None = None,
    *,
    steady_s: float = STEADY_S,
    say: Callable[[str], None] = lambda text: click.echo(f"payments: {text}", err=True),
) -> None:
    """Restart a child whenever it has died, until cancelled."""
    back_off = back_off or BackOff(WAIT_S, WAIT_S_MAX)
    now = asyncio.get_running_loop().time
    # After the first of several deaths the restart is immediate.
    wait_s, since = 0.0, now()
    while True:
        while child.is_up:  # noqa: ASYNC110  # a process does not report its end
            await asyncio.sleep(POLL_S)
        if now() - since >= steady_s:
            wait_s = 0.0
            back_off.reset()
        soon = f"in {wait_s:g} s" if wait_s else "now"
        say(f"{child.name} died ({child.how_it_ended()}); restarting {soon}")
        while True:
            await asyncio.sleep(wait_s)
            wait_s = back_off.wait_s()
            try:
                await asyncio.to_thread(child.restart)
            except (CommandError, OSError) as error:
                say(f"{error}; restarting {child.name} in {wait_s:g} s")
            else:
                break
        since = now()
        say(f"{child.name} is up again")
