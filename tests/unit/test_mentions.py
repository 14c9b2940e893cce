"""Which users a body mentions: exactly, in whatever spelling."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from payments_adapters.emails import read_email
from payments_adapters.postgres.mentions import Identifiers
from payments_core.errors import InvalidValue

ADA = Identifiers(
    user_id="1",
    emails=frozenset({"ada@x.co"}),
    things=frozenset({"cus_1", "ch_1", "pm_1"}),
)


def encoded(body: bytes) -> str:
    """Return a body as Postgres has it: `encode(body, 'escape')`."""
    return "".join(
        "\\\\" if it == ord("\\") else chr(it) if 0 < it < 128 else f"\\{it:03o}"
        for it in body
    )


def may_mention(them: Identifiers, body: bytes) -> bool:
    """Return whether the database would find a body."""
    text = encoded(body)
    is_named = re.search(them.pattern, text, re.IGNORECASE) is not None
    return is_named or not {*them.pieces}.isdisjoint(text.split('"'))


@pytest.mark.parametrize(
    "it",
    [
        {"customer": "cus_1"},
        {"object": {"id": "ch_1"}},
        {"lines": [{"metadata": {"user_id": "1"}}]},
        {"receipt_email": "ADA@x.co"},
        {"description": "for ada@x.co, thank you"},
        {"description": "to ada@x.co."},
        {"cards": {"pm_1": {}}},
    ],
)
def test_a_body_that_mentions_somebody_is_theirs(it: Any) -> None:
    """
    By one of their ids, by their e-mail in any spelling, or by their name in metadata.
    """
    body = json.dumps(it).encode()
    assert ADA.are_in(body)
    assert may_mention(ADA, body)
    # A body that is cut off is read as far as it goes.
    assert ADA.are_in(json.dumps({"a": it}).encode()[:-1])


@pytest.mark.parametrize(
    "it",
    [
        {"customer": "cus_12"},
        {"exp_month": 1, "version": "1"},
        {"metadata": {"user_id": "11"}},
        {"receipt_email": "ada@x.com"},
        {"receipt_email": "lada@x.co"},
        {"receipt_email": "ada@x.co.uk"},
        {"description": "cus_1 and others"},
    ],
)
def test_who_is_alike_is_somebody_else(it: Any) -> None:
    """
    A part of another text is not a name.
    """
    assert not ADA.are_in(json.dumps(it).encode())


def uppercase(text: str) -> str:
    return text.upper()


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def as_unicode(text: str) -> str:
    """Return an e-mail with its domain in Unicode."""
    local, _, domain = text.rpartition("@")
    domain = domain.replace("xn--exmple-cua", "ex\u00e4mple")
    return f"{local}@{domain}"


def as_bytes(value: Any) -> str:
    """Return JSON with no escapes but the necessary ones."""
    return json.dumps(value, ensure_ascii=False)


SPELLINGS: list[Callable[[str], str]] = [uppercase, decomposed, as_unicode]
LOCALS = st.text("aikz.+'\"\\\u00e9\u0130\u0131\u0307\u212a\u00df\u4e2d", min_size=1)
DUMPS = st.sampled_from([json.dumps, as_bytes])
DOMAINS = st.sampled_from(
    ["x.co", "xn--exmple-cua.org", "ex\u00e4mple.org", "\U0001f600.la"]
)


@given(LOCALS, DOMAINS, st.permutations(SPELLINGS), st.integers(0, 3), DUMPS)
@example("J\u00fcrgen", "x.co", SPELLINGS, 0, json.dumps)
@example("\u00fc", "ex\u00e4mple.org", SPELLINGS, 3, as_bytes)
@example("\u212aira", "x.co", SPELLINGS, 0, json.dumps)
@example("\u0130ra", "x.co", SPELLINGS, 0, as_bytes)
@example('a"b', "x.co", SPELLINGS, 1, as_bytes)
def test_whatever_mentions_somebody_is_found_by_the_database(
    local: str,
    domain: str,
    spellings: list[Callable[[str], str]],
    count: int,
    dump: Callable[[Any], str],
) -> None:
    """
    However an e-mail is spelled, what is found here is found there.
    """
    text = f"{local}@{domain}"
    try:
        them = Identifiers(
            user_id="1",
            emails=frozenset({read_email(text).key}),
            things=frozenset(),
        )
    except InvalidValue:
        reject()
    for spell in spellings[:count]:
        text = spell(text)
    for it in ({"receipt_email": text}, {"description": f"for {text}, thanks"}):
        body = dump(it).encode()
        assert may_mention(them, body) or not them.are_in(body)


def test_an_id_is_looked_up_and_not_searched_for() -> None:
    """
    What the database searches for does not grow with the number of ids.
    """
    many = Identifiers(
        user_id="1",
        emails=ADA.emails,
        things=frozenset(f"ch_{it}" for it in range(9_999)),
    )
    assert many.pattern == ADA.pattern


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[" * 100_000, b"{}"])
def test_any_bytes_are_looked_through(body: bytes) -> None:
    """
    What is not JSON, or too deep, mentions nobody.
    """
    assert not ADA.are_in(body)


def test_by_what_somebody_is_known_comes_back_as_it_was() -> None:
    """
    It is stored while an erasure is in progress.
    """
    assert Identifiers.of_text(ADA.text) == ADA
