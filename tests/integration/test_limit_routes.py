"""Answers to a caller above its limit, or whose cards are declined: a real process."""

import re
from collections.abc import Iterator

import attrs
import httpx
import pytest
from typing_extensions import override

from payments_adapters.postgres import statements
from payments_core.caller import FEED_SCOPE
from support import databases
from support.command_line import Inside
from support.events import SUCCEEDED, event
from support.plain_http import TLS
from support.service import ServiceProcess, World, running
from support.service_with_sandbox import (
    FAILING,
    GOOD,
    REFUSED,
    ServiceWithSandbox,
    moment,
    refusal,
)

# A share of one is refilled after a minute, which no test waits for: the size of shares
# and their refill are tested elsewhere, with a fake clock.
EACH = 1
STATUS = "/users/{}/payment-status"


@attrs.frozen
class LimitedWorld(World):
    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        # By its name: attrs makes a slotted class anew, and `super()` has the old one.
        return World.env(self, port, ops_port) | {
            "PAYMENTS_READS_PER_MINUTE": str(EACH),
            "PAYMENTS_CHANGES_PER_MINUTE": str(EACH),
            "PAYMENTS_CARDS_PER_MINUTE": str(EACH),
            "PAYMENTS_FEED_PER_MINUTE": str(EACH),
            "PAYMENTS_REVOCATIONS_PER_MINUTE": str(EACH),
        }


@pytest.fixture(scope="module")
def limited(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """A service whose callers have low limits."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(LimitedWorld(dsn)) as [service],
    ):
        yield service


def token_of(service: ServiceProcess, user: str) -> str:
    return service.world.token(user, email=f"{user}@example.com")


def metrics(service: ServiceProcess) -> str:
    return httpx.get(f"{service.ops_url}/metrics", timeout=30, verify=TLS).text


def test_t64_who_asks_too_much_is_refused_and_nobody_else(
    limited: ServiceProcess,
) -> None:
    """
    429 with the limit and the time until there is room; another caller, administrators
    and webhooks have their own. All refusals are counted.
    """
    mallory, ada = (token_of(limited, name) for name in ("mallory", "ada"))
    path = STATUS.format("mallory")
    answers = [limited.call("GET", path, mallory) for _ in range(EACH + 3)]
    refused = answers[-1]

    assert [it.status_code for it in answers] == [200] * EACH + [429] * 3
    assert refusal(refused) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Policy"] == f'"reads";q={EACH};w=60'
    room = re.fullmatch(r'"reads";r=0;t=(\d+)', refused.headers["RateLimit"])
    assert room is not None
    assert room[1] == refused.headers["Retry-After"]
    assert limited.call("GET", STATUS.format("ada"), ada).status_code == 200
    for _ in range(EACH + 1):
        assert limited.status("mallory")["user_id"] == "mallory"
        assert limited.post_event(event(SUCCEEDED, "1")).status_code == 200
    assert 'payments_requests_limited_total{limit="reads"} 3.0' in metrics(limited)


def test_each_kind_of_route_has_a_share_of_its_own(limited: ServiceProcess) -> None:
    """
    HEAD is a read; requests that may try a card use up nothing of other changes.
    """
    grace = token_of(limited, "grace")
    body = {"payment_method": GOOD}
    feeder = limited.world.token("feeder", scopes=[FEED_SCOPE])
    for kind, method, path, token in (
        ("cards", "PUT", "/users/grace/card", grace),
        ("changes", "POST", "/users/grace/access-pass", grace),
        ("reads", "HEAD", STATUS.format("grace"), grace),
        ("feed", "GET", "/feed", feeder),
    ):
        given = body if kind == "cards" else None
        first, second = (limited.call(method, path, token, given) for _ in range(2))
        assert first.status_code != 429
        assert second.status_code == 429
        assert second.headers["RateLimit"].startswith(f'"{kind}";')


def test_who_holds_a_stolen_token_keeps_nobody_from_revoking_it(
    limited: ServiceProcess,
) -> None:
    """
    Revocations are counted for each token: a stolen one uses up nothing of another.
    """
    stolen, mine = (token_of(limited, "eve") for _ in range(2))
    path, junk = "/tokens/invalidate", {"token": "x"}
    answers = [limited.call("POST", path, stolen, junk) for _ in range(EACH + 1)]
    assert [it.status_code for it in answers] == [200] * EACH + [429]

    answer = limited.call("POST", path, mine, {"token": stolen})
    assert answer.status_code == 200
    status = limited.call("GET", STATUS.format("eve"), stolen)
    assert status.status_code == 401


def test_who_has_no_valid_token_takes_nobodys_share(limited: ServiceProcess) -> None:
    """
    A bad token for a user is always 401, and does not limit the user.
    """
    path, bob = STATUS.format("bob"), token_of(limited, "bob")
    forged = attrs.evolve(limited.world, jwks=World("").jwks).token("bob")
    for _ in range(3 * EACH):
        assert limited.call("GET", path, forged).status_code == 401
    assert limited.call("GET", path, bob).status_code == 200


def test_t71_after_five_declines_no_card_is_tried(stack: ServiceWithSandbox) -> None:
    """
    With any token: 429 with the time of the next try, and no request to Stripe. An
    operator may override it; that is counted and logged.
    """
    payer = stack.user()
    for card in [REFUSED] * 5:
        assert refusal(payer.give_card(card)) == (402, "card_declined")
    asked = len(stack.posts)

    backend = payer.admin
    for caller in (payer, backend):
        answer = caller.give_card(GOOD)
        assert refusal(answer) == (429, "too_many_declines")
        assert 3_500 <= int(answer.headers["Retry-After"]) <= 3_600
        for refused in (caller.call("POST", "card-setup"), caller.subscribe()):
            assert refusal(refused) == (429, "too_many_declines")
    assert len(stack.posts) == asked
    told, own = (who.get("explanation") for who in (backend, payer))
    for shown in (told, own):
        [step] = [it for it in shown["next"] if it["kind"] == "cards_tried_again"]
        until = (moment(step["at"]) - moment(shown["at"])).total_seconds()
        assert 3_500 <= until <= 3_600
    actions = [{it["kind"] for it in shown["actions"]} for shown in (told, own)]
    assert ["try_despite_declines" in it for it in actions] == [True, False]

    body = {"payment_method": GOOD}
    answer = payer.call("PUT", "card?despite_declines=true", body)
    assert refusal(answer) == (403, "scope_required")
    answer = backend.call("PUT", "card?despite_declines=perhaps", body)
    assert refusal(answer) == (400, "invalid_value")
    answer = backend.call("PUT", "card?despite_declines=true", body)
    assert answer.status_code == 200
    shown = metrics(stack.service)
    assert re.search(r"payments_declines_refused_total [1-9]", shown)
    assert re.search(r"payments_cards_declined_total [1-9]", shown)


def test_t71_changes_that_the_bank_declines_are_counted(
    stack: ServiceWithSandbox,
) -> None:
    """
    Each is 200 and waits for its payment; after the fifth neither a card nor a change
    is tried.
    """
    payer = stack.user()
    id_ = payer.subscribed()["id"]
    for number in range(5):
        payer.give_card(FAILING).raise_for_status()
        answer = payer.change(id_, quantity=2 + number)
        assert answer.status_code == 200
        assert answer.json()["pending_update"]
    asked, tried = len(stack.posts), len(payer.charges)

    for answer in (payer.give_card(FAILING), payer.change(id_, quantity=9)):
        assert refusal(answer) == (429, "too_many_declines")
    assert (len(stack.posts), len(payer.charges)) == (asked, tried)
    assert payer.change(id_, cancel_at_period_end=True).status_code == 200


def test_t71_an_operator_goes_on_despite_declines_and_says_so(
    stack: ServiceWithSandbox, inside: Inside
) -> None:
    """
    6 without `--despite-declines`, not 5: nothing is down. With it, the exit code of
    the card's answer.
    """
    payer = stack.user()
    env = stack.world.env(0, 0)
    begin = ("subscription", "start", payer.id, "--product", stack.product)
    assert payer.give_card(GOOD).status_code == 200
    subscribed = inside(*begin, "--json", env=env)
    assert subscribed.code == 0
    change = ("subscription", "change", payer.id, subscribed.json["id"])
    for _ in range(5):
        assert refusal(payer.give_card(REFUSED)) == (402, "card_declined")

    other = ("subscription", "start", payer.id, "--price", stack.priced(500))
    for words in (other, (*change, "--price", stack.pro)):
        refused = inside(*words, env=env)
        assert refused.code == 6
        assert "cards of this user were declined too often" in refused.err
        assert inside(*words, "--despite-declines", env=env).code == 0
    assert inside(*change, "--cancel-at-period-end", env=env).code == 0


def test_declines_are_found_by_an_index(stack: ServiceWithSandbox) -> None:
    """
    However many operations exist: it reads as many rows as the limit.
    """
    # A table of a few rows is scanned whole, unless that is disabled.
    dsn = f"{stack.world.database_url}?enable_seqscan=off"
    statement = statements.DECLINES_OF
    values = ("'ada'", "now() - interval '1 hour'", "5")
    for number, value in enumerate(values, 1):
        statement = statement.replace(f"${number}", value)
    plan = databases.run(databases.fetch(dsn, f"explain {statement}"))
    assert "ix_intents_declined" in "".join(str(row[0]) for row in plan)
