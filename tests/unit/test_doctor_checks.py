"""The doctor's checks: one that does not end, and one that depends on another."""

import asyncio
from typing import Final

import structlog

from payments_service.doctor import CheckResult, Status
from payments_service.doctor.checks import Check, CheckResults, ok, once_well, wrong
from support.service import new_secret

SECRET: Final = new_secret()


def test_a_check_that_takes_too_long_says_so() -> None:
    """The others are not delayed; a bug in a check is reported without its text.

    Its trace is in the log.
    """

    async def never() -> CheckResults:
        await asyncio.Event().wait()
        return ()

    async def broken() -> CheckResults:
        raise ValueError(SECRET)

    async def run() -> list[CheckResult]:
        checks = [Check("slow", never), Check("broken", broken)]
        return [it for one in checks for it in await one.run(within_s=0)]

    with structlog.testing.capture_logs() as lines:
        slow, bug = asyncio.run(run())
    assert slow.status is bug.status is Status.UNKNOWN
    assert "no answer within" in slow.text
    assert bug.text == "the check failed (ValueError)"
    [line] = lines
    assert (line["check"], type(line["exc_info"])) == ("broken", ValueError)


def test_what_needs_a_database_does_not_wait_for_one_that_is_not_there() -> None:
    """Each would wait for it again; they report that they could not check."""
    looked = list[str]()

    async def look() -> CheckResults:
        looked.append("looked")
        return [ok("second", "well")]

    async def run(first: CheckResult) -> CheckResults:
        ended = asyncio.get_running_loop().create_future()
        ended.set_result([first])
        return await once_well(ended, Check("second", look)).run()

    [after_well] = asyncio.run(run(ok("first", "well")))
    assert (after_well.status, looked) == (Status.OK, ["looked"])
    [after_wrong] = asyncio.run(run(wrong("first", "it is not", "mend it")))
    assert (after_wrong.status, looked) == (Status.UNKNOWN, ["looked"])
