"""What a caller gets who asks too much, or whose cards are declined: a real process."""

import re
from collections.abc import Iterator

import attrs
import httpx
import pytest
from typing_extensions import override

from payments_adapters.postgres import statements
from payments_core.caller import FEED_SCOPE
from support import databases
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

READS, CHANGES, CARDS = 5, 4, 3
STATUS = "/users/{}/payment-status"


@attrs.frozen
class LimitedWorld(World):
    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        # By its name: attrs makes a slotted class anew, and `super()` has the old one.
        return World.env(self, port, ops_port) | {
            "PAYMENTS_READS_PER_MINUTE": str(READS),
            "PAYMENTS_CHANGES_PER_MINUTE": str(CHANGES),
            "PAYMENTS_CARDS_PER_MINUTE": str(CARDS),
            "PAYMENTS_FEED_PER_MINUTE": "2",
        }


@pytest.fixture(scope="module")
def limited(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """A service whose callers may ask little."""
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
    429 with what the limit is and when there is room; another caller, administrators
    and webhooks have theirs. All that was refused is counted.
    """
    mallory, ada = (token_of(limited, name) for name in ("mallory", "ada"))
    path = STATUS.format("mallory")
    answers = [limited.call("GET", path, mallory) for _ in range(READS + 3)]
    refused = answers[-1]

    assert [it.status_code for it in answers] == [200] * READS + [429] * 3
    assert refusal(refused) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60 // READS
    assert refused.headers["RateLimit-Policy"] == f'"reads";q={READS};w=60'
    room = re.fullmatch(r'"reads";r=0;t=(\d+)', refused.headers["RateLimit"])
    assert room is not None
    assert room[1] == refused.headers["Retry-After"]
    for _ in range(READS):
        assert limited.call("GET", STATUS.format("ada"), ada).status_code == 200
    for _ in range(READS + 1):
        assert limited.status("mallory")["user_id"] == "mallory"
        assert limited.post_event(event(SUCCEEDED, "1")).status_code == 200
    assert 'payments_requests_limited_total{limit="reads"} 3.0' in metrics(limited)


def test_each_kind_of_route_has_a_share_of_its_own(limited: ServiceProcess) -> None:
    """
    HEAD is a read; of what may try a card there is less than of other changes.
    """
    grace = token_of(limited, "grace")
    body = {"payment_method": GOOD}
    cards = [
        limited.call("PUT", "/users/grace/card", grace, body) for _ in range(CARDS + 1)
    ]
    changes = [
        limited.call("POST", "/users/grace/access-pass", grace)
        for _ in range(CHANGES + 1)
    ]
    reads = [
        limited.call("HEAD", STATUS.format("grace"), grace) for _ in range(READS + 1)
    ]
    for answers, kind in ((cards, "cards"), (changes, "changes"), (reads, "reads")):
        assert [it.status_code == 429 for it in answers] == [False] * (
            len(answers) - 1
        ) + [True]
        assert answers[-1].headers["RateLimit"].startswith(f'"{kind}";')
    feeder = limited.world.token("feeder", scopes=[FEED_SCOPE])
    assert [limited.call("GET", "/feed", feeder).status_code for _ in range(3)] == [
        *(200, 200, 429)
    ]


def test_tokens_are_revoked_however_much_was_asked(limited: ServiceProcess) -> None:
    """
    Who holds a stolen one could use the share up.
    """
    stolen, mine = (token_of(limited, "eve") for _ in range(2))
    path = STATUS.format("eve")
    answers = [limited.call("GET", path, stolen) for _ in range(READS + 1)]
    assert answers[-1].status_code == 429
    for _ in range(CHANGES + 1):
        answer = limited.call("POST", "/tokens/invalidate", mine, {"token": stolen})
        assert answer.status_code == 200
    assert limited.call("GET", path, stolen).status_code == 401


def test_who_has_no_valid_token_takes_nobodys_share(limited: ServiceProcess) -> None:
    """
    A bad token of a user is 401 as often as it comes, and the user is not limited.
    """
    path, bob = STATUS.format("bob"), token_of(limited, "bob")
    forged = attrs.evolve(limited.world, jwks=World("").jwks).token("bob")
    for _ in range(3 * READS):
        assert limited.call("GET", path, forged).status_code == 401
    assert limited.call("GET", path, bob).status_code == 200


def test_t71_after_five_declines_no_card_is_tried(stack: ServiceWithSandbox) -> None:
    """
    Through whichever token: 429 with when it may be tried again, and Stripe is asked
    nothing. An operator may go on despite it; it is counted, and in the log.
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
    Each is 200 and waits to be paid; after the fifth neither a card nor a change is
    tried.
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


def test_declines_are_found_by_an_index(stack: ServiceWithSandbox) -> None:
    """
    However many operations there are: it reads as many rows as the limit has.
    """
    # A table of a few rows is read whole, unless that is forbidden.
    dsn = f"{stack.world.database_url}?enable_seqscan=off"
    statement = statements.DECLINES_OF
    values = ("'ada'", "now() - interval '1 hour'", "5")
    for number, value in enumerate(values, 1):
        statement = statement.replace(f"${number}", value)
    plan = databases.run(databases.fetch(dsn, f"explain {statement}"))
    assert "ix_intents_declined" in "".join(str(row[0]) for row in plan)
