"""A subscription is ended over HTTP, at once or with its period."""

import pytest

from support.service_with_sandbox import BASIC, Payer, pointers, refusal


def test_ended_now_keeps_the_paid_time(ada: Payer) -> None:
    """
    The subscription is canceled; until the date the user is entitled.
    """
    told = ada.subscribed()

    answer = ada.call("DELETE", f"subscriptions/{told['id']}")
    ada.stack.settle()

    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.json()["ended_at"]
    [theirs] = ada.subscriptions
    assert theirs["status"] == "canceled"
    status = ada.status
    assert status["payment_expire_date"] == told["current_period_end"]
    assert ada.standing == ("paid", True)


@pytest.mark.parametrize("when", ["now", "period_end"])
def test_ended_twice_is_ended_once(ada: Payer, when: str) -> None:
    """
    200 with the same state; no further request is sent to the gateway.
    """
    path = f"subscriptions/{ada.subscribed()['id']}?when={when}"
    first = ada.call("DELETE", path)
    posts = list(ada.stack.posts)

    again = ada.call("DELETE", path)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert ada.stack.posts == posts


def test_ended_with_the_period_lives_until_then(ada: Payer) -> None:
    """
    Planned first; canceled when the time has come, and nothing more is charged.
    """
    told = ada.subscribed()
    id_ = told["id"]

    answer = ada.call("DELETE", f"subscriptions/{id_}?when=period_end")
    shown = ada.get(f"subscriptions/{id_}")
    ada.pass_period()

    assert answer.status_code == 200
    assert answer.json()["cancel_at_period_end"] is True
    assert (shown["status"], shown["cancel_at_period_end"]) == ("active", True)
    after = ada.get(f"subscriptions/{id_}")
    assert after["status"] == "canceled"
    assert ada.status["payment_expire_date"] == told["current_period_end"]
    assert ada.taken == [BASIC]


def test_what_is_to_end_may_be_ended_now(ada: Payer) -> None:
    """
    A planned end does not prevent it; afterwards a planned end no longer exists.
    """
    one = f"subscriptions/{ada.subscribed()['id']}"
    ada.call("DELETE", f"{one}?when=period_end").raise_for_status()

    now = ada.call("DELETE", one)
    planned = ada.call("DELETE", f"{one}?when=period_end")

    assert (now.status_code, now.json()["status"]) == (200, "canceled")
    assert (planned.status_code, planned.json()["status"]) == (200, "canceled")


@pytest.mark.parametrize("when", ["tomorrow", "", "NOW", "now%00", "at_period_end"])
def test_ended_at_another_time_is_refused(begun: tuple[Payer, str], when: str) -> None:
    """
    400 with the field; the subscription stays active.
    """
    ada, id_ = begun

    answer = ada.call("DELETE", f"subscriptions/{id_}?when={when}")

    assert refusal(answer) == (400, "invalid_value")
    assert pointers(answer) == ["/when"]
    assert ada.get(f"subscriptions/{id_}")["status"] == "active"


def test_what_ended_may_be_begun_anew(ada: Payer) -> None:
    """
    A canceled subscription blocks no other.
    """
    first = ada.subscribed()
    ada.call("DELETE", f"subscriptions/{first['id']}").raise_for_status()

    second = ada.subscribe()
    ada.stack.settle()

    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    assert [it["status"] for it in ada.subscriptions] == ["canceled", "active"]
