"""`payments payment …` and `payments account bind`: what is decided by hand."""

import httpx

from support.commands import Dev
from support.plain_http import TLS


def a_customer(dev: Dev) -> str:
    facts = dev.facts
    made = httpx.post(
        f"{facts['sandbox_url']}/v1/customers",
        auth=(facts["stripe_api_key"], ""),
        verify=TLS,
    )
    return str(made.raise_for_status().json()["id"])


def test_a_payment_is_linked_and_unlinked(dev: Dev) -> None:
    """
    A dry run changes nothing and says what would be done; who is the operator.
    """
    assert dev.asks(dev.token("linked"), "linked") == 200
    charge = "ch_by_hand"
    assert dev.send("by_hand", customer=None).code == 0
    link = ("payment", "link", charge, "--user", "linked", "--reason", "seen")
    before = dev.digest()

    dry = dev.run(*link, "--dry-run")
    unchanged = dev.digest() == before
    linked = dev.run(*link, "--json").json
    shown = dev.run("payment", "show", charge).out
    taken = dev.run("payment", "link", charge, "--user", "other", "--reason", "no")
    unlinked = dev.run("payment", "unlink", charge, "--reason", "not hers", "--json")

    assert (dry.out, unchanged) == (f"{charge} would be linked to linked\n", True)
    assert (linked["user_id"], linked["linked_by_hand"]) == ("linked", True)
    assert [it["by"] for it in linked["decided"]] == ["operator"]
    assert "link_payment" in shown
    assert taken.code == 3
    nobody = dev.run(*link[:4], "other", "--reason", "no", "--dry-run")
    assert (nobody.code, nobody.out) == (3, "")
    assert unlinked.json["user_id"] is None


def test_what_is_not_there_is_not_found(dev: Dev) -> None:
    """
    Exit code 3; a reason that is none is a usage error.
    """
    nothing = dev.run("payment", "show", "ch_nothing_at_all")
    reason = dev.run("payment", "unlink", "ch_1", "--reason", " ")

    assert (nothing.code, nothing.out) == (3, "")
    assert (reason.code, reason.out) == (2, "")
    assert "reason" in reason.err


def test_a_customer_is_bound(dev: Dev) -> None:
    """
    One that Stripe has, with a reason in another one's place; a dry run says which.
    """
    assert dev.asks(dev.token("bound"), "bound") == 200
    first, second = a_customer(dev), a_customer(dev)

    dry = dev.run("account", "bind", "bound", first, "--dry-run").out
    done = dev.run("account", "bind", "bound", first, "--json").json
    taken = dev.run("account", "bind", "bound", second)
    moved = dev.run("account", "bind", "bound@x.org", second, "--reason", "slip")
    missing = dev.run("account", "bind", "bound", "cus_none", "--reason", "slip")

    assert dev.run("account", "show", "bound", "--json").json["customer_id"] == second
    assert dry.startswith(f"bound: no customer -> {first}, if it is there at Stripe")
    assert done == {"user_id": "bound", "customer_id": first}
    assert (taken.code, moved.code, missing.code) == (6, 0, 2)
    assert "--reason" in taken.err or "reason" in taken.err
