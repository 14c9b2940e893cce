"""Why a user has paid or not, over real HTTP and on a real Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from support.events import FAILED, SUCCEEDED, event
from support.service import ServiceProcess


def explained(service: ServiceProcess, user: str, **query: str) -> Any:
    return ask(service, user, **query).json()


def ask(service: ServiceProcess, user: str, **query: str) -> httpx.Response:
    path = f"/users/{user}/explanation?{urlencode(query)}"
    return service.call("GET", path, service.world.admin())


def test_a_declined_payment_is_explained(service: ServiceProcess) -> None:
    """
    The verdict is the status's own; the cause names the charge, the fact names its
    event.
    """
    service.register("why", "why@example.com", "cus_why")
    now = datetime.now(UTC).replace(microsecond=0)
    paid = event(SUCCEEDED, "why_0", at=now - timedelta(days=1), customer="cus_why")
    failed = event(FAILED, "why_1", at=now, customer="cus_why")
    for it in (paid, failed):
        assert service.post_event(it).status_code == 200

    found, status = explained(service, "why"), service.status("why")

    same = ("payment_status", "payment_expire_date", "entitled")
    assert {it: found[it] for it in same} == {it: status[it] for it in same}
    assert found["cause"]["code"] == "payment_declined"
    assert found["cause"]["objects"] == ["ch_why_1"]
    assert found["access"]["code"] == "paid"
    kinds = [(it["kind"], it["events"]) for it in found["chain"]]
    assert kinds == [
        ("payment_succeeded", ["evt_why_0"]),
        ("payment_failed", ["evt_why_1"]),
    ]
    assert [it["kind"] for it in found["actions"]] == ["update_card"]
    assert found["recorded"] is None


def test_a_past_moment_is_answered_from_the_log(service: ServiceProcess) -> None:
    """
    As the status was answered then: by the row that held at that time, with its cause.
    """
    service.register("past", "past@example.com", "cus_past")
    then = datetime.now(UTC)
    before = service.status("past")
    paid = event(SUCCEEDED, "past_0", at=then, customer="cus_past")
    assert service.post_event(paid).status_code == 200

    now = explained(service, "past", at=datetime.now(UTC).isoformat())
    past = explained(service, "past", at=then.isoformat())

    same = ("payment_status", "payment_expire_date", "entitled")
    assert {it: past[it] for it in same} == {it: before[it] for it in same}
    assert (now["payment_status"], now["entitled"]) == ("paid", True)
    assert now["recorded"]["sources"] == ["evt_past_0"]
    assert now["recorded"]["status_by"] == "payment ch_past_0"
    assert past["recorded"]["changed_by"].startswith("user registered")
    assert past["cause"] is None


@pytest.mark.parametrize(
    ("at", "status", "code"),
    [
        ("2020-01-01T00:00:00Z", 404, "not_recorded"),
        ("9999-12-31T23:59:59Z", 400, "invalid_value"),
        ("9999-12-31T23:59:59-23:00", 400, "invalid_value"),
        ("2026-01-01T00:00:00", 400, "invalid_value"),
        ("yesterday", 400, "invalid_value"),
        ("", 400, "invalid_value"),
    ],
)
def test_a_moment_of_which_nothing_can_be_said(
    service: ServiceProcess, at: str, status: int, code: str
) -> None:
    """
    Before the first row, in the future, or not a time at all.
    """
    service.register("moments", "moments@example.com")

    answer = ask(service, "moments", at=at)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if code == "invalid_value":
        assert answer.json()["errors"][0]["pointer"] == "/at"


def test_another_user_is_not_found(service: ServiceProcess) -> None:
    """
    Nor is a user who does not exist: the same answer.
    """
    service.register("hers", "hers@example.com")
    other = service.world.token("other", email="other@example.com")

    for user in ("hers", "none"):
        answer = service.call("GET", f"/users/{user}/explanation", other)
        assert answer.status_code == 404
        assert answer.json()["code"] == "account_not_found"
