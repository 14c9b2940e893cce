"""`payments account list`: users by several filters, page by page."""

import json
from typing import Final

import click
import msgspec

from payments_core.use_cases import ListedUsers, ListUsers, PaymentStatusView
from payments_core.user_list import UserFilter, UserPlace
from payments_service.cli import environment, filters
from payments_service.cli.table import show_table
from payments_service.presentation.arguments import decode_user_cursor
from payments_service.presentation.lists import STATUSES, UsersOut, users_wanted
from payments_service.presentation.moments import moment_text

LIMIT_MAX: Final = 1_000
# Each page reads a thousand users. If few of them match, a list may end before it has
# found as many as were requested.
PAGES_MAX: Final = 100
_COLUMNS: Final = (
    *("user_id", "email", "payment_status", "payment_expire_date", "entitled"),
    *("customer_id", "products"),
)
_EMPTY: Final = {
    "payment_expire_date": "no payment and no trial",
    "customer_id": "no Stripe customer is bound",
    "products": "no subscription, or all have ended",
}


@click.command("list")
@click.option(
    "--status", type=click.Choice(STATUSES), help="Only those with this status."
)
@click.option(
    "--product", help="Only those with a subscription to it that has not ended."
)
@click.option("--customer", help="Only the user of this Stripe customer (cus_…).")
@click.option("--email", help="Only the user with this e-mail.")
@click.option(
    "--text",
    help="Only those whose id, or whose e-mail in any case, starts with this text.",
)
@filters.limit(LIMIT_MAX)
@filters.CURSOR
@filters.JSON
def list_users(
    *,
    status: str | None,
    product: str | None,
    customer: str | None,
    email: str | None,
    text: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List users, by their ids.

    A user must match all filters. If few of many users match, one run reads only a part
    of them and prints a cursor to continue with.
    """
    wanted = users_wanted(
        status=status, product=product, customer=customer, email=email, text=text
    )
    after = decode_user_cursor(cursor)

    async def work() -> ListedUsers:
        async with environment.opened() as container:
            return await listed(container[ListUsers], wanted, after, limit)

    page = UsersOut.of(environment.run(work()))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(page)))
        return
    rows = [
        {
            **msgspec.structs.asdict(it),
            "payment_expire_date": it.payment_expire_date
            and moment_text(it.payment_expire_date.replace(microsecond=0)),
            "products": ", ".join(it.products),
        }
        for it in page.items
    ]
    nothing = "no such user" if page.next_cursor is None else "no such user so far"
    show_table(_COLUMNS, rows, nothing=nothing, empty=_EMPTY)
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}", err=True)


async def listed(
    list_users: ListUsers, wanted: UserFilter, after: UserPlace | None, limit: int
) -> ListedUsers:
    """Return up to `limit` users, from at most PAGES_MAX pages."""
    users = list[PaymentStatusView]()
    for _ in range(PAGES_MAX):
        page = await list_users(
            wanted,
            limit=limit - len(users),
            after=after,
            caller=environment.operator(),
        )
        users += page.users
        after = page.after
        if after is None or len(users) == limit:
            break
    return ListedUsers(tuple(users), after)
