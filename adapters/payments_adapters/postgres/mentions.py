"""The events that mention a user, in their bodies too.

No index finds them: all stored events are read, page by page, each page in a short
statement. The database returns every body that may mention the user, and some others;
here each is checked exactly.

Rule 1: names are few: a regular expression finds them, also in a body that spells them
        differently.
Rule 2: ids may be very many: a body is split at its quotes, and each piece is looked up
        among them. The cost of a body does not depend on their number.
"""

import json
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Self

import attrs

from payments_adapters.emails import read_email
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import InvalidValue
from payments_core.events import EventKey

PAGE: Final = 1_000
# Each page is quick; a busy server may need longer.
PAGE_TIMEOUT_S: Final = 60.0
_USER: Final = "user_id"
_BEFORE_ALL: Final = (date.min, "", "")
# $4 are the names, $5 the ids, both in the ASCII form of the body. `is true` keeps the
# planner from a join per body: the ids are hashed once per page.
_MAY_MENTION: Final = """
select case when found.text ~* $4 or exists (
    select from unnest(string_to_array(found.text, '"')) as piece
    where (piece in (select unnest($5::text[]))) is true
) then {body} end as body from (select encode({body}, 'escape') as text offset 0) found
"""
# In the order of the keys.
_BODIES: Final = f"""
select received_on, id, type, body,
    case when body is not null then (
        select e.received_at from webhook_events e
        where e.id = read.id and e.type = read.type
    ) end as received_at
from (
    select received_on, id, type, ({_MAY_MENTION.format(body="page.body")}) as body
    from (
        select received_on, id, type, body from event_bodies
        where (received_on, id, type) > ($1, $2, $3)
        order by received_on, id, type limit $6
    ) as page order by received_on, id, type offset 0
) as read order by received_on, id, type
"""  # noqa: S608  # our own texts
_EVENTS: Final = f"""
select id, type, received_at,
    (object_id in (select unnest($3::text[]))) is true as is_about,
    ({_MAY_MENTION.format(body="page.body")}) as body
from (
    select id, type, received_at, object_id, body from webhook_events
    where (id, type) > ($1, $2)
    order by id, type limit $6
) as page order by id, type
"""  # noqa: S608  # our own texts
# The characters that every JSON encoder leaves unescaped.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]")
# The Kelvin sign, U+212A, is a k in lower case: in UTF-8, and as JSON escapes it.
_KELVIN: Final = r"(?:k|\\342\\204\\252|\\\\u212a)"
_ANYTHING: Final = r'[^"@]?\\[^"@]*'


@attrs.frozen(kw_only=True)
class Identifiers:
    """The identifiers of a user: `emails` are keys, `things` the gateway's ids.

    Those of customers, payments, subscriptions, invoices and cards.
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
        """Parse what `text` returned."""
        found: Mapping[str, Any] = json.loads(text)
        return cls(
            user_id=found["user_id"],
            emails=frozenset(found["emails"]),
            things=frozenset(found["things"]),
        )

    @property
    def pattern(self) -> str:
        """Return a pattern that finds their names in `encode(body, 'escape')`.

        A case-insensitive regular expression, for Postgres and Python. It finds each
        body in which `are_in` finds a name, and some others.
        """
        emails = map(_spellings_of_email, sorted(self.emails))
        return "|".join([f'"{_spellings(self.user_id)}"', *emails])

    @property
    def pieces(self) -> Sequence[str]:
        """Return their ids, as they appear between quotes in that text."""
        return sorted(map(_encoded, self.things))

    def are_in(self, body: bytes) -> bool:
        """Return whether a body mentions them: exactly, not as part of another text."""
        text = body.decode(errors="replace")
        if self._have_email_in(text):
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

    def _have_email_in(self, text: str) -> bool:
        lower = unicodedata.normalize("NFC", text).lower()
        text = unicodedata.normalize("NFC", lower)
        return any(it.search(text) for it in map(_email_pattern, self.emails))

    def _is_their_email(self, text: str) -> bool:
        try:
            return read_email(text).key in self.emails
        except InvalidValue:
            return self._have_email_in(text)


def _encoded(text: str) -> str:
    """Return a text in the ASCII form of `encode(…, 'escape')`."""
    return "".join(
        chr(it) if it < 128 else f"\\{it:03o}"  # noqa: PLR2004  # above is not ASCII
        for it in text.replace("\\", "\\\\").encode()
    )


def _quoted(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9])", r"\\\1", text)


def _spellings(text: str) -> str:
    """Return a pattern that finds a text in ASCII, however a body spells it.

    Beyond ASCII a body may have bytes or a JSON escape, composed or not: the plain
    letter, if it is separate, and then a backslash.
    """
    found = list[str]()
    # The lower case of the capital i with a dot (U+0130) is two characters.
    for it in text.replace("i\u0307", "\u0130"):
        if not it.isascii():
            if found[-1:] != [_ANYTHING]:
                found.append(_ANYTHING)
        elif it == "k":
            found.append(_KELVIN)
        elif _PLAIN.fullmatch(it):
            found.append(_quoted(it))
        else:
            # JSON, or some encoders, escape it.
            found.append(rf'(?:\\*{_quoted(it)}|\\[^"@]*)')
    return "".join(found)


def _spellings_of_email(key: str) -> str:
    """Return a pattern that finds an e-mail: its domain may be non-ASCII, too."""
    local, _, domain = key.rpartition("@")
    others = r'[^"@]*\\'
    domains = f"{_quoted(domain)}|{others}" if domain.isascii() else others
    return f"{_spellings(local)}@(?:{domains})"


def _email_pattern(key: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.+-]){re.escape(key)}(?![\w-]|\.\w)")


async def mentioning(
    store: PostgresStore,
    them: Identifiers,
    *,
    emails_until: datetime | None = None,
    page: int = PAGE,
) -> AsyncIterator[Sequence[EventKey]]:
    """Scan all events; yield those of each page that mention a user.

    An event may be yielded twice. In events after `emails_until` an e-mail may be
    another user's: it does not count there.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    later = attrs.evolve(them, emails=frozenset())

    def is_theirs(row: Mapping[str, Any]) -> bool:
        body, at = row["body"], row["received_at"]
        is_later = emails_until is not None and at is not None and at > emails_until
        return bool(body) and (later if is_later else them).are_in(body)

    wanted = them.pattern, them.pieces
    place: tuple[Any, ...] = _BEFORE_ALL
    while True:
        found = await _page(store, _BODIES, *place, *wanted, page)
        yield [_key(it) for it in found if is_theirs(it)]
        if len(found) < page:
            break
        place = (found[-1]["received_on"], found[-1]["id"], found[-1]["type"])
    place, about = ("", ""), sorted(them.things)
    while True:
        found = await _page(store, _EVENTS, *place, about, *wanted, page)
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
