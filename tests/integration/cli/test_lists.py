"""Lists say what their columns are, also where there is nothing to list."""

import json
import re
from typing import Final

import pytest

from support.commands import Dev

MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[^\s\",;]*")
IN_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


@pytest.mark.parametrize(
    ("words", "columns", "nothing"),
    [
        (("webhook", "list", "--state", "quarantined"), "RECEIVED_AT", "no such event"),
        (("subscription", "list", "nobody@x.org"), "ID", "no subscription is known"),
        (("sandbox", "events", "--type", "invoice.paid"), "CREATED", "no such event"),
    ],
)
def test_an_empty_list_has_headers_and_says_that_it_is_empty(
    dev: Dev, words: tuple[str, ...], columns: str, nothing: str
) -> None:
    """
    The headers on stdout, the sentence on stderr; exit code 0.
    """
    assert dev.asks(dev.token("nobody"), "nobody") == 200
    answer = dev.run(*words)

    assert answer.code == 0
    assert answer.out.startswith(f"{columns} ")
    assert len(answer.out.splitlines()) == 1
    assert nothing in answer.err


def test_what_a_list_leaves_empty_is_explained(dev: Dev) -> None:
    """
    A user who is not known, a reason that is none, by the names of the columns.
    """
    assert dev.send("empty_1").code == 0
    assert (
        dev.run(
            "token",
            "invalidate",
            "--issuer",
            "i",
            "--jti",
            "j",
            "--expires-at",
            "2030-01-01T00:00:00Z",
        ).code
        == 0
    )
    events = dev.run("webhook", "list", "--unlinked")
    tokens = dev.run("token", "list")

    remark = "its payment is unlinked, or it is about no payment"
    assert f"- in USER_ID: {remark}" in events.err
    assert tokens.out.split()[:3] == ["ISSUER", "JTI", "USER_ID"]
    assert "- in USER_ID: invalidated by its issuer and jti alone" in tokens.err


def test_every_moment_is_written_as_the_api_writes_it(dev: Dev) -> None:
    """
    In UTC with a `Z`, for people and as JSON.
    """
    assert dev.asks(dev.token("moments"), "moments") == 200
    assert dev.send("moment_1", receipt_email="moments@x.org").code == 0
    name = ("--issuer", "i", "--jti", "moment", "--expires-at", "2030-01-01T00:00:00Z")
    assert dev.run("token", "invalidate", *name).code == 0
    for words in (
        ("account", "show", "moments"),
        ("token", "invalidate", "--user", "moments", "--dry-run"),
        ("token", "invalidate", "--user", "moments"),
        ("token", "list"),
        ("webhook", "list"),
        ("webhook", "show", "evt_moment_1"),
        ("sandbox", "advance", "0 seconds"),
        ("sandbox", "trigger", "customer.created", "--user", "moments@x.org"),
        ("sandbox", "events"),
        ("sandbox", "state"),
    ):
        plain, as_json = dev.run(*words), dev.run(*words, "--json")
        assert (plain.code, as_json.code) == (0, 0), plain.err
        assert json.loads(as_json.out)
        moments = MOMENT.findall(plain.out + as_json.out)
        assert moments or "trigger" in words, words
        assert [it for it in moments if not IN_UTC.fullmatch(it)] == [], words
