"""Users and their payment status over real HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support import databases
from support.events import FAILED, SUCCEEDED, event, utc
from support.plain_http import TLS
from support.service import ServiceProcess


def test_three_charges_and_a_failure(service: ServiceProcess) -> None:
    """
    31 January, 28 February, 31 March: the anchor's day is preserved. Then a charge
    fails and the status says so, while the paid time stays.
    """
    service.register("story", "story@example.com", "cus_story")
    told = []
    for number, at in enumerate(
        [utc(2025, 12, 31), utc(2026, 1, 31), utc(2026, 2, 28)]
    ):
        charge = event(SUCCEEDED, f"story_{number}", at=at, customer="cus_story")
        assert service.post_event(charge, "charge/succeeded").status_code == 200
        status = service.status("story")
        told.append((status["payment_status"], status["payment_expire_date"]))
    failed = event(FAILED, "story_3", at=utc(2026, 3, 31), customer="cus_story")
    assert service.post_event(failed, "charge/failed").status_code == 200

    after = service.status("story")

    assert told == [
        ("paid", "2026-01-31T12:00:00Z"),
        ("paid", "2026-02-28T12:00:00Z"),
        ("paid", "2026-03-31T12:00:00Z"),
    ]
    assert after["payment_status"] == "failed"
    assert after["payment_expire_date"] == "2026-03-31T12:00:00Z"


@pytest.mark.parametrize("field", ["receipt_email", "billing_details"])
def test_a_charge_finds_its_user_by_email(service: ServiceProcess, field: str) -> None:
    """
    The receipt's or the billing e-mail is enough, in any spelling.
    """
    user = f"mail_{field}"
    service.register(user, f"{user}@example.com")
    written = f" {user.upper()}@Example.COM "
    value: Any = {"email": written} if field == "billing_details" else written
    now = datetime.now(UTC)

    service.post_event(event(SUCCEEDED, user, at=now, **{field: value}))

    status = service.status(user)
    assert status["payment_status"] == "paid"
    assert status["entitled"] is True


def test_an_unlinked_charge_waits_for_its_user(service: ServiceProcess) -> None:
    """
    A charge without an owner is stored, and linked to the user who appears later.
    """
    charge = event(SUCCEEDED, "later", at=utc(2026, 1, 1), customer="cus_later")
    assert service.post_event(charge).json() == {"outcome": "applied"}

    service.register("later", "later@example.com", "cus_later")

    assert service.status("later")["payment_expire_date"] == "2026-02-01T12:00:00Z"


def test_a_user_reads_their_own_status_by_id_and_email(service: ServiceProcess) -> None:
    """
    The first call of a user whose token has an e-mail registers them.
    """
    token = service.world.token("own", email="own@example.com")

    first = service.call("GET", "/users/own/payment-status", token)
    by_email = service.call("GET", "/users/OWN@example.com/payment-status", token)

    assert first.status_code == 200
    assert first.json() == {
        "user_id": "own",
        "email": "own@example.com",
        "payment_status": "none",
        "payment_expire_date": None,
        "entitled": False,
        "card": None,
        "subscriptions": [],
    }
    assert by_email.json() == first.json()


def test_t41_another_users_status_does_not_exist(service: ServiceProcess) -> None:
    """
    404 and not 403: the answer does not reveal who is registered.
    """
    service.register("theirs", "theirs@example.com")
    token = service.world.token("mine", email="mine@example.com")

    by_id = service.call("GET", "/users/theirs/payment-status", token)
    by_email = service.call("GET", "/users/theirs@example.com/payment-status", token)
    unknown = service.call("GET", "/users/nobody/payment-status", service.world.admin())

    for answer in (by_id, by_email, unknown):
        assert answer.status_code == 404
        assert answer.json()["code"] == "account_not_found"


def test_an_etag_spares_the_body(service: ServiceProcess) -> None:
    """
    A caller with the current tag gets 304; a payment changes the tag.
    """
    service.register("tag", "tag@example.com")
    path, token = "/users/tag/payment-status", service.world.admin()
    first = service.call("GET", path, token)
    headers = {
        "Authorization": f"Bearer {token}",
        "If-None-Match": f'W/"x", {first.headers["etag"]}',
    }

    again = httpx.get(service.url + path, headers=headers, verify=TLS)
    service.post_event(
        event(SUCCEEDED, "tag", at=utc(2026, 1, 1), receipt_email="tag@example.com")
    )
    after = httpx.get(service.url + path, headers=headers, verify=TLS)

    assert (again.status_code, again.content) == (304, b"")
    assert after.status_code == 200


def test_registering_is_idempotent_and_renames(service: ServiceProcess) -> None:
    """
    The same PUT again changes nothing; another e-mail renames; the old one can be used
    again.
    """
    service.register("moves", "old@example.com")
    before = databases.digest(service.world.database_url)
    service.register("moves", "old@example.com")
    assert databases.digest(service.world.database_url) == before

    service.register("moves", "new@example.com")
    service.register("heir", "old@example.com")

    assert service.status("moves")["email"] == "new@example.com"
    assert service.status("old@example.com")["user_id"] == "heir"


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"email": "TAKEN@example.com"}, 409, "email_taken", None),
        ({"email": "f@x.y", "reason": "why"}, 400, "invalid_value", "/reason"),
        ({"email": "f@x.y", "entitled": True}, 400, "invalid_body", ""),
        ({}, 400, "invalid_body", ""),
        ({"email": 1}, 400, "invalid_body", "/email"),
        ({"email": "nobody"}, 400, "invalid_value", "/email"),
        ({"email": "a\0@x.y"}, 400, "invalid_value", "/email"),
        ({"email": "a@" + "x" * 300}, 400, "invalid_value", "/email"),
        (
            {"email": "f@x.y", "customer_id": "c d"},
            400,
            "invalid_value",
            "/customer_id",
        ),
        ([], 400, "invalid_body", ""),
    ],
)
def test_bad_registrations_change_nothing(
    service: ServiceProcess, body: Any, status: int, code: str, pointer: str | None
) -> None:
    """
    Each is refused with the field and the reason.
    """
    service.register("holder", "taken@example.com", "cus_taken")
    before = databases.digest(service.world.database_url)

    answer = service.call("PUT", "/users/fresh", service.world.admin(), body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if pointer is not None:
        assert [field["pointer"] for field in answer.json()["errors"]] == [pointer]
    assert databases.digest(service.world.database_url) == before


@pytest.mark.parametrize("user", ["a%00b", "a%20b", "x" * 129, "a%0d%0ab", "é"])
def test_a_user_id_that_is_none_is_refused(service: ServiceProcess, user: str) -> None:
    """
    A control character, a space or too many letters in the path are 400.
    """
    token = service.world.admin()

    for answer in (
        service.call("PUT", f"/users/{user}", token, {"email": "x@y.z"}),
        service.call("GET", f"/users/{user}/payment-status", token),
    ):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/user_id"


@pytest.mark.parametrize("content", [b"{", b'{"email": "\xff"}', b"[" * 200_000])
def test_unreadable_json_is_refused(service: ServiceProcess, content: bytes) -> None:
    """
    No JSON, no UTF-8, too deep: 400, and the process continues.
    """
    answer = httpx.put(
        f"{service.url}/users/fresh",
        content=content,
        headers={
            "Authorization": f"Bearer {service.world.admin()}",
            "Content-Type": "application/json",
        },
        verify=TLS,
    )

    assert answer.status_code == 400
    assert answer.json()["code"] in {"invalid_json", "invalid_body"}


def test_t42_registering_needs_the_admin_scope(service: ServiceProcess) -> None:
    """
    A user's own token cannot register another user.
    """
    token = service.world.token("me", email="me@example.com")

    answer = service.call("PUT", "/users/me", token, {"email": "me@example.com"})

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_required")


def test_an_expired_month_is_not_entitled(service: ServiceProcess) -> None:
    """
    The status stays `paid`; the clock decides whether the user is entitled.
    """
    service.register("late", "late@example.com")
    long_ago = datetime.now(UTC) - timedelta(days=365)

    service.post_event(
        event(SUCCEEDED, "late", at=long_ago, receipt_email="late@example.com")
    )

    status = service.status("late")
    assert (status["payment_status"], status["entitled"]) == ("paid", False)


@pytest.mark.parametrize("written", ["a%2Fb@example.com", "a%2fb%40example.com"])
def test_an_email_with_a_slash_is_found_by_its_path(
    service: ServiceProcess, written: str
) -> None:
    """
    An encoded `%2F` does not split a path; an id cannot contain it, and the answer says
    so.
    """
    service.register("slash", "a/b@example.com")
    users = f"{service.url}/users"
    admin = {"Authorization": f"Bearer {service.world.admin()}"}

    found = httpx.get(f"{users}/{written}/payment-status", headers=admin, verify=TLS)
    listed = httpx.get(f"{users}/{written}/subscriptions", headers=admin, verify=TLS)
    divided = httpx.get(
        f"{users}/a/b@example.com/payment-status", headers=admin, verify=TLS
    )
    no_id = httpx.get(f"{users}/a%2Fb/payment-status", headers=admin, verify=TLS)

    assert (found.status_code, found.json()["user_id"]) == (200, "slash")
    assert (listed.status_code, listed.json()) == (200, {"items": []})
    assert divided.status_code == 404
    assert (no_id.status_code, no_id.json()["code"]) == (400, "invalid_value")
