"""Users by index, a page at a time.

One filter says by which index a page is read; what else is wanted is looked at in what
was read, of which there is a limit. Orders are those of bytes: each index that is used
has the collation "C".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.account import PaymentAccount
from payments_core.user_list import EVERYBODY, UserFilter, UserPage, UserPlace

# How many users a page reads, of whom it may want few: so many at once.
READ_MAX: Final = 1_000
CHUNK: Final = 200
# Behind all that begins with a text: no character is greater, and none is this one.
_LAST: Final = "\U0010ffff"

# As the indexes have it: "listed" is what is left when those are gone who were erased.
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
# A user may have several of a product.
_BY_PRODUCT: Final = """
select distinct on (user_id collate "C") user_id, user_id as key from subscriptions
where product = $2 and user_id is not null
    and status not in ('incomplete_expired', 'canceled')
    and user_id collate "C" > $1
order by user_id collate "C" limit {most}
"""
# One user at most, whose place in the list may be that of the id or of the e-mail.
_ONE: Final = """
select user_id, place.key from payment_accounts,
    unnest(array[user_id, email_key]) as place (key)
where {} = $2 and place.key collate "C" > $1
"""
_BY_CUSTOMER: Final = _ONE.format("customer_id")
_BY_EMAIL: Final = _ONE.format("email_key")
# Of the ids that begin with a text, and of the e-mails that do.
_IDS: Final = f"""
select user_id, user_id as key from payment_accounts
where {_LISTED} and user_id collate "C" > $1 and user_id collate "C" >= $2
    and user_id collate "C" < $3
order by user_id collate "C" limit {{most}}
"""  # noqa: S608  # our own texts
_EMAILS: Final = f"""
select user_id, email_key as key from payment_accounts
where {_LISTED} and email_key collate "C" > $1 and email_key collate "C" >= $4
    and email_key collate "C" < $5
order by email_key collate "C" limit {{most}}
"""  # noqa: S608  # our own texts
_BY_TEXT: Final = (
    f"select user_id, key from (({_IDS}) union all ({_EMAILS})) as found"  # noqa: S608  # our own texts
    ' order by key collate "C" limit {most}'
)
# Each by its key, in the order in which they were found: the whole table is not joined.
_WHOLE: Final = (
    "select found.key as place, account.* from ({found}) as found"  # noqa: S608  # our own texts
    f" cross join lateral ({statements.FIND_ACCOUNT_FOUND}) as account"
)


class Reading(NamedTuple):
    """By which index users are found: the values are $2 and so on.

    $1 is the key of the place to read after. `takes_all`: whom it finds is wanted.
    """

    found: str
    values: Sequence[object] = ()
    takes_all: bool = False

    def query(self, most: int) -> str:
        return _WHOLE.format(found=self.found.format(most=most))


def reading_of(wanted: UserFilter) -> Reading:
    """Return how these users are found: by what finds the fewest, as a rule."""
    given = attrs.asdict(wanted, recurse=False).values()
    is_alone = sum(it is not None for it in given) == 1
    if wanted.customer_id is not None:
        return Reading(_BY_CUSTOMER, [wanted.customer_id])
    if wanted.email is not None:
        return Reading(_BY_EMAIL, [wanted.email.key])
    if (text := wanted.text) is not None:
        email = wanted.email_prefix
        return Reading(_BY_TEXT, [text, text + _LAST, email, email + _LAST])
    if wanted.product is not None:
        return Reading(_BY_PRODUCT, [wanted.product], takes_all=is_alone)
    if wanted.status is not None:
        return Reading(_BY_STATUS, [wanted.status.value], takes_all=is_alone)
    return Reading(_BY_ID, takes_all=True)


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
        reading = reading_of(wanted)
        chunk = limit + 1 if reading.takes_all else max(limit + 1, CHUNK)
        listed, read, place = list[_Placed](), 0, after
        while read < READ_MAX:
            found = await self._read(reading, place, chunk)
            listed += [it for it in found if wanted.place_of(it[1]) == it[0]]
            if len(listed) > limit or len(found) < chunk:
                break
            read, place = read + chunk, found[-1][0]
        else:
            return UserPage([it for _, it in listed], place)
        last = listed[limit - 1][0] if len(listed) > limit else None
        return UserPage([it for _, it in listed[:limit]], last)

    async def _read(
        self, reading: Reading, place: UserPlace | None, most: int
    ) -> Sequence[_Placed]:
        after = place.key if place else ""
        async with self._store.connection() as connection:
            found = await connection.fetch(reading.query(most), after, *reading.values)
        placed = list[_Placed]()
        for row in found:
            theirs = [rows.to_subscription(it) for it in row["subscriptions"] or ()]
            account = rows.to_account(row, theirs)
            placed.append((UserPlace(row["place"], account.user_id), account))
        return sorted(placed, key=lambda it: it[0].order)
