"""What an erasure does to each column, and which rows are a user's.

Every column of every table is here: a test fails for one that is not.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import attrs

from payments_adapters.postgres.mentions import Identifiers, mentioning
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from payments_core.events import EventKey
from payments_core.identity import UserId


class Fate(StrEnum):
    # Money, times, and values that name no user.
    KEPT = "kept"
    # It is replaced by a random user id.
    PSEUDONYM = "pseudonym"
    EMPTIED = "emptied"
    # The whole row is deleted.
    ROW_DELETED = "row deleted"
    # It is needed while a token of theirs may be valid; then it is purged.
    EXPIRES = "expires"
    # The table is about no user.
    OF_NO_USER = "of no user"


_K, _P, _E = Fate.KEPT, Fate.PSEUDONYM, Fate.EMPTIED


def _but(table: str, others: Mapping[str, Fate]) -> Mapping[str, Fate]:
    """Return the fates of a table's columns: `KEPT` for all but the given ones.

    The kept columns are listed in `_KEPT_COLUMNS`, so that a new column is in neither.
    """
    return {**dict.fromkeys(_KEPT_COLUMNS[table].split(), _K), **others}


_KEPT_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "payment_accounts": """
            payment_status payment_expire_date latest_created_at latest_precedence
            latest_payment_id latest_buys_month latest_status latest_returned
            term_anchor term_months returned_at some_disputed card_ticket version
            created_at updated_at
        """,
        "payments": """
            id state dispute amount_minor currency refunded_minor created_at invoice_id
            subscription_id invoice_known failure_code version sequence linked_by_hand
            as_of recorded_at updated_at
        """,
        "subscriptions": """
            gateway_id id status product price quantity item_id currency created_at
            period_start period_end trial_start trial_end cancel_at cancel_at_period_end
            ended_at latest_invoice_id pending_price pending_quantity
            pending_expires_at paid_invoice_id paid_from paid_through known_until ticket
            plan_changed_at version linked_by_hand recorded_at updated_at
        """,
        "account_log": """
            version at payment_status payment_expire_date entitled_until grace_s
            catalogue ends_at position
        """,
        "changes_by_hand": "id at action event_type decided_by",
        "webhook_events": """
            id type created_at received_at api_version livemode state
        """,
        "invalidated_tokens": "issuer jti expires_at invalidated_at position",
    }
)
# By table: the fate of each column, or of all of them.
FATES: Final[Mapping[str, Fate | Mapping[str, Fate]]] = MappingProxyType(
    {
        "payment_accounts": _but(
            "payment_accounts",
            {
                "user_id": _P,
                "email": _P,
                "email_key": _P,
                "email_since": _E,
                "customer_id": _E,
                "card_id": _E,
                "card_brand": _E,
                "card_last4": _E,
                "card_exp_month": _E,
                "card_exp_year": _E,
            },
        ),
        "payments": _but(
            "payments",
            {"user_id": _P, "customer_id": _E, "claimed_by": _E, "email_key": _E},
        ),
        "webhook_events": _but(
            "webhook_events",
            {
                "object_id": _E,
                "reason": _E,
                "body": _E,
                "waits_for": _E,
                "user_id": _E,
            },
        ),
        "event_bodies": Fate.ROW_DELETED,
        "subscriptions": _but(
            "subscriptions",
            {
                "user_id": _P,
                "customer_id": _P,
                "pinned_card": _E,
                "claimed_by": _E,
                "intent_id": _E,
                "look_at": _E,
            },
        ),
        "paid_periods": _K,
        "invoice_payments": _K,
        "account_log": _but(
            "account_log",
            {
                "user_id": _P,
                "cause": _E,
                "sources": _E,
                "status_by": _E,
                "date_by": _E,
                "grants": _E,
            },
        ),
        "feed_head": Fate.OF_NO_USER,
        "access_ends": Fate.ROW_DELETED,
        "delivery_cursors": Fate.OF_NO_USER,
        "deliveries": Fate.ROW_DELETED,
        "link_keys": Fate.ROW_DELETED,
        "listed_customers": Fate.ROW_DELETED,
        "former_keys": Fate.ROW_DELETED,
        "changes_by_hand": _but(
            "changes_by_hand",
            {"user_id": _P, "subject": _P, "instead_of": _E, "reason": _E},
        ),
        "erased_keys": Fate.OF_NO_USER,
        "erasures": Fate.ROW_DELETED,
        "intents": Fate.ROW_DELETED,
        "jobs": Fate.ROW_DELETED,
        "purged_jobs": Fate.OF_NO_USER,
        "checkpoints": Fate.OF_NO_USER,
        "gateway_budgets": Fate.OF_NO_USER,
        "invalidated_tokens": _but("invalidated_tokens", {"user_id": _E}),
        "token_cut_offs": Fate.EXPIRES,
        "revocation_head": Fate.OF_NO_USER,
        "revocation_heartbeats": Fate.OF_NO_USER,
        "deployment": Fate.OF_NO_USER,
    }
)


def fates() -> Mapping[tuple[str, str], Fate]:
    """Return the fate of each column that is classified here, by table and column."""
    found = dict[tuple[str, str], Fate]()
    for table, fate in FATES.items():
        if isinstance(fate, Fate):
            columns = METADATA.tables[table].c
            found.update({(table, it.name): fate for it in columns})
        else:
            found.update({(table, name): it for name, it in fate.items()})
    return found


# Something unlinked belongs to the user of its customer, else to the user it names,
# else to the user of its e-mail, also if a person unlinked it: as in
# `payments_core.decide.erased`.
_CARRIES: Final = (
    "user_id = $1 or (user_id is null and (customer_id = any($2)"
    " or ((claimed_by = $1{email}) and is_free_v1(customer_id, array[$1]))))"
)
# The rows of a user, by table: $1 is the user, $2 their customers, $3 the keys of their
# e-mails, $4 their payments and subscriptions, $5 their invoices.
THEIRS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "payment_accounts": "user_id = $1",
        "payments": _CARRIES.format(
            email=" or claimed_by is null and email_key = any($3)"
        ),
        "subscriptions": _CARRIES.format(email=""),
        "paid_periods": "subscription_id = any($4)",
        "invoice_payments": "invoice_id = any($5) and payment_id = any($4)",
        "account_log": "user_id = $1",
        "access_ends": "user_id = $1",
        "deliveries": "user_id = $1",
        "link_keys": (
            "key = 'user ' || $1"
            " or key = any(select 'customer ' || it from unnest($2::text[]) it)"
            " or key = any(select 'email ' || it from unnest($3::text[]) it)"
        ),
        "listed_customers": "customer_id = any($2)",
        "former_keys": "user_id = $1",
        "changes_by_hand": (
            "user_id = $1 or subject = any($2) or subject = any($4)"
            " or subject = any(select 'customer:' || it from unnest($2::text[]) it)"
            " or subject = any(select 'payment:' || it from unnest($4::text[]) it)"
            " or subject = any(select 'subscription:' || it from unnest($4::text[]) it)"
            " or instead_of = any($2)"
        ),
        "intents": "user_id = $1",
        "jobs": "user_id = $1 or subject = any($2) or subject = any($4)",
        "invalidated_tokens": "user_id = $1",
        "token_cut_offs": "user_id = $1",
    }
)


class Theirs(NamedTuple):
    """The parameters of `THEIRS`."""

    user_id: str
    customers: list[str]
    emails: list[str]
    things: list[str]
    invoices: list[str]

    @classmethod
    async def found(cls, connection: Any, user: UserId) -> "Theirs":
        """Read the identifiers of a user."""
        customers = [it for (it,) in await connection.fetch(_CUSTOMERS, user)]
        emails = await connection.fetch(_EMAILS, user)
        own = [key for key, _, is_shared in emails if not is_shared]
        them = cls(user, customers, own, [], [])
        payments = await connection.fetch(_select("payments", "id, invoice_id"), *them)
        subscriptions = await connection.fetch(
            _select("subscriptions", "gateway_id"), *them
        )
        return them._replace(
            things=[it for it, _ in payments] + [it for (it,) in subscriptions],
            invoices=[it for _, it in payments if it is not None],
        )


async def shared_emails(connection: Any, user: str) -> Mapping[str, datetime | None]:
    """Return the e-mails that another user also had, and until when this user had them.

    None: they have it now. `Theirs` excludes these: they may mean another user.
    """
    rows = await connection.fetch(_EMAILS, user)
    return {key: until for key, until, is_shared in rows if is_shared}


# Also the customers of what named the user, and deleted ones. A customer that belongs
# to another user now is excluded, and so is that of a payment which was only linked by
# hand.
_CUSTOMERS: Final = """
select customer_id from (
    select customer_id from payment_accounts where user_id = $1
    union select key from former_keys where kind = 'customer' and user_id = $1
    union select customer_id from payments where user_id = $1 and not linked_by_hand
    union select customer_id from subscriptions
    where user_id = $1 and not linked_by_hand
) as known where customer_id is not null and is_free_v1(customer_id, array[$1])
order by customer_id
"""
_EMAILS: Final = """
select key, nullif(max(until), 'infinity'), exists (
    select from payment_accounts a where a.email_key = held.key and a.user_id <> $1
    union all select from former_keys f
    where f.kind = 'email' and f.key = held.key and f.user_id <> $1
) as is_shared
from (
    select email_key as key, timestamptz 'infinity' as until
    from payment_accounts where user_id = $1
    union all select key, until from former_keys where kind = 'email' and user_id = $1
) as held group by key order by key
"""
_CARDS: Final = """
select card_id from payment_accounts where user_id = $1 and card_id is not null
union select pinned_card from subscriptions
where user_id = $1 and pinned_card is not null
"""


# Each statement takes all parameters, whichever it uses.
_GIVEN: Final = ("$1::text", "$2::text[]", "$3::text[]", "$4::text[]", "$5::text[]")


def of_theirs(table: str, *more: str) -> str:
    """Return the condition for their rows; `more` are additional parameters."""
    given = ", ".join((*_GIVEN, *more))
    return f"({THEIRS[table]}) and ({given}) is not null"


def _select(table: str, columns: str = "*") -> str:
    return f"select {columns} from {table} where {of_theirs(table)}"  # noqa: S608  # our own names


async def identifiers_of(connection: Any, theirs: Theirs) -> Identifiers:
    cards = [it for (it,) in await connection.fetch(_CARDS, theirs.user_id)]
    return Identifiers(
        user_id=theirs.user_id,
        emails=frozenset(theirs.emails),
        things=frozenset([*theirs.customers, *theirs.things, *theirs.invoices, *cards]),
    )


_EVENT: Final = """
select e.*, coalesce(b.body, e.body) as body from webhook_events e
left join event_bodies b on b.id = e.id and b.type = e.type
    and b.received_on = (e.received_at at time zone 'UTC')::date
where e.id = $1 and e.type = $2
"""
# What was done by hand to an event, or to the job that applies it: uses an index.
BY_HAND_OF_EVENTS: Final = """
subject = any(array(
    select unnest($1::text[]) union all
    select 'event:' || it.id || ':' || it.type
    from unnest($1::text[], $2::text[]) as it (id, type)
)) and (
    event_type is null
    or (subject, event_type) in (select * from unnest($1::text[], $2::text[]))
)
"""
# The events of their timeline: by an index, whatever their bodies contain.
_OWN_EVENTS: Final = "select id, type from webhook_events where user_id = $1"
_CHANGES: Final = f"select * from changes_by_hand where {BY_HAND_OF_EVENTS} order by id"  # noqa: S608  # our own names
_READ_TIMEOUT_S: Final = 60.0


@attrs.frozen
class AccountExport:
    """All stored data of a user, table by table, row by row."""

    _store: PostgresStore

    async def __call__(
        self, user: UserId
    ) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """Yield each row with its table, as JSON values; events come last.

        A body is text, as received, or base64 under `body_base64` if it is not UTF-8.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        async with self._store.connection() as connection:
            theirs = await Theirs.found(connection, user)
            them = await identifiers_of(connection, theirs)
            own = await connection.fetch(_OWN_EVENTS, user, timeout=_READ_TIMEOUT_S)
        changes, told = set[int](), set[EventKey]()
        for table in THEIRS:
            async for row in self._rows(table, theirs):
                if table == "changes_by_hand":
                    changes.add(row["id"])
                yield table, row
        for key in (EventKey(*it) for it in own):
            told.add(key)
            for table, row in await self._of_event(key, changes):
                yield table, row
        async for keys in mentioning(self._store, them):
            for key in keys:
                if key in told:
                    continue
                told.add(key)
                for table, row in await self._of_event(key, changes):
                    yield table, row

    async def _of_event(
        self, key: EventKey, told: set[int]
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return an event with its body, and what was done to it by hand, each once."""
        async with self._store.connection() as connection:
            events = await connection.fetch(_EVENT, key.id, key.type)
            found = await connection.fetch(_CHANGES, [key.id], [key.type])
        changes = [it for it in found if it["id"] not in told]
        told.update(it["id"] for it in changes)
        return [
            *(("webhook_events", _as_json(it)) for it in events),
            *(("changes_by_hand", _as_json(it)) for it in changes),
        ]

    async def _rows(
        self, table: str, theirs: Theirs
    ) -> AsyncIterator[Mapping[str, Any]]:
        async with self._store.connection() as connection:
            query = _select(table)
            for row in await connection.fetch(query, *theirs, timeout=_READ_TIMEOUT_S):
                yield _as_json(row)


def _as_json(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = dict[str, Any]()
    for name, value in row.items():
        match value:
            case datetime():
                found[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
            case date():
                found[name] = value.isoformat()
            case bytes():
                try:
                    found[name] = value.decode()
                except UnicodeDecodeError:
                    found[f"{name}_base64"] = b64encode(value).decode()
            case _:
                found[name] = value
    return found
