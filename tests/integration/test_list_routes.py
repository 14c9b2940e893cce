"""Users, payments and timelines in pages, over real HTTP."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from support import databases
from support.events import FAILED, SUCCEEDED, event, utc
from support.service import ServiceProcess

JAN, FEB = utc(2026, 1, 1), utc(2026, 2, 1)
ALL = "/users/ada/timeline"


@pytest.fixture(scope="module")
def known(service: ServiceProcess) -> ServiceProcess:
    """Lend a service that knows some users; one has paid, another's payment failed."""
    service.register("ada", "ada@example.com", "cus_lists_ada")
    service.register("adam", "Wood@Example.com")
    service.register("bob", "adas-brother@example.com", "cus_lists_bob")
    for number, (type_, at) in enumerate([(SUCCEEDED, JAN), (SUCCEEDED, FEB)]):
        charge = event(type_, f"ada_{number}", at=at, customer="cus_lists_ada")
        assert service.post_event(charge).status_code == 200
    failed = event(FAILED, "bob", at=FEB, customer="cus_lists_bob")
    assert service.post_event(failed).status_code == 200
    return service


def got(
    service: ServiceProcess, path: str, token: str | None = None, **query: object
) -> Any:
    asked = f"{path}?{urlencode(query)}"
    answer = service.call("GET", asked, token or service.world.admin())
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(service: ServiceProcess, path: str, **query: object) -> Iterator[Any]:
    cursor: dict[str, str] = {}
    while True:
        page = got(service, path, None, **query, **cursor)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def names(service: ServiceProcess, **query: object) -> list[str]:
    return [it["user_id"] for it in pages(service, "/users", **query)]


def test_users_are_listed_with_what_they_have(known: ServiceProcess) -> None:
    """
    By their ids; unknown values are null.
    """
    ada, adam, bob = got(known, "/users")["items"]

    status = known.status("ada")
    assert ada == {
        **{name: status[name] for name in ("user_id", "email", "payment_status")},
        **{name: status[name] for name in ("payment_expire_date", "entitled")},
        "customer_id": "cus_lists_ada",
        "products": [],
    }
    assert (adam["user_id"], adam["email"]) == ("adam", "Wood@Example.com")
    assert (adam["customer_id"], adam["payment_expire_date"]) == (None, None)
    assert bob["payment_status"] == "failed"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["ada", "adam", "bob"]),
        ({"limit": 1}, ["ada", "adam", "bob"]),
        ({"status": "paid"}, ["ada"]),
        ({"status": "none"}, ["adam"]),
        ({"status": "trialing"}, []),
        ({"customer": "cus_lists_bob"}, ["bob"]),
        ({"email": "WOOD@example.com."}, ["adam"]),
        ({"email": "nobody@example.com"}, []),
        ({"text": "ada"}, ["ada", "adam", "bob"]),
        ({"text": "ada", "limit": 1}, ["ada", "adam", "bob"]),
        ({"text": "adas"}, ["bob"]),
        ({"text": "WOOD"}, ["adam"]),
        ({"text": "ada", "status": "failed"}, ["bob"]),
        ({"product": "prod_1"}, []),
        ({"status": "failed", "customer": "cus_lists_ada"}, []),
    ],
    ids=str,
)
def test_filters_combine(
    known: ServiceProcess, query: dict[str, object], found: list[str]
) -> None:
    """
    Each user once, for any page size.
    """
    assert names(known, **query) == found


A_CURSOR = base64.urlsafe_b64encode(b'["2026-01-01T00:00:00Z", "status", "x", ""]')


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/users", "status=expired", "status"),
        ("/users", "status=", "status"),
        ("/users", "status=paid&status=paid", "status"),
        ("/users", "product=pr%20od", "product"),
        ("/users", "customer=c%00", "customer"),
        ("/users", "email=nobody", "email"),
        ("/users", "text=", "text"),
        ("/users", "text=a%00", "text"),
        ("/users", f"text={'x' * 255}", "text"),
        ("/users", "limit=0", "limit"),
        ("/users", "limit=101", "limit"),
        ("/users", "cursor=e30", "cursor"),
        ("/users", "statuss=paid", "query"),
        ("/users/ada/payments", "status=paid", "query"),
        ("/users/ada/payments", "cursor=WyJhIl0", "cursor"),
        ("/users/ada/payments", "limit=x", "limit"),
        (ALL, "cursor=bnVsbA", "cursor"),
        (ALL, f"cursor={A_CURSOR.decode()}", "cursor"),
        (ALL, "kind=event", "query"),
    ],
)
def test_a_bad_filter_is_refused_by_its_name(
    known: ServiceProcess, path: str, query: str, field: str
) -> None:
    """
    400, and the input is not echoed.
    """
    answer = known.call("GET", f"{path}?{query}", known.world.admin())

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert [it["pointer"] for it in answer.json()["errors"]] == [f"/{field}"]


def test_t42_only_an_administrator_lists_users(known: ServiceProcess) -> None:
    """
    For any query.
    """
    token = known.world.token("ada", email="ada@example.com")
    for query in ("", "?email=ada@example.com", "?status=nothing"):
        answer = known.call("GET", f"/users{query}", token)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_required")


def test_payments_are_listed_the_newest_first(known: ServiceProcess) -> None:
    """
    For the user, and for an administrator by id or e-mail.
    """
    token = known.world.token("ada")
    own = got(known, "/users/ada/payments", token)
    by_email = got(known, f"/users/{quote('ada@example.com')}/payments")

    assert own == by_email
    newest, oldest = own["items"]
    assert (newest["created_at"], oldest["created_at"]) == (
        "2026-02-01T12:00:00Z",
        "2026-01-01T12:00:00Z",
    )
    assert newest == {
        "id": newest["id"],
        "state": "succeeded",
        "amount": newest["amount"],
        "refunded_minor": 0,
        "dispute": "none",
        "created_at": "2026-02-01T12:00:00Z",
        "invoice": None,
        "subscription": None,
        "failure_code": None,
        "linked_by_hand": False,
    }
    assert newest["amount"].keys() == {"amount_minor", "currency"}
    assert list(pages(known, "/users/ada/payments", limit=1)) == own["items"]


def test_a_timeline_tells_what_happened(known: ServiceProcess) -> None:
    """
    Events, payments, and changes of the status; the same in pages.
    """
    items = got(known, ALL)["items"]

    assert list(pages(known, ALL, limit=2)) == items
    moments = [it["at"] for it in items]
    assert moments == sorted(moments, reverse=True)
    kinds = [it["kind"] for it in items]
    assert sorted(kinds) == ["event"] * 2 + ["payment"] * 2 + ["status"] * 3
    received = next(it for it in items if it["kind"] == "event")
    assert (received["type"], received["outcome"]) == ("charge.succeeded", "applied")
    latest = next(it for it in items if it["kind"] == "status")
    assert latest["payment_status"] == "paid"
    assert latest["sources"] == [received["id"]]
    paid = next(it for it in items if it["kind"] == "payment")
    assert paid["payment"]["id"] == received["object_id"]


def test_who_did_something_by_hand_is_for_who_reads_all_users(
    known: ServiceProcess,
) -> None:
    """
    The user sees that it was done by hand.
    """
    (paid,) = got(known, "/users/bob/payments")["items"]
    databases.run(
        databases.execute(
            known.world.database_url,
            "insert into changes_by_hand"  # noqa: S608  # our own id
            " (at, action, subject, user_id, decided_by, reason) values"
            f" (now(), 'link_payment', '{paid['id']}', 'bob', 'root', 'our words')",
        )
    )

    token = known.world.token("bob")
    reader = known.world.token("desk", scopes=["payments:read"])
    shown, read, own = (
        next(
            it
            for it in got(known, "/users/bob/timeline", who)["items"]
            if it["kind"] == "by_hand"
        )
        for who in (None, reader, token)
    )

    assert (shown["by"], shown["reason"]) == ("root", "our words")
    assert read == shown
    assert own == {**shown, "by": None, "reason": None}


@pytest.mark.parametrize("what", ["payments", "timeline"])
def test_t41_another_users_lists_do_not_exist(known: ServiceProcess, what: str) -> None:
    """
    404, as for an unknown user.
    """
    token = known.world.token("adam", email="wood@example.com")
    for user in ("ada", "ada@example.com", "nobody"):
        answer = known.call("GET", f"/users/{user}/{what}", token)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")


def test_a_list_changes_nothing(known: ServiceProcess) -> None:
    """
    For any read, by any caller.
    """
    before = databases.digest(known.world.database_url)
    for path in ("/users", "/users/ada/payments", ALL):
        assert json.dumps(got(known, path))
    assert databases.digest(known.world.database_url) == before
