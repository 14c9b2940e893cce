"""User ids, customer ids and e-mails: what is valid, and which two are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import ADA
from payments_core import (
    Email,
    customer_id,
    user_id,
)
from payments_core.errors import InvalidValue


@pytest.mark.parametrize(
    "text",
    [ADA, "a" * 128, "auth0|5f7c", "a.b_c:d~e+f=g-h", "...", ".a", "a.", "..a", ".-"],
)
def test_a_user_id_is_opaque(text: str) -> None:
    """
    Anything that a URL, a log line and a header carry unchanged.
    """
    assert user_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "a" * 129, "a@b", "a b", "a\n", "a/b", "ä", "a\x00", "a%20", ".", ".."]
)
def test_other_texts_are_no_user_id(text: str) -> None:
    """
    Too long, an e-mail, harmful, or with a meaning in a path (RFC 3986, 5.2.4).
    """
    with pytest.raises(InvalidValue) as refused:
        user_id(text)
    assert refused.value.field == "user_id"


@pytest.mark.parametrize("text", ["", "cus 1", "cus_1\n", "c" * 256, "cüs"])
def test_other_texts_are_no_customer_id(text: str) -> None:
    """
    One to 255 letters, digits, underscores and hyphens, or refused.
    """
    assert customer_id("cus_NffrFeUfNV2Hib") == "cus_NffrFeUfNV2Hib"
    with pytest.raises(InvalidValue) as refused:
        customer_id(text)
    assert refused.value.field == "customer_id"


@pytest.mark.parametrize(
    "spelling", ["ZOË@Example.org", " zoë@example.org. ", "zoe\u0308@example.org"]
)
def test_spellings_of_one_email_have_one_key(spelling: str) -> None:
    """
    Case, Unicode form, spaces around and a final dot do not make another person.
    """
    email = Email.of(spelling)
    assert email.key == Email.of("zoë@example.org").key
    assert email.text == spelling.strip()


@pytest.mark.parametrize(
    "text", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\x00", "a@b\u200b", "a" * 255]
)
def test_other_texts_are_no_email(text: str) -> None:
    """
    Without a part, with white space or something invisible, or too long.
    """
    with pytest.raises(InvalidValue) as refused:
        Email.of(text)
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@a.b", "strasse@a.b"),
        ("ﬁn@a.b", "fin@a.b"),
        ("\N{FULLWIDTH LATIN SMALL LETTER F}@a.b", "f@a.b"),
        ("x²@a.b", "x2@a.b"),
        ("ς@a.b", "\N{GREEK SMALL LETTER SIGMA}@a.b"),
    ],
)
def test_t69_what_only_looks_alike_is_another_email(one: str, other: str) -> None:
    """
    Case folding and compatibility forms would merge the mailboxes of two people.
    """
    assert Email.of(one).key != Email.of(other).key


def test_an_email_has_at_most_254_characters() -> None:
    """
    254 are accepted, 255 are refused.
    """
    assert len(Email.of("a" * 250 + "@b.c").text) == 254
    with pytest.raises(InvalidValue):
        Email.of("a" * 251 + "@b.c")


@given(st.from_regex(r"[!-?A-~]{1,9}@[a-z0-9-]{1,9}", fullmatch=True))
def test_a_key_finds_itself_and_ignores_case(text: str) -> None:
    """
    A key that was stored and read again is the same key.
    """
    email = Email.of(text)
    assert Email.of(email.key).key == email.key
    assert Email.of(text.upper()).key == email.key == Email.of(text.lower()).key
