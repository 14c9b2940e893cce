"""Users by index, a page at a time.

One filter decides which index a page uses; the other filters are applied to the rows
read, which are limited. The order is by bytes: each index used has the collation "C".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.account import PaymentAccount
from payments_core.user_list import EVERYBODY, UserFilter, UserPage, UserPlace

# How many users a page reads at once, of whom few may match.
READ_MAX: Final = 1_000
CHUNK: Final = 200
# Sorts before all printable characters: a key and this sort right after the bare key.
_BEHIND: Final = "\x01"

# As in the indexes: "listed" users are all but the erased ones.
_LISTED: Final = "user_id not like 'erased/%'"
_BY_ID: Final = f"""
select user_id, user_id as key from payment_accounts
where {_LISTED} and user_id collate "C" > $1
order by user_id collate "C" limit {{most}}
"""  # noqa: S608  # our own texts
_BY_STATUS: Final = f"""
select user_id, user_id as key from payment_accounts
where payment_status = $2 and {_LISTED} and user_id collate "C" > $1
order by user_id collate "C" limit {{most}}
"""  # noqa: S608  # our own texts
# A user may have several subscriptions to a product.
_BY_PRODUCT: Final = """
select distinct on (user_id collate "C") user_id, user_id as key from subscriptions
where product = $2 and user_id is not null
    and status not in ('incomplete_expired', 'canceled')
    and user_id collate "C" > $1
order by user_id collate "C" limit {most}
"""
# At most one user, whose position in the list may be that of the id or the e-mail.
_ONE: Final = """
select user_id, place.key from payment_accounts,
    unnest(array[user_id, email_key]) as place (key)
where {} = $2 and place.key collate "C" > $1
"""
_BY_CUSTOMER: Final = _ONE.format("customer_id")
_BY_EMAIL: Final = _ONE.format("email_key")
# Ids with a prefix, and e-mails with it. There is no upper bound: for an unknown range
# the planner expects few rows, and sorts all.
_STREAM: Final = f"""
select user_id, key from (
    select user_id, {{key}} as key from payment_accounts
    where {_LISTED} and {{key}} collate "C" >= {{start}}
    order by {{key}} collate "C" limit {{{{most}}}}
) as {{key}} where starts_with(key, {{text}})
"""  # noqa: S608  # our own texts
_IDS: Final = _STREAM.format(key="user_id", start="$1", text="$2")
_EMAILS: Final = _STREAM.format(key="email_key", start="$3", text="$4")
_BY_TEXT: Final = (
    f"select user_id, key from (({_IDS}) union all ({_EMAILS})) as found"  # noqa: S608  # our own texts
    ' order by key collate "C" limit {most}'
)
# Each by its key, in the order found: without a join of the whole table.
_WHOLE: Final = (
    "select found.key as place, account.* from ({found}) as found"  # noqa: S608  # our own texts
    f" cross join lateral ({statements.FIND_ACCOUNT_FOUND}) as account"
)


class Reading(NamedTuple):
    """The index that finds users after a position; `takes_all`: no further filter."""

    found: str
    values: Sequence[str]
    takes_all: bool = False

    def query(self, most: int) -> str:
        return _WHOLE.format(found=self.found.format(most=most))


def reading_of(wanted: UserFilter, after: UserPlace | None) -> Reading:
    """Return how to find these users: usually by the most selective filter."""
    place = after.key if after else ""
    given = attrs.asdict(wanted, recurse=False).values()
    is_alone = sum(it is not None for it in given) == 1
    if wanted.customer_id is not None:
        return Reading(_BY_CUSTOMER, [place, wanted.customer_id])
    if wanted.email is not None:
        return Reading(_BY_EMAIL, [place, wanted.email.key])
    if wanted.text is not None:
        texts = wanted.text, wanted.email_prefix
        starts = [it if place < it else place + _BEHIND for it in texts]
        return Reading(_BY_TEXT, [starts[0], texts[0], starts[1], texts[1]])
    if wanted.product is not None:
        return Reading(_BY_PRODUCT, [place, wanted.product], takes_all=is_alone)
    if wanted.status is not None:
        status = wanted.status.value
        return Reading(_BY_STATUS, [place, status], takes_all=is_alone)
    return Reading(_BY_ID, [place], takes_all=True)


_Placed = tuple[UserPlace, PaymentAccount]


@attrs.frozen
class PostgresUserList:
    _store: PostgresStore

    async def page(
        self,
        wanted: UserFilter = EVERYBODY,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
    ) -> UserPage:
        takes_all = reading_of(wanted, after).takes_all
        chunk = limit + 1 if takes_all else max(limit + 1, CHUNK)
        listed, read, place = list[_Placed](), 0, after
        while read < READ_MAX:
            found = await self._read(reading_of(wanted, place), chunk)
            listed += [it for it in found if wanted.place_of(it[1]) == it[0]]
            if len(listed) > limit or len(found) < chunk:
                break
            read, place = read + chunk, found[-1][0]
        else:
            return UserPage([it for _, it in listed], place)
        last = listed[limit - 1][0] if len(listed) > limit else None
        return UserPage([it for _, it in listed[:limit]], last)

    async def _read(self, reading: Reading, most: int) -> Sequence[_Placed]:
        async with self._store.connection() as connection:
            found = await connection.fetch(reading.query(most), *reading.values)
        placed = list[_Placed]()
        for row in found:
            theirs = [rows.to_subscription(it) for it in row["subscriptions"] or ()]
            account = rows.to_account(row, theirs)
            placed.append((UserPlace(row["place"], account.user_id), account))
        return sorted(placed, key=lambda it: it[0].order)
