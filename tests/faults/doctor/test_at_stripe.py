"""The doctor's findings at Stripe: the catalogue, endpoints, their deliveries."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from faults.doctor.deployment import URL, Deployed, endpoint_made_at
from faults.doctor.wrongs import lost, selling
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import EVENT_TYPES

_ARRIVED: Final = """
insert into webhook_events (id, type, created_at, received_at, livemode, state)
values ('{id}', 'charge.succeeded', now(), now(), false, 'applied')
"""


def test_a_catalogue_is_compared_with_what_is_sold(deployed: Deployed) -> None:
    """Its version is named, so that it is clear which catalogue was checked."""
    selling()(deployed)
    answer = deployed.doctor("--json")
    [found] = [it for it in answer.json["items"] if it["check"] == "catalogue"]
    assert (answer.code, found["status"]) == (0, "ok")
    assert re.fullmatch(
        "all products and prices of version [0-9a-f]{12} are sold", found["text"]
    )


def test_what_was_before_the_endpoint_is_not_missed(deployed: Deployed) -> None:
    """
    An account may have a long history before the service is installed.
    """
    now = datetime.now(UTC)
    deployed.sandbox.reset()
    deployed.sandbox.advance(now - timedelta(days=1))
    deployed.sandbox.trigger("charge.succeeded", "ada")
    deployed.sandbox.advance(now - timedelta(hours=1))
    deployed.api.post(
        "webhook_endpoints",
        url=URL,
        enabled_events=["*"],
        api_version=API_VERSION,
        metadata=deployed.marks("in_use"),
    )
    deployed.sandbox.advance(datetime.now(UTC))

    answer = deployed.doctor()
    assert answer.code == 0, answer.out


def test_an_event_that_nobody_follows_is_not_missed(deployed: Deployed) -> None:
    """It is listed as the others are, and none of its events would be stored."""
    endpoint_made_at(deployed, datetime.now(UTC) - timedelta(hours=1))
    deployed.api.post("products", name="tea")
    deployed.sandbox.advance(datetime.now(UTC))
    listed = [it["type"] for it in deployed.sandbox.events()]
    answer = deployed.doctor()
    assert listed == ["product.created"]
    assert answer.code == 0, answer.out
    assert "no recent event was expected" in answer.out


def test_of_what_happened_that_alone_is_missed_that_is_not_here(
    deployed: Deployed,
) -> None:
    """First all but one came; then all did."""
    lost(deployed)
    events = deployed.sandbox.events()
    missed, *came = [it["id"] for it in events if it["type"] in EVENT_TYPES]
    assert came

    def arrive(*ids: str) -> None:
        for id_ in ids:
            deployed.sql(_ARRIVED.format(id=id_))

    arrive(*came)
    some = {it["check"]: it for it in deployed.doctor("--json").json["items"]}
    arrive(missed)
    every = deployed.doctor()

    assert some["deliveries"]["text"].startswith("1 of the latest ")
    assert some["deliveries"]["text"].endswith(f": {missed}")
    assert every.code == 0, every.out
    assert f"all {1 + len(came)} of the latest expected events" in every.out


def test_the_endpoints_of_one_address_alone_are_looked_at(deployed: Deployed) -> None:
    """If an account has the endpoints of several deployments."""
    deployed.another(url=URL.replace("//pay.", "//other."), status="disabled")
    every = deployed.doctor()
    ours = deployed.doctor("--url", "https://pay.example.com")
    other = deployed.doctor("--url", "https://other.example.com")
    none = deployed.doctor("--url", "https://none.example.com", "--json")
    assert (every.code, ours.code, other.code, none.code) == (7, 0, 7, 7)
    assert "is disabled" in every.out
    assert "is disabled" in other.out
    [wrong] = [it for it in none.json["items"] if it["status"] == "wrong"]
    assert "setup --url https://none.example.com --secret-file" in wrong["remedy"]
