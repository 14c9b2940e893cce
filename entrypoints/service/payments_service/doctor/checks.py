"""The results of checks, also of checks that fail.

Rule 1: a check that fails or takes too long returns that as its result; the others
        continue. The log has the traceback of a bug.
Rule 2: no result shows a secret, or more of an address than a person typed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final

import attrs
import structlog

from payments_adapters.postgres.driver_errors import is_of_schema
from payments_core.errors import PaymentsError, StoreUnavailable

# For one check; all run concurrently.
CHECK_S: Final = 15.0
_LOCKED: Final = (
    "end the transaction that holds the lock, usually the oldest one: "
    '`psql "$PAYMENTS_DATABASE_URL" -c "select pid, usename, xact_start, query from '
    'pg_stat_activity where xact_start is not null order by xact_start"`'
)


class Status(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    # It could not be checked.
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class CheckResult:
    """One line; the remedy says what to do, if anything."""

    check: str
    status: Status
    text: str
    remedy: str | None = None


CheckResults = Sequence[CheckResult]


@attrs.frozen
class Check:
    """The name under which it is reported, and the function that checks."""

    name: str
    look: Callable[[], Awaitable[CheckResults]]

    async def run(self, *, within_s: float = CHECK_S) -> CheckResults:
        """Return the results; a failure of the check is a result, too."""
        try:
            async with asyncio.timeout(within_s):
                return await self.look()
        except TimeoutError:
            return [self.unknown(f"no answer within {within_s:.0f} s")]
        except PaymentsError as error:
            return [self.unknown(str(error))]
        except Exception as error:  # noqa: BLE001  # the other checks continue
            if is_of_schema(error):
                return [self.unknown("a table or column does not exist: see `schema`")]
            structlog.get_logger().error("bug", check=self.name, exc_info=error)
            # Its message may quote something secret.
            return [self.unknown(f"the check failed ({type(error).__name__})")]

    def unknown(self, text: str) -> CheckResult:
        return CheckResult(check=self.name, status=Status.UNKNOWN, text=text)


def once_well(first: "asyncio.Future[CheckResults]", check: Check) -> Check:
    """Return a check that runs only if another one found no fault.

    If the database does not answer, each check would wait for it again.
    """

    async def look() -> CheckResults:
        # A cancelled check does not cancel it for the others.
        if any(it.status is not Status.OK for it in await asyncio.shield(first)):
            raise StoreUnavailable
        try:
            return await check.look()
        except StoreUnavailable:
            text = "the database did not answer: a table might be locked"
            return [attrs.evolve(check.unknown(text), remedy=_LOCKED)]

    return Check(check.name, look)


def ok(check: str, text: str) -> CheckResult:
    return CheckResult(check=check, status=Status.OK, text=text)


def wrong(check: str, text: str, remedy: str) -> CheckResult:
    return CheckResult(check=check, status=Status.WRONG, text=text, remedy=remedy)
