"""Idempotency keys over HTTP, of orders and cards, and the operations of both."""

import httpx
import pytest

from support.plain_http import TLS
from support.service_with_sandbox import (
    BASIC,
    FAILING,
    GOOD,
    OTHER,
    REFUSED,
    Payer,
    ServiceWithSandbox,
    refusal,
)

SET_UP = "card-setup"


# Keys of orders


def test_p28_the_same_order_under_a_key_is_one(ada: Payer) -> None:
    """
    The same bytes, marked as a replay, although a second order would be refused.
    """
    ada.give_card()
    first = ada.subscribe(key="one")
    posts = list(ada.stack.posts)

    again = ada.subscribe(key="one")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert ada.stack.posts == posts
    assert ada.taken == [BASIC]


def test_t50_the_same_key_with_another_order_is_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    422; only one subscription exists.
    """
    ada.give_card()
    ada.subscribe(key="one")

    answer = ada.subscribe(key="one", product=stack.other_product)

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert len(ada.subscriptions) == 1


def test_t52_an_order_under_anothers_key_is_ones_own(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Two users, the same key and order: two subscriptions.
    """
    bob = stack.user()
    for payer in (ada, bob):
        payer.give_card()

    answers = [payer.subscribe(key="shared") for payer in (ada, bob)]

    assert [it.status_code for it in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert (ada.taken, bob.taken) == ([BASIC], [BASIC])


def test_p28_the_same_change_under_a_key_is_one(ada: Payer) -> None:
    """
    A change and an end are replayed as they were, also after others.
    """
    id_ = ada.subscribed()["id"]
    first = ada.change(id_, key="one", quantity=2)
    ada.change(id_, quantity=3)
    ended = ada.call("DELETE", f"subscriptions/{id_}", key="two")
    posts = list(ada.stack.posts)

    again = ada.change(id_, key="one", quantity=2)
    ended_again = ada.call("DELETE", f"subscriptions/{id_}", key="two")

    assert (again.status_code, again.content) == (200, first.content)
    assert (ended_again.status_code, ended_again.content) == (200, ended.content)
    for answer in (again, ended_again):
        assert answer.headers["idempotent-replayed"] == "true"
    assert ada.stack.posts == posts


def test_t50_an_end_under_the_key_of_another_is_refused(ada: Payer) -> None:
    """
    Ending now and ending with the period are two requests: 422, and the first counts.
    """
    one = f"subscriptions/{ada.subscribed()['id']}"
    ada.call("DELETE", f"{one}?when=period_end", key="one").raise_for_status()

    answer = ada.call("DELETE", one, key="one")

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert ada.get(one)["status"] == "active"


def test_t50_one_key_for_two_subscriptions_is_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The same body for another subscription is another request: 422.
    """
    first = ada.subscribed()["id"]
    second = ada.subscribe(product=stack.other_product).json()["id"]
    ada.change(first, key="one", quantity=2).raise_for_status()

    answer = ada.change(second, key="one", quantity=2)

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert ada.get(f"subscriptions/{second}")["quantity"] == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 129])
def test_t53_a_key_that_is_none_is_refused_everywhere(
    begun: tuple[Payer, str], key: str
) -> None:
    """
    400 on every route that takes a key; the subscription is unchanged.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before = ada.get(one)

    for answer in (
        ada.subscribe(key=key, product=ada.stack.other_product),
        ada.change(id_, key=key, quantity=2),
        ada.call("DELETE", one, key=key),
    ):
        assert refusal(answer) == (400, "invalid_idempotency_key")

    assert ada.get(one) == before


# Operations


def test_t41_an_operation_is_its_users_and_the_administrators(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    200 for the user's own, with the answer; 404 for another's; 200 for an
    administrator.
    """
    told, bob = ada.subscribed(), stack.user()
    [theirs] = ada.subscriptions
    path = f"/intents/{theirs['metadata']['intent_id']}"
    _ = bob.status

    own, others = ada.call("GET", path), bob.call("GET", path)
    admins = ada.call("GET", path, token=stack.world.admin())

    assert own.status_code == 200
    assert own.json()["result"] == told
    assert own.json()["refusal"] is None
    assert refusal(others) == (404, "intent_not_found")
    assert admins.json() == own.json()


def test_an_operation_that_has_ended_is_not_called_off(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    409, for an administrator too; another user's is not found.
    """
    ada.subscribed()
    [theirs] = ada.subscriptions
    path, bob = f"/intents/{theirs['metadata']['intent_id']}", stack.user()
    _ = bob.status

    assert refusal(ada.call("DELETE", path)) == (409, "intent_ended")
    admins = ada.call("DELETE", path, token=stack.world.admin())
    assert refusal(admins) == (409, "intent_ended")
    assert refusal(bob.call("DELETE", path)) == (404, "intent_not_found")
    assert len(ada.subscriptions) == 1


def test_a_refused_operation_says_why(ada: Payer) -> None:
    """
    The intent has the bank's decline code, as the answer had.
    """
    ada.give_card(FAILING)
    ada.subscribe()
    [theirs] = ada.subscriptions

    intent = ada.get(f"/intents/{theirs['metadata']['intent_id']}")

    assert (intent["state"], intent["result"]) == ("declined", None)
    assert intent["refusal"]["code"] == "card_declined"
    assert intent["refusal"]["decline_code"] == "generic_decline"


@pytest.mark.parametrize(
    "id_",
    [
        "x",
        "é",
        "x" * 300,
        "a%00b",
    ],
)
def test_an_operation_that_is_none_does_not_exist(ada: Payer, id_: str) -> None:
    """
    404, whatever it looks like.
    """
    _ = ada.status

    assert ada.call("GET", f"/intents/{id_}").status_code == 404


# Keys of cards


def test_p28_the_same_key_and_body_get_the_same_bytes(ada: Payer) -> None:
    """
    The second time no request is sent to the gateway, and the answer is marked as a
    replay.
    """
    body = {"payment_method": GOOD}
    first = ada.call("PUT", "card", body, key="one")
    before = list(ada.stack.posts)

    again = ada.call("PUT", "card", body, key="one")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert ada.stack.posts == before


def test_a_set_up_under_a_key_is_one(ada: Payer) -> None:
    """
    The same secret both times.
    """
    first, again = (ada.call("POST", SET_UP, key="one") for _ in range(2))

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(ada.have("setup_intent")) == 1


def test_a_decline_under_a_key_is_told_again(ada: Payer) -> None:
    """
    The same refusal, even if the bank would accept now.
    """
    first, again = (
        ada.call("PUT", "card", {"payment_method": REFUSED}, key="one")
        for _ in range(2)
    )

    for answer in (first, again):
        assert refusal(answer) == (402, "card_declined")
        assert answer.json()["decline_code"] == "generic_decline"


def test_a_refusal_that_is_told_again_says_so(ada: Payer) -> None:
    """
    As every other answer under a key does (api.md).
    """
    body = {"payment_method": REFUSED}
    ada.call("PUT", "card", body, key="one")

    answer = ada.call("PUT", "card", body, key="one")

    assert answer.status_code == 402
    assert answer.headers.get("idempotent-replayed") == "true"


def test_t50_the_same_key_with_another_body_is_refused(ada: Payer) -> None:
    """
    422; the first card stays.
    """
    ada.call("PUT", "card", {"payment_method": GOOD}, key="one")

    answer = ada.call("PUT", "card", {"payment_method": OTHER}, key="one")

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert ada.status["card"]["brand"] == "visa"


def test_t52_the_same_key_of_two_users_is_two(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Neither user sees the other's answer or blocks the other.
    """
    bob = stack.user()

    mine = ada.call("PUT", "card", {"payment_method": GOOD}, key="shared")
    theirs = bob.call("PUT", "card", {"payment_method": OTHER}, key="shared")

    assert (mine.status_code, theirs.status_code) == (200, 200)
    assert "idempotent-replayed" not in theirs.headers
    assert bob.status["card"]["brand"] == "mastercard"


def test_the_same_key_on_another_route_is_another(ada: Payer) -> None:
    """
    A key is scoped to a route: a client may count from 1 on each.
    """
    first = ada.call("POST", SET_UP, key="1")
    second = ada.call("PUT", "card", {"payment_method": GOOD}, key="1")

    assert (first.status_code, second.status_code) == (201, 200)


@pytest.mark.parametrize(
    "key",
    [
        *["", "a b", "a,b", "k" * 129, '""', '"', "../..", "a'; drop table"],
        *["k\t1", "\xe9", '"k', 'k"', '""k""', '"k"k', "'k'", '"k";a=1'],
    ],
)
def test_t53_a_key_that_is_none_is_refused(ada: Payer, key: str) -> None:
    """
    400 for any of these; nothing happens, and the key is not echoed.
    """
    answer = ada.call("PUT", "card", {"payment_method": GOOD}, key=key)

    assert refusal(answer) == (400, "invalid_idempotency_key")
    assert ada.customers == []


def test_t53_a_key_in_quotes_is_the_one_without(ada: Payer) -> None:
    """
    In the syntax of the standard's draft.
    """
    first = ada.call("PUT", "card", {"payment_method": GOOD}, key='"quoted"')
    again = ada.call("PUT", "card", {"payment_method": GOOD}, key="quoted")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["idempotent-replayed"] == "true"


def test_t53_two_keys_are_none(ada: Payer) -> None:
    """
    It is not defined which of them counts.
    """
    answer = httpx.put(
        f"{ada.stack.service.url}/users/{ada.id}/card",
        json={"payment_method": GOOD},
        headers=[
            ("Authorization", f"Bearer {ada.token}"),
            ("Idempotency-Key", "one"),
            ("Idempotency-Key", "two"),
        ],
        trust_env=False,
        verify=TLS,
    )

    assert refusal(answer) == (400, "invalid_idempotency_key")


def test_t53_a_key_may_be_quoted_and_long(ada: Payer) -> None:
    """
    128 characters, and the draft's structured string: one key.
    """
    key = "k" * 120 + "_.:-A9zZ"
    plain = ada.call("PUT", "card", {"payment_method": GOOD}, key=key)

    quoted = ada.call("PUT", "card", {"payment_method": GOOD}, key=f'"{key}"')

    assert plain.status_code == 200
    assert quoted.content == plain.content
    assert quoted.headers["idempotent-replayed"] == "true"
