"""International domains: equal spellings are one domain, and no others are."""

import ast
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_adapters.emails import read_email
from payments_core.errors import InvalidValue
from payments_core.identity import Email

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "spelling",
    ["ann@bücher.example", "Ann@BU\u0308CHER.example.", "ann@xn--bcher-kva.EXAMPLE"],
)
def test_t69_both_spellings_of_a_domain_are_one_email(spelling: str) -> None:
    """
    The shown spelling is the one that was given.
    """
    email = read_email(spelling)
    assert email.key == "ann@xn--bcher-kva.example"
    assert email.text == spelling


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@straße.example", "ann@strasse.example"),
        ("ann@faß.de", "ann@fass.de"),
        ("straße@a.example", "strasse@a.example"),
        ("ann@βόλος.com", "ann@βόλοσ.com"),
        ("ann@i❤.ws", "ann@i.ws"),
    ],
)
def test_t69_other_domains_are_other_emails(one: str, other: str) -> None:
    """
    The codec of the standard library turns "ß" into "ss": another owner's domain.
    """
    assert read_email(one).key != read_email(other).key


def test_a_domain_that_idna_does_not_know_is_compared_as_it_is_written() -> None:
    """
    Its owner can still be found.
    """
    assert read_email("Ann@I❤.ws").key == "ann@i❤.ws"
    assert read_email(f"a@{'ü' * 80}.ws").key == f"a@{'ü' * 80}.ws"


def test_what_is_no_email_is_refused() -> None:
    """
    As the core does.
    """
    with pytest.raises(InvalidValue, match="e-mail"):
        read_email("bücher.example")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_is_found_again_by_itself(local: str, domain: str) -> None:
    """
    For every e-mail: what was stored and is read again has the same key.
    """
    try:
        key = read_email(f"{local}@{domain}").key
    except InvalidValue:
        return
    assert read_email(key).key == key


def test_nobody_reads_an_email_without_its_domain() -> None:
    """
    One place that forgets it is enough to miss a payer.
    """
    readers = [
        path.relative_to(ROOT)
        for folder in ("adapters/payments_adapters", "entrypoints/service")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == Email.of.__name__
        and isinstance(node.value, ast.Name)
        and node.value.id == Email.__name__
    ]
    assert readers == [Path("adapters/payments_adapters/emails.py")]
