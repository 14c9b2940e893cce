"""The sandbox of `payments dev`: it is its Stripe, and its clock is the service's."""

from datetime import UTC, datetime
from pathlib import Path

import httpx

from payments_core.months import months_after
from support.dev_service import (
    DevProcess,
    payments,
    running,
)
from support.plain_http import TLS


def test_the_sandbox_beside_it_is_its_stripe(dev: DevProcess) -> None:
    """
    It has two products with monthly prices; its events reach the service, whether an
    API call or the passing of time causes them; the service is configured to call it.
    """
    facts, email = dev.facts, "sam@example.com"
    prices = httpx.get(
        f"{facts['sandbox_url']}/v1/prices?active=true",
        headers={"Authorization": f"Bearer {facts['stripe_api_key']}"},
        verify=TLS,
    ).json()["data"]
    dev.register("sam")

    subscribed = payments(
        *("sandbox", "trigger", "customer.subscription.created", "--user", email),
        folder=dev.folder,
    )
    advanced = payments("sandbox", "advance", "2 months", folder=dev.folder)
    after = dev.status("sam").json()
    failed = payments(
        *("sandbox", "trigger", "charge.failed", "--user", email),
        *("--set", "currency=eur"),
        folder=dev.folder,
    )
    payments("sandbox", "advance", "1 second", folder=dev.folder)
    shown = payments("config", "show", folder=dev.folder).stdout

    assert {(it["product"], it["recurring"]["interval"]) for it in prices} == {
        ("prod_basic", "month"),
        ("prod_pro", "month"),
    }
    assert [done.returncode for done in (subscribed, advanced, failed)] == [0, 0, 0]
    assert after["payment_status"] == "paid"
    ends = datetime.fromisoformat(after["payment_expire_date"])
    assert ends > months_after(datetime.now(UTC), 2)
    assert dev.status("sam").json()["payment_status"] == "failed"
    assert f"PAYMENTS_STRIPE_API_BASE = {facts['sandbox_url']}" in shown


def test_time_that_passes_at_the_sandbox_shows_what_users_will_see(
    dev: DevProcess,
) -> None:
    """
    A card declines: grace, then no access, over HTTP and on the command line. A user
    who has canceled loses access too; the cost of a change is computed by the sandbox's
    time.
    """
    for user in ("dot", "eve"):
        dev.register(user)
        dev.call("PUT", f"{user}/card", {"payment_method": "pm_card_visa"})
        dev.call("POST", f"{user}/subscriptions", {"product": "prod_basic"})
    [eves] = dev.call("GET", "eve/subscriptions")["items"]
    dev.call("DELETE", f"eve/subscriptions/{eves['id']}?when=period_end")
    card = dev.card_of("dot@example.com")
    seen = []

    def sandbox(*words: str) -> None:
        assert payments("sandbox", *words, folder=dev.folder).returncode == 0

    def see(user: str) -> tuple[str, bool, str]:
        status = dev.status(user).json()
        [subscription] = status["subscriptions"]
        return status["payment_status"], status["entitled"], subscription["status"]

    sandbox("card", card, "--declines", "insufficient_funds")
    # A renewal is collected an hour after its period began; grace is three days.
    for span in ("0 seconds", "1 month", "2 hours", "3 days", "1 month"):
        sandbox("advance", span)
        seen.append((see("dot"), see("eve")))
    shown = payments("account", "show", "dot", folder=dev.folder).stdout
    dev.register("fay")
    dev.call("PUT", "fay/card", {"payment_method": "pm_card_visa"})
    fays = dev.call("POST", "fay/subscriptions", {"product": "prod_basic"})
    change = f"fay/subscriptions/{fays['id']}"
    preview = dev.call("POST", f"{change}/preview", {"quantity": 2})
    date = {"proration_date": preview["proration_date"], "quantity": 2}

    [why] = [line for line in shown.splitlines() if line.startswith("why: ")]
    assert why.startswith("why: paid or free until ")
    assert why.endswith(", and no grace is left")
    assert [dots for dots, _ in seen] == [
        ("paid", True, "active"),
        ("paid", True, "active"),
        ("failed", True, "past_due"),
        ("failed", False, "past_due"),
        ("failed", False, "canceled"),
    ]
    assert [eves for _, eves in seen] == [
        ("paid", True, "active"),
        *[("paid", True, "canceled")] * 2,
        *[("paid", False, "canceled")] * 2,
    ]
    assert "entitled: False" in shown
    assert dev.call("PATCH", change, date)["quantity"] == 2


def test_who_names_a_stripe_gets_no_sandbox(database_url: str, tmp_path: Path) -> None:
    """
    A key of the user's own is used unchanged, and commands for a sandbox say so.
    """
    folder, key = tmp_path / ".payments", "sk_test_" + "k" * 8

    with running(
        folder, PAYMENTS_DATABASE_URL=database_url, PAYMENTS_STRIPE_API_KEY=key
    ) as dev:
        facts = dev.facts
        answer = payments("sandbox", "state", folder=folder)

    assert "sandbox_url" not in facts
    assert answer.returncode == 6
    assert "does not use a sandbox" in answer.stderr
