"""What each use case that writes the books does in between: read, adopt, save."""

from collections.abc import Sequence

import attrs

from payments_core.events import GatewayEvent, Outcome
from payments_core.payment import Payment
from payments_core.ports import Clock, LinkKeys, OpenUnitOfWork, UnitOfWork, link_keys
from payments_core.subscription import SubscriptionReport
from payments_core.use_cases.books import Books


async def books_on(
    work: UnitOfWork,
    *,
    payments: Sequence[Payment] = (),
    subscriptions: Sequence[SubscriptionReport] = (),
) -> Books:
    """Return books in which reports can be posted: all that concerns them is read."""
    books = Books()
    records = await work.payments([it.id for it in payments]) if payments else ()
    known = (
        await work.subscriptions([it.gateway_id for it in subscriptions])
        if subscriptions
        else ()
    )
    owners = {it.user_id for it in records if it.user_id}
    owners |= {it.user_id for it in known if it.user_id}
    keys = link_keys(payments, subscriptions)
    keys = attrs.evolve(keys, user_ids=keys.user_ids | owners)
    books.know(await work.accounts(keys), records, known)
    await know_owners(work, books, payments=payments, subscriptions=subscriptions)
    return books


async def know_owners(
    work: UnitOfWork,
    books: Books,
    *,
    payments: Sequence[Payment],
    subscriptions: Sequence[SubscriptionReport],
) -> None:
    """Look once more for the owners of what would be nobody's.

    Under a lock: whoever registers one meanwhile waits, and then finds the reports.
    """
    if keys := books.ownerless(payments, subscriptions):
        await work.hold(keys, exclusive=False)
        books.know(await work.accounts(keys))


async def adopt_unlinked(work: UnitOfWork, books: Books, keys: LinkKeys) -> None:
    """Link what is nobody's and has one of these keys; they are held, exclusively."""
    found = await work.unlinked(keys)
    if others := books.unknown_customers(found):
        books.know(await work.accounts(others))
    books.adopt(found)


async def save(
    work: UnitOfWork,
    books: Books,
    clock: Clock,
    events: Sequence[tuple[GatewayEvent, Outcome]] = (),
) -> None:
    """Save what changed in the books, and the events that changed it.

    Raises:
        ChangedElsewhere: see `UnitOfWork.keep`.
    """
    if books.to_replay:
        books.replay(await work.history(books.to_replay))
    now = clock()
    await work.keep(
        events=events,
        accounts=books.changed_accounts,
        payments=books.changed_payments,
        subscriptions=books.changed_subscriptions,
        at=now,
    )
    if jobs := books.jobs(now):
        await work.ask(jobs)


async def draw_ticket(open_unit_of_work: OpenUnitOfWork) -> int:
    """Draw a ticket: what is read after this is newer than what was before."""
    async with open_unit_of_work() as work:
        (ticket,) = await work.tickets(1)
        await work.commit()
    return ticket
