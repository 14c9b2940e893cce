"""Lists and searches: newest first, in pages, by cursor.

Source: docs.stripe.com/api/pagination and docs.stripe.com/search.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, Final

import msgspec

from payments_sandbox.errors import invalid
from payments_sandbox.forms import Dated, Listing, Params, Range
from payments_sandbox.state import Object, field_of, listed

Test = Callable[[Object], bool]


def page(
    url: str, oldest_first: Iterable[Object], params: Listing, *tests: Test
) -> Object:
    """Return one page of the objects that pass every test.

    Raises:
        ApiError: a cursor names no object in this list.
    """
    if isinstance(params, Dated) and params.created is not None:
        tests = (*tests, _dated(params.created))
    every = list(oldest_first)[::-1]
    if params.starting_after is not None and params.ending_before is not None:
        raise invalid(
            "You cannot specify both ending_before and starting_after.",
            "ending_before",
        )
    if params.ending_before is not None:
        every = every[: _cursor(every, params.ending_before, "ending_before")]
    if params.starting_after is not None:
        every = every[_cursor(every, params.starting_after, "starting_after") + 1 :]
    if params.ending_before is not None:
        every.reverse()
    # A cursor keeps its position even if its object does not pass the tests.
    passing = (it for it in every if all(test(it) for test in tests))
    found = list(islice(passing, params.limit + 1))
    shown = found[: params.limit]
    if params.ending_before is not None:
        shown.reverse()
    return listed(url, shown, has_more=len(found) > params.limit)


def _cursor(found: Sequence[Object], id_: str, param: str) -> int:
    for number, it in enumerate(found):
        if it["id"] == id_:
            return number
    raise invalid(f"No such object: '{id_}'", param, "resource_missing")


def _dated(wanted: int | Range) -> Test:
    if not isinstance(wanted, Range):
        return lambda it: it.get("created", it.get("date")) == wanted

    def within(it: Object) -> bool:
        at = it.get("created", it.get("date"))
        return bool(
            (wanted.gt is None or at > wanted.gt)
            and (wanted.gte is None or at >= wanted.gte)
            and (wanted.lt is None or at < wanted.lt)
            and (wanted.lte is None or at <= wanted.lte)
        )

    return within


def equal(path: str, wanted: Any) -> Test:
    """Return a test of one field; None matches anything."""
    if wanted is None:
        return lambda _: True
    return lambda it: field_of(it, path) == wanted


# Search

_CLAUSE: Final = re.compile(
    r"\s*(?P<not>-?)(?P<field>[a-z_]+)(?:\[(?P<q>['\"])(?P<key>.{1,40}?)(?P=q)\])?"
    r"\s*(?P<op>[:~]|[<>]=?)\s*"
    # A backslash is not also a plain character: matching would take exponential time.
    r"(?:(?P<quote>['\"])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)"
    r"|(?P<word>[^\s'\"]\S*))\s*"
)
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_GLUE: Final = re.compile(r"(AND|OR)\b", re.IGNORECASE)
QUERY_LENGTH_MAX: Final = 2_000


class Searching(Params, kw_only=True, frozen=True):
    query: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    page: str | None = None


def search(
    url: str, oldest_first: Iterable[Object], params: Searching, fields: frozenset[str]
) -> Object:
    """Return the objects that match a query of Stripe's search language.

    Raises:
        ApiError: the query cannot be parsed, or has a field without an index.
    """
    matches = _query(params.query[: QUERY_LENGTH_MAX + 1], fields)
    found = [it for it in oldest_first if matches(it)][::-1]
    if params.page is not None and not _NUMBER.fullmatch(params.page):
        raise invalid(f"Invalid page: {params.page[:100]}", "page")
    start = int(params.page or 0)
    end = start + params.limit
    more = end < len(found)
    return {
        "object": "search_result",
        "data": found[start:end],
        "has_more": more,
        "next_page": str(end) if more else None,
        "url": url,
    }


def _query(text: str, fields: frozenset[str]) -> Test:
    if len(text) > QUERY_LENGTH_MAX:
        raise invalid("The query is too long.", "query")
    at, tests, glues = 0, list[Test](), set[str]()
    while True:
        found = _CLAUSE.match(text, at)
        if found is None:
            raise invalid("We were unable to parse your search query.", "query")
        tests.append(_clause(found, fields))
        at = found.end()
        if at == len(text):
            break
        glue = _GLUE.match(text, at)
        # Clauses without an operator between them are joined by AND.
        glues.add(glue[1].upper() if glue else "AND")
        at = glue.end() if glue else at
    if len(glues) > 1:
        raise invalid("AND and OR cannot be combined.", "query")
    join = any if glues == {"OR"} else all
    return lambda it: join(test(it) for test in tests)


def _clause(found: re.Match[str], fields: frozenset[str]) -> Test:
    field, key, op = found["field"], found["key"], found["op"]
    if field not in fields or (field == "metadata") != (key is not None):
        raise invalid(
            f"Field `{field}` is an unsupported search field for this resource.",
            "query",
        )
    quoted = found["text"]
    wanted = found["word"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    test = _compared(field, key, op, wanted)
    return (lambda it: not test(it)) if found["not"] else test


def _compared(field: str, key: str | None, op: str, wanted: str) -> Test:
    def value_of(it: Object) -> Any:  # JSON is anything
        return it[field].get(key) if key is not None else it.get(field)

    def same(it: Object) -> bool:
        value = value_of(it)
        if wanted == "null":
            return value is None
        return value is not None and str(value).lower() == wanted.lower()

    if op == ":":
        return same
    if op == "~":
        return lambda it: wanted.lower() in str(value_of(it) or "").lower()
    if not _NUMBER.fullmatch(wanted):
        raise invalid(f"Invalid number: {wanted[:50]}", "query")
    number, compare = int(wanted), _COMPARE[op]
    return lambda it: isinstance(value_of(it), int) and compare(value_of(it), number)


_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
