"""Whom a body mentions: exactly, whatever it looks like."""

import json
import re
from typing import Any

import pytest

from payments_adapters.postgres.mentions import Identifiers

ADA = Identifiers(
    user_id="1",
    emails=frozenset({"ada@x.co"}),
    things=frozenset({"cus_1", "ch_1", "pm_1"}),
)


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
    By an id of theirs, by their e-mail in any spelling, by their name in metadata.
    """
    body = json.dumps(it).encode()
    assert ADA.are_in(body)
    assert re.search(ADA.pattern, body.decode(), re.IGNORECASE)
    # One that is cut off is read as far as it goes.
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
    A part of another text is no name.
    """
    assert not ADA.are_in(json.dumps(it).encode())


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[" * 100_000, b"{}"])
def test_any_bytes_are_looked_through(body: bytes) -> None:
    """
    What is no JSON, or too deep, mentions nobody.
    """
    assert not ADA.are_in(body)


def test_by_what_somebody_is_known_comes_back_as_it_was() -> None:
    """
    It is kept while an erasure is under way.
    """
    assert Identifiers.of_text(ADA.text) == ADA
