"""The doctor's report on endpoints where no sandbox can be: live mode, and halfway."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest

from payments_adapters.stripe import endpoints
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import EVENT_TYPES, Endpoint, EndpointMarks
from payments_core.errors import GatewayOutcomeUnknown
from payments_service.doctor.endpoints import EndpointReview
from payments_service.endpoint_roles import (
    WEBHOOK_PATH,
    Role,
    address_of,
    digest_of,
    is_ours,
    since_of,
    stripe_command,
)

NOW: Final = datetime(2026, 11, 27, tzinfo=UTC)
URL: Final = f"https://pay.example.com{WEBHOOK_PATH}"
OLD, NEW = "whsec_of_the_old_one", "whsec_of_the_new_one"


def endpoint(
    name: str = "we_1",
    role: Role = Role.IN_USE,
    *,
    secret: str = OLD,
    ago: timedelta = timedelta(days=9),
    **more: Any,
) -> Endpoint:
    values = {
        "id": name,
        "url": URL,
        "made_at": NOW - timedelta(days=30),
        "is_thin": False,
        "types": EVENT_TYPES,
        "is_enabled": role is Role.IN_USE,
        "api_version": API_VERSION,
        "description": "",
        "marks": EndpointMarks(
            role=role.value, secret=digest_of(secret), since=(NOW - ago).isoformat()
        ),
        **more,
    }
    return Endpoint(**values)


def found(
    *endpoints: Endpoint,
    secrets: tuple[str, ...] = (OLD,),
    url: str | None = None,
    others: tuple[Endpoint, ...] = (),
) -> list[tuple[str, str]]:
    """Return the findings and the remedies."""
    review = EndpointReview(
        endpoints=endpoints,
        others=others,
        secrets=secrets,
        livemode=True,
        at=NOW,
        url=url,
    )
    return [(it.text, it.remedy) for it in review.results() if it.remedy is not None]


def said(*endpoints: Endpoint, secrets: tuple[str, ...] = (OLD,)) -> list[str]:
    return [text for text, _ in found(*endpoints, secrets=secrets)]


def test_an_address_without_tls_is_named_in_live_mode() -> None:
    """Stripe accepts no such address today; it may be an old one."""
    [(text, remedy)] = found(endpoint(url=URL.replace("https", "http")))
    assert "without TLS" in text
    assert "setup --url https://pay.example.com --secret-file" in remedy


@pytest.mark.parametrize("is_thin", [False, True])
def test_a_remedy_is_a_command_for_the_endpoint_that_it_is_about(
    *, is_thin: bool
) -> None:
    """
    With its address and its kind, without what may be secret in it, and quoted for a
    shell. An unknown value has a placeholder.
    """
    url = f"https://bob@h.com/$(x) y{WEBHOOK_PATH}?token=s"
    disabled = endpoint(url=url, is_thin=is_thin, is_enabled=False)
    thin = "--thin " if is_thin else ""

    [remedy, *_] = [remedy for text, remedy in found(disabled) if "disabled" in text]

    assert remedy == (
        f"`payments stripe setup --url 'https://h.com/$(x) y' {thin}"
        "--secret-file stripe-webhook-secrets`"
    )
    [(_, none)] = found()
    [(_, asked)] = found(url=URL)
    assert "--url https://YOUR-ADDRESS --secret-file" in none
    assert "--url https://pay.example.com --secret-file" in asked
    assert stripe_command(URL, "setup") == (
        "`payments stripe setup --url https://pay.example.com`"
    )


def test_a_run_that_broke_off_is_begun_again_by_the_command_that_it_was() -> None:
    """A roll needs an endpoint of that address to replace."""
    made = endpoint("we_2", Role.MADE)
    other = endpoint(url=URL.replace("pay", "old"))
    [(_, first), (text, again)] = found(made)
    assert "interrupted" in text
    assert "payments stripe setup" in first
    assert "payments stripe setup" in again
    [(_, again)] = found(made, other)
    assert "payments stripe setup" in again
    [(_, again)] = found(made, endpoint())
    assert "payments stripe roll-secret" in again
    assert "--secret-file" in again


HOUR: Final = timedelta(hours=1)


@pytest.mark.parametrize(
    ("others", "secrets"),
    [
        ([], (OLD,)),
        ([endpoint("we_2", Role.WAITING, secret=NEW, ago=HOUR)], (OLD,)),
        ([endpoint("we_2", Role.WAITING, secret=NEW, ago=HOUR)], (OLD, NEW)),
        ([endpoint("we_2", secret=NEW, ago=HOUR)], (OLD, NEW)),
    ],
    ids=["before", "begun", "every process has both", "enabled"],
)
def test_a_roll_that_is_under_way_is_well(
    others: list[Endpoint], secrets: tuple[str, ...]
) -> None:
    """At each step, however long it takes."""
    # Stripe lists the newest first.
    assert said(*others, endpoint(), secrets=secrets) == []


@pytest.mark.parametrize("is_enabled", [True, False])
def test_a_secret_that_is_lost_in_a_roll_has_a_way_out_that_is_open(
    *, is_enabled: bool
) -> None:
    """
    A second roll is refused while one is in progress.
    """
    new = endpoint("we_2", secret=NEW, ago=HOUR, is_enabled=is_enabled)
    lost_new = dict(found(new, endpoint(), secrets=(OLD,)))
    lost_old = dict(found(new, endpoint(), secrets=(NEW,)))

    remedy = lost_new["the secret of we_2 is not set: its events are refused"]
    assert "delete we_2 in Stripe's dashboard, and begin the roll again" in remedy
    assert remedy.endswith("--secret-file new-secret`")
    remedy = lost_old["the secret of we_1 is not set: its events are refused"]
    assert "end the roll" in remedy
    assert remedy.endswith("--finish`")


def test_after_a_roll_the_old_secret_is_named_until_it_is_gone() -> None:
    """A disabled endpoint signs nothing."""
    ended = [
        endpoint("we_2", secret=NEW, ago=HOUR),
        endpoint(role=Role.REPLACED, ago=HOUR),
    ]
    assert said(*ended, secrets=(NEW,)) == []
    [text] = said(*ended, secrets=(OLD, NEW))
    assert "1 of 2 secrets" in text


def test_types_may_be_sent_by_several_together() -> None:
    """The routes only for charges, and another endpoint for the rest."""
    charges = frozenset(it for it in EVENT_TYPES if it.startswith("charge."))
    both = endpoint(types=charges), endpoint("we_2", types=EVENT_TYPES - charges)
    assert not [it for it in said(*both) if "types" in it]
    [text] = [it for it in said(both[0]) if "types" in it]
    assert "invoice.paid" in text


@pytest.mark.parametrize(
    "since", ["", "yesterday", "2026-11-27T00:00:00", "9999-12-31T00:00:00Z"]
)
def test_marks_that_somebody_wrote_by_hand_do_not_break_it(since: str) -> None:
    """An invalid time counts as long ago; an invalid role counts as none."""
    marks = EndpointMarks(role="king", since=since)
    odd = endpoint(marks=marks)
    assert since_of(odd, NOW).year == 1
    assert said(odd) == []


def test_endpoints_of_others_are_none_of_ours() -> None:
    """An address of ours that does not handle webhooks does not count either."""
    none = EndpointMarks()
    assert is_ours(endpoint(marks=none))
    assert not is_ours(endpoint(marks=none, url="https://example.com/webhooks/stripe"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"https://bob:hunter2@h1.com{WEBHOOK_PATH}?token=s#x",
            f"h1.com{WEBHOOK_PATH}",
        ),
        (f"https://bob@h1.com:8443{WEBHOOK_PATH}", f"h1.com:8443{WEBHOOK_PATH}"),
        ("https://[::1/x", "an address that cannot be read"),
        ("https://h1.com/\x1b[2J", "h1.com/?[2J"),
    ],
)
def test_of_an_address_nothing_secret_is_shown(url: str, shown: str) -> None:
    """Control characters for a terminal are not shown either."""
    review = EndpointReview(
        endpoints=[endpoint(url=url), endpoint("we_2", url=url, is_thin=True)],
        secrets=(OLD,),
        livemode=False,
        at=NOW,
    )
    for found in (review, attrs.evolve(review, endpoints=[endpoint(url=url)])):
        [text] = [it.text for it in found.results() if " to " in it.text]
        assert shown in text
        for secret in ("hunter2", "bob", "token", "\x1b"):
            assert secret not in text


def test_how_a_host_is_written_makes_no_other_address() -> None:
    """Its case, and an explicit default port."""
    assert address_of("HTTPS://H.com:443/A") == address_of("https://h.com/A")
    assert address_of("http://h.com:80/") == address_of("http://H.com/")
    assert address_of("https://h.com:80/A") != address_of("https://h.com/A")
    assert address_of("https://h.com/a") != address_of("https://h.com/A")
    assert address_of("https://[::1") == "https://[::1"


def test_an_endpoint_that_came_without_its_secret_is_not_known_to_be_made() -> None:
    """
    Nobody could ever verify its signatures.
    """
    made = endpoints._made  # two lines
    endpoint: Any = object()
    assert made(endpoint, "kept").secret == "kept"
    with pytest.raises(GatewayOutcomeUnknown):
        made(endpoint, None)


def test_a_secret_of_another_address_is_in_use() -> None:
    """
    Only one address is checked; removing the secret of the other would make its events
    refused.
    """
    moved = endpoint("we_2", secret=NEW, url=URL.replace("//pay.", "//other."))

    assert found(endpoint(), secrets=(OLD, NEW), url=URL, others=(moved,)) == []
    gone = attrs.evolve(moved, is_enabled=False)
    [(text, _)] = found(endpoint(), secrets=(OLD, NEW), url=URL, others=(gone,))
    assert "1 of 2 secrets belong to no endpoint" in text
