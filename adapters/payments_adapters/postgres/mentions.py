"""Who a user is in what the gateway sent: the events that mention them.

No index finds them: all that is kept of events is read, page by page, each a short
statement. The database looks for texts, and what it finds is read here.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Self

import attrs

from payments_adapters.emails import read_email
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import InvalidValue
from payments_core.events import EventKey

PAGE: Final = 1_000
# Each page by itself is quick; a busy server may take its time.
PAGE_TIMEOUT_S: Final = 60.0
_USER: Final = "user_id"
_BEFORE_ALL: Final = (date.min, "", "")
# In the order of the keys. The bodies are looked through as ASCII.
_BODIES: Final = """
select received_on, id, type, body,
    case when body is not null then (
        select e.received_at from webhook_events e
        where e.id = found.id and e.type = found.type
    ) end as received_at
from (
    select received_on, id, type,
        case when encode(body, 'escape') ~* $4 then body end as body
    from (
        select received_on, id, type, body from event_bodies
        where (received_on, id, type) > ($1, $2, $3)
        order by received_on, id, type limit $5
    ) as page order by received_on, id, type offset 0
) as found order by received_on, id, type
"""
_EVENTS: Final = """
select id, type, received_at, object_id = any($3) as is_about,
    case when encode(body, 'escape') ~* $4 then body end as body
from (
    select id, type, received_at, object_id, body from webhook_events
    where (id, type) > ($1, $2)
    order by id, type limit $5
) as page order by id, type
"""


@attrs.frozen(kw_only=True)
class Identifiers:
    """By what a user is known: `emails` are keys, `things` the gateway's ids.

    Of their customers, payments, subscriptions, invoices and cards.
    """

    user_id: str
    emails: frozenset[str]
    things: frozenset[str]

    @property
    def text(self) -> str:
        return json.dumps(
            {
                "user_id": self.user_id,
                "emails": sorted(self.emails),
                "things": sorted(self.things),
            }
        )

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read what `text` returned."""
        found: Mapping[str, Any] = json.loads(text)
        return cls(
            user_id=found["user_id"],
            emails=frozenset(found["emails"]),
            things=frozenset(found["things"]),
        )

    @property
    def pattern(self) -> str:
        """Return a regular expression that finds each body that may mention them."""
        quoted = "|".join(map(_escaped, sorted({self.user_id, *self.things})))
        emails = map(_escaped, sorted(self.emails))
        return "|".join([f'"(?:{quoted})"', *emails])

    def are_in(self, body: bytes) -> bool:
        """Say whether a body mentions them: exactly, and not a part of another text."""
        text = body.decode(errors="replace")
        if any(it.search(text.lower()) for it in map(_email_pattern, self.emails)):
            return True
        try:
            return self._are_in(json.loads(text))
        except (ValueError, RecursionError):
            texts = set(re.findall(r'"([^"\\]*)"', text))
            return bool(texts & self.things) or {_USER, self.user_id} <= texts

    def _are_in(self, value: object, name: str = "") -> bool:
        match value:
            case str():
                return (
                    value in self.things
                    or (name == _USER and value == self.user_id)
                    or ("@" in value and self._is_their_email(value))
                )
            case dict():
                return any(
                    key in self.things or self._are_in(it, key)
                    for key, it in value.items()
                )
            case list():
                return any(self._are_in(it) for it in value)
            case _:
                return False

    def _is_their_email(self, text: str) -> bool:
        try:
            return read_email(text).key in self.emails
        except InvalidValue:
            return False


def _escaped(text: str) -> str:
    """Return what finds a text in the ASCII of `encode(…, 'escape')`."""
    ascii_ = "".join(
        chr(it) if it < 128 else f"\\{it:03o}"  # noqa: PLR2004  # beyond is no ASCII
        for it in text.replace("\\", "\\\\").encode()
    )
    return re.sub(r"([^A-Za-z0-9])", r"\\\1", ascii_)


def _email_pattern(key: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.+-]){re.escape(key)}(?![\w-]|\.\w)")


async def mentioning(
    store: PostgresStore,
    them: Identifiers,
    *,
    emails_until: datetime | None = None,
    page: int = PAGE,
) -> AsyncIterator[Sequence[EventKey]]:
    """Go through all events; yield those of each page that mention a user.

    An event may come twice. In what came after `emails_until` an e-mail may be somebody
    else's: it does not count there.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    later = attrs.evolve(them, emails=frozenset())

    def is_theirs(row: Mapping[str, Any]) -> bool:
        body, at = row["body"], row["received_at"]
        is_later = emails_until is not None and at is not None and at > emails_until
        return bool(body) and (later if is_later else them).are_in(body)

    place: tuple[Any, ...] = _BEFORE_ALL
    while True:
        found = await _page(store, _BODIES, *place, them.pattern, page)
        yield [_key(it) for it in found if is_theirs(it)]
        if len(found) < page:
            break
        place = (found[-1]["received_on"], found[-1]["id"], found[-1]["type"])
    place, about = ("", ""), sorted(them.things)
    while True:
        found = await _page(store, _EVENTS, *place, about, them.pattern, page)
        yield [_key(it) for it in found if it["is_about"] or is_theirs(it)]
        if len(found) < page:
            return
        place = (found[-1]["id"], found[-1]["type"])


def _key(row: Mapping[str, Any]) -> EventKey:
    return EventKey(row["id"], row["type"])


async def _page(store: PostgresStore, query: str, *values: object) -> Sequence[Any]:
    async with store.connection() as connection:
        rows: Sequence[Any] = await connection.fetch(
            query, *values, timeout=PAGE_TIMEOUT_S
        )
    return rows
