"""What the worker takes up by itself: open intents, and what is nobody's."""

from collections.abc import Callable
from typing import Final

import attrs

from payments_core.errors import StoreUnavailable
from payments_core.intent import Intent
from payments_core.ports import Clock, OpenUnitOfWork
from payments_core.use_cases.books import Books
from payments_core.use_cases.operations import RunIntent
from payments_core.use_cases.posting import adopt_unlinked, save

INTENTS_AT_ONCE: Final = 16
LINKED_AT_ONCE: Final = 100


def _unheard(_: Intent, __: Exception) -> None:
    """Nobody listens."""


@attrs.frozen
class HealIntents:
    """Go on with intents whose run died, or was put off."""

    open_unit_of_work: OpenUnitOfWork
    run: RunIntent
    clock: Clock
    on_failure: Callable[[Intent, Exception], None] = _unheard

    async def __call__(self) -> int:
        """Go on with some that are due; return how many.

        Raises:
            StoreUnavailable: those that were not ended will be taken up again.
        """
        # One at a time: an intent may need another one, and would find it leased.
        for done in range(INTENTS_AT_ONCE):
            intent = await self._next()
            if intent is None:
                return done
            await self._try(intent)
        return INTENTS_AT_ONCE

    async def _next(self) -> Intent | None:
        now = self.clock()
        async with self.open_unit_of_work() as work:
            for due in await work.due_intents(now=now, limit=1):
                leased = due.taken(now)
                await work.save_intent(leased, at=now)
                await work.commit()
                return attrs.evolve(leased, version=leased.version + 1)
        return None

    async def _try(self, intent: Intent) -> None:
        try:
            await self.run(intent)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # one intent's bug is not the others'
            # Its lease runs out, and it is taken up again.
            self.on_failure(intent, error)


@attrs.frozen
class LinkUnlinked:
    """Link what is nobody's although its account is there by now."""

    open_unit_of_work: OpenUnitOfWork
    clock: Clock

    async def __call__(self) -> int:
        """Link some; return how many things found their accounts."""
        async with self.open_unit_of_work() as work:
            keys = await work.linkable(limit=LINKED_AT_ONCE)
            if not keys:
                return 0
            await work.hold(keys, exclusive=True)
            books = Books()
            books.know(await work.accounts(keys))
            await adopt_unlinked(work, books, keys)
            await save(work, books, self.clock)
            await work.commit()
        return len(books.changed_payments) + len(books.changed_subscriptions)
