"""Lists print their column headers, even if they are empty."""

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
        (("account", "list", "--text", "nosuch"), "USER_ID", "no such user"),
        (("sandbox", "events", "--type", "invoice.paid"), "CREATED", "no such event"),
    ],
)
def test_an_empty_list_has_headers_and_says_that_it_is_empty(
    dev: Dev, words: tuple[str, ...], columns: str, nothing: str
) -> None:
    """
    Headers on stdout, the sentence on stderr; exit code 0.
    """
    assert dev.asks(dev.token("nobody"), "nobody") == 200
    answer = dev.run(*words)

    assert answer.code == 0
    assert answer.out.startswith(f"{columns} ")
    assert len(answer.out.splitlines()) == 1
    assert nothing in answer.err


def test_what_a_list_leaves_empty_is_explained(dev: Dev) -> None:
    """
    An unknown user or a missing reason: a remark names the column.
    """
    assert dev.send("empty_1").code == 0
    assert (
        dev.run(
            "token",
            "invalidate",
            "--issuer",
            "payments-dev",
            "--jti",
            "j",
            "--expires-at",
            "2030-01-01T00:00:00Z",
        ).code
        == 0
    )
    events = dev.run("webhook", "list", "--unlinked")
    tokens = dev.run("token", "list")

    remark = "the event's payment is unlinked, or it is about no payment"
    assert f"- in USER_ID: {remark}" in events.err
    assert tokens.out.split()[:3] == ["ISSUER", "JTI", "USER_ID"]
    assert "- in USER_ID: invalidated by its issuer and jti alone" in tokens.err


def test_every_moment_is_written_as_the_api_writes_it(dev: Dev) -> None:
    """
    In UTC with a `Z`, for people and as JSON.
    """
    assert dev.asks(dev.token("moments"), "moments") == 200
    assert dev.send("moment_1", receipt_email="moments@x.org").code == 0
    until = ("--expires-at", "2030-01-01T00:00:00Z")
    name = ("--issuer", "payments-dev", "--jti", "moment", *until)
    assert dev.run("token", "invalidate", *name).code == 0
    for words in (
        ("account", "show", "moments"),
        ("account", "list", "--email", "moments@x.org"),
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


def test_users_are_listed_by_what_they_have(
    dev: Dev, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As text and as JSON, page by page; several filters are combined.
    """
    for user in ("listed_1", "listed_2", "listed_3"):
        assert dev.asks(dev.token(user), user) == 200
    assert dev.send("listed_1", receipt_email="listed_2@x.org").code == 0
    words = ("account", "list", "--text", "listed_")

    table = dev.run(*words)
    first = dev.run(*words, "--limit", "2", "--json").json
    rest = dev.run(*words, "--cursor", first["next_cursor"], "--json").json
    plain = dev.run(*words, "--limit", "2")
    paid = dev.run(*words, "--status", "paid", "--json").json
    both = dev.run(*words, "--status", "paid", "--email", "listed_1@x.org", "--json")

    header, *lines = table.out.splitlines()
    assert header.split()[:3] == ["USER_ID", "EMAIL", "PAYMENT_STATUS"]
    assert [it.split()[0] for it in lines] == ["listed_1", "listed_2", "listed_3"]
    assert "- in CUSTOMER_ID: no Stripe customer is bound" in table.err
    users = [it["user_id"] for it in (*first["items"], *rest["items"])]
    assert users == ["listed_1", "listed_2", "listed_3"]
    assert rest["next_cursor"] is None
    assert f"more: --cursor {first['next_cursor']}\n" in plain.err
    assert [(it["user_id"], it["products"]) for it in paid["items"]] == [
        ("listed_2", [])
    ]
    assert both.json == {"items": [], "next_cursor": None}
    # No user that one page may read matches: the list continues by itself, and says
    # where it stopped.
    monkeypatch.setattr("payments_adapters.postgres.user_list.READ_MAX", 1)
    monkeypatch.setattr("payments_adapters.postgres.user_list.CHUNK", 1)
    assert dev.run(*words, "--status", "paid", "--json").json == paid
    monkeypatch.setattr("payments_service.cli.account_list.PAGES_MAX", 1)
    stopped = dev.run(*words, "--status", "failed", "--limit", "1")
    assert "no such user so far\n" in stopped.err
    assert "more: --cursor " in stopped.err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--status", "expired"), "--status"),
        (("--customer", "c d"), "customer"),
        (("--email", "nobody"), "email"),
        (("--product", "-"), "product"),
        (("--text", ""), "text"),
        (("--cursor", "x"), "cursor"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_a_bad_filter_of_users_is_a_usage_error(
    dev: Dev, words: tuple[str, str], name: str
) -> None:
    """
    Exit code 2, with the name of the option.
    """
    answer = dev.run("account", "list", *words)
    assert (answer.code, answer.out) == (2, "")
    assert name in answer.err
