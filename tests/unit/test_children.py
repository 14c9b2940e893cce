"""Children of `payments dev`: a child that dies is reported, and started again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest

from payments_sandbox.back_off import BackOff
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.dev.children import Child, keep

pytestmark = pytest.mark.anyio


@attrs.define
class Process:
    """What a child needs of a process; `code` is None as long as it lives."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code


@attrs.define
class One:
    process: Any
    number: int


@attrs.define
class Nursery:
    """Starts children with given codes; a code of -1 is a child that fails to start.

    With `None` it keeps running.
    """

    codes: list[int | None]
    before: list[int | None] = attrs.field(factory=list)
    closed: list[int] = attrs.field(factory=list)

    @contextmanager
    def start(self, before: One | None) -> Iterator[One]:
        number = len(self.before)
        self.before.append(None if before is None else before.number)
        code = self.codes.pop(0) if self.codes else None
        if code == -1:
            raise CommandError(Exit.DEPENDENCY_DOWN, "no port")
        yield One(Process(code), number)
        self.closed.append(number)


async def kept(
    child: Child[One], said: list[str], ends: Callable[[], bool], **waits: Any
) -> None:
    keeping = asyncio.create_task(keep(child, say=said.append, **waits))
    async with asyncio.timeout(30):
        while not ends():  # noqa: ASYNC110  # it says so, but to nobody who waits
            await asyncio.sleep(0)
    assert not keeping.done()
    keeping.cancel()


async def test_one_that_dies_is_said_and_started_where_it_was() -> None:
    """
    One line says that it died and why, another that it runs again; what is left of the
    dead child is removed first, and the next one is told its place.
    """
    nursery, said = Nursery([None, None]), list[str]()
    with Child("the thing", nursery.start) as child:
        up = [child.is_up]
        child.running.process.code = -9
        up.append(child.is_up)
        await kept(child, said, lambda: len(said) == 2)
        up.append(child.is_up)

        assert up == [True, False, True]
        assert child.running.number == 1
        assert nursery.closed == [0]
    assert nursery.before == [None, 0]
    assert nursery.closed == [0, 1]
    assert said == [
        "the thing died (killed by SIGKILL); restarting now",
        "the thing is up again",
    ]


async def test_one_that_dies_at_once_is_started_ever_more_rarely() -> None:
    """
    The first time at once, then after a wait that doubles up to a limit.
    """
    nursery, said = Nursery([None, 3, 3, 3, 3]), list[str]()
    with Child("the thing", nursery.start) as child:
        child.running.process.code = 3
        waits = BackOff(0.001, 0.004)
        await kept(child, said, lambda: len(said) == 10, back_off=waits)

    died = "the thing died (exit code 3); restarting"
    assert said[::2] == [
        f"{died} {when}"
        for when in ("now", "in 0.001 s", "in 0.002 s", "in 0.004 s", "in 0.004 s")
    ]


async def test_one_that_lived_long_enough_is_started_at_once() -> None:
    """
    Its start did not cause its death; earlier deaths are forgotten.
    """
    nursery, said = Nursery([None, 3, 3, -1]), list[str]()
    with Child("the thing", nursery.start) as child:
        child.running.process.code = 3
        waits = BackOff(0.001, 0.004)
        await kept(child, said, lambda: len(said) == 7, back_off=waits, steady_s=0)

    died = "the thing died (exit code 3); restarting now"
    assert said == [
        *[died, "the thing is up again"] * 2,
        *[died, "no port; restarting the thing in 0.001 s"],
        "the thing is up again",
    ]


async def test_one_that_does_not_start_is_tried_again_and_is_not_up() -> None:
    """
    Each failed try is logged with its reason; meanwhile it is down.
    """
    nursery, said = Nursery([None, -1, -1, None]), list[str]()
    up: list[bool] = []
    with Child("the thing", nursery.start) as child:
        child.running.process.code = 0

        def note(line: str) -> None:
            said.append(line)
            up.append(child.is_up)

        keeping = asyncio.create_task(keep(child, BackOff(0.001, 1), say=note))
        async with asyncio.timeout(30):
            while len(said) < 4:  # noqa: ASYNC110  # see above
                await asyncio.sleep(0)
        keeping.cancel()

    assert said == [
        "the thing died (exit code 0); restarting now",
        "no port; restarting the thing in 0.001 s",
        "no port; restarting the thing in 0.002 s",
        "the thing is up again",
    ]
    assert up == [False, False, False, True]
    assert nursery.before == [None, 0, 0, 0]
