"""`payments payment …` and `payments account bind`: decisions made by hand."""

from typing import Any

import httpx
import pytest

from support.commands import Dev
from support.plain_http import TLS


def made(dev: Dev, kind: str, **params: str) -> Any:
    """Create an object at the sandbox."""
    facts = dev.facts
    answer = httpx.post(
        f"{facts['sandbox_url']}/v1/{kind}",
        data=params,
        auth=(facts["stripe_api_key"], ""),
        verify=TLS,
    )
    return answer.raise_for_status().json()


def a_customer(dev: Dev) -> str:
    return str(made(dev, "customers")["id"])


def a_customer_of(dev: Dev, user: str) -> str:
    """Return a customer that is bound to a user, with a default card."""
    assert dev.asks(dev.token(user), user) == 200
    customer = a_customer(dev)
    card = made(dev, "payment_methods/pm_card_visa/attach", customer=customer)["id"]
    default = {"invoice_settings[default_payment_method]": card}
    made(dev, f"customers/{customer}", **default)
    bind = ("account", "bind", user, customer, "--reason", "theirs")
    assert dev.run(*bind).code == 0
    return customer


def test_a_payment_is_linked_and_unlinked(dev: Dev) -> None:
    """
    A dry run changes nothing, and says what would be done and who the operator is.
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
    Exit code 3; an invalid reason is a usage error.
    """
    nothing = dev.run("payment", "show", "ch_nothing_at_all")
    reason = dev.run("payment", "unlink", "ch_1", "--reason", " ")

    assert (nothing.code, nothing.out) == (3, "")
    assert (reason.code, reason.out) == (2, "")
    assert "reason" in reason.err


def test_a_customer_is_bound(dev: Dev) -> None:
    """
    Stripe must have the customer; replacing another one needs a reason. A dry run says
    which is replaced.
    """
    assert dev.asks(dev.token("bound"), "bound") == 200
    first, second = a_customer(dev), a_customer(dev)

    dry = dev.run("account", "bind", "bound", first, "--dry-run").out
    done = dev.run("account", "bind", "bound", first, "--json").json
    taken = dev.run("account", "bind", "bound", second)
    moved = dev.run("account", "bind", "bound@x.org", second, "--reason", "slip")
    missing = dev.run("account", "bind", "bound", "cus_none", "--reason", "slip")

    assert dev.run("account", "show", "bound", "--json").json["customer_id"] == second
    assert dry.startswith(f"bound: no customer -> {first}, if it exists at Stripe")
    assert done == {"user_id": "bound", "customer_id": first}
    assert (taken.code, moved.code, missing.code) == (6, 0, 2)
    assert "--reason" in taken.err or "reason" in taken.err


def test_a_charge_of_two_users_is_linked_and_another_closed(dev: Dev) -> None:
    """
    Open events about it are closed either way; a dry run names each first.
    """
    customer = a_customer_of(dev, "first")
    assert dev.asks(dev.token("second"), "second") == 200
    for number in ("linked", "closed"):
        paid = made(
            dev,
            "payment_intents",
            amount="500",
            currency="eur",
            customer=customer,
            payment_method="pm_card_visa",
            confirm="true",
            **{"metadata[user_id]": "second"},
        )
        values = ("--set", f"data.object.id={paid['latest_charge']}")
        owner = {"customer": customer, "metadata": {"user_id": "second"}}
        sent = dev.send(f"two_{number}", *values, **owner)
        assert sent.out == '200 {"outcome": "quarantined"}\n'
    charge = dev.run("webhook", "show", "evt_two_linked", "--json").json[0]["object_id"]
    link = ("webhook", "link", "evt_two_linked", "--user", "second", "--reason", "seen")
    close = ("webhook", "close", "evt_two_closed", "--reason", "a test of ours")
    kept_apart = [dev.run("webhook", "show", it[2]).out for it in (link, close)]

    plans = [dev.run(*words, "--dry-run").out for words in (link, close)]
    unchanged = kept_apart == [
        dev.run("webhook", "show", it[2]).out for it in (link, close)
    ]
    linked = dev.run(*link, "--json").json
    closed = dev.run(*close, "--json").json

    assert plans == [
        f"payment:{charge} would be linked to second\n",
        "evt_two_closed (charge.succeeded) would be closed\n",
    ]
    assert unchanged
    assert linked == {
        "linked": [f"payment:{charge}"],
        "user_id": "second",
        "done": True,
    }
    kept = {"id": "evt_two_closed", "type": "charge.succeeded"}
    assert closed == {"closed": [kept], "done": True}
    assert dev.run("payment", "show", charge, "--json").json["user_id"] == "second"
    (shown,) = dev.run("webhook", "show", "evt_two_closed", "--json").json
    before = "metadata and customer name different users"
    assert shown["state"] == "closed"
    assert shown["reason"].startswith(f"a test of ours; before: {before}")
    listed = dev.run("webhook", "list", "--state", "closed", "--json").json
    assert "evt_two_closed" in {it["id"] for it in listed}
    (act,) = dev.run("audit", "list", "--subject", "evt_two_closed", "--json").json[
        "items"
    ]
    assert (act["action"], act["reason"]) == ("close_event", "a test of ours")
    assert dev.run(*close).code == 6
    assert dev.run("webhook", "replay", "evt_two_closed").code == 6
    assert dev.run("webhook", "link", "evt_two_closed", "--user", "second").code == 2
    assert dev.run("webhook", "close", "evt_nothing", "--reason", "x").code == 3


def test_a_subscription_is_linked_and_unlinked(dev: Dev) -> None:
    """
    A payment of two users, so it was never stored: it is fetched from Stripe.
    """
    customer = a_customer_of(dev, "payer")
    assert dev.asks(dev.token("named"), "named") == 200
    product = made(dev, "products", name="Gold")["id"]
    price = made(
        dev,
        "prices",
        currency="eur",
        unit_amount="900",
        product=product,
        **{"recurring[interval]": "month"},
    )["id"]
    metadata = {"items[0][price]": price, "metadata[user_id]": "named"}
    sold = made(dev, "subscriptions", customer=customer, **metadata)["id"]
    link = ("subscription", "link", sold, "--user", "named@x.org", "--reason", "seen")
    unlink = ("subscription", "unlink", sold, "--reason", "was another's")

    dry = dev.run(*link, "--dry-run")
    linked = dev.run(*link, "--json").json
    shown = dev.run("subscription", "show", sold).out
    (item,) = dev.run("subscription", "list", "named", "--json").json["items"]
    listed = dev.run("subscription", "list", "named").out
    account = dev.run("account", "show", "named").out
    ours = dev.run("subscription", "show", item["id"])
    cancels = ("subscription", "cancel", "named")
    plans = [dev.run(*cancels, it, "--dry-run").code for it in (item["id"], sold)]
    taken = dev.run("subscription", "link", sold, "--user", "payer", "--reason", "no")
    unlinked = dev.run(*unlink, "--json").json

    assert dry.out == f"{sold} would be fetched from Stripe, and linked to named\n"
    assert (linked["user_id"], linked["linked_by_hand"]) == ("named", True)
    assert "link_subscription" in shown
    assert item["stripe_id"] == sold
    assert f"{item['id']}  {sold}  " in listed
    assert f"subscription: {item['id']}  {sold}  " in account
    assert (ours.code, "`payments subscription list USER`" in ours.err) == (2, True)
    assert plans == [0, 0]
    assert taken.code == 6
    assert unlinked["user_id"] is None
    assert [it["action"] for it in unlinked["decided"]] == [
        "link_subscription",
        "unlink_subscription",
    ]
    assert len(dev.run(*unlink, "--json").json["decided"]) == 2
    assert dev.run("subscription", "show", "sub_nothing").code == 3
    assert dev.run("subscription", "show", "no id").code == 2


def test_a_payment_that_stripe_has_not_is_settled(dev: Dev) -> None:
    """
    An invented webhook created it, and it has no owner: a reconciliation reports it
    until a person decides that it stays so.
    """
    assert dev.send("invented_one").code == 0
    unlink = ("payment", "unlink", "ch_invented_one", "--reason", "invented")

    dry = dev.run(*unlink, "--dry-run")
    done = dev.run(*unlink, "--json").json
    again = dev.run(*unlink, "--dry-run")

    plan = "would stay unlinked, also if its user registers"
    assert dry.out == f"ch_invented_one {plan}\n"
    assert (done["user_id"], done["linked_by_hand"]) == (None, True)
    assert [it["user_id"] for it in done["decided"]] == [None]
    assert again.out == "ch_invented_one is already unlinked by hand\n"


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry-run", "run"])
def test_what_stripe_does_not_have_is_not_linked(dev: Dev, *, dry_run: bool) -> None:
    """
    The dry run reports it too; the user is looked up first.
    """
    dry = ("--dry-run",) if dry_run else ()
    customer, name = a_customer_of(dev, "has_customer"), f"not_there_{dry_run}"
    assert dev.asks(dev.token("asked"), "asked") == 200
    owner = {"customer": customer, "metadata": {"user_id": "asked"}}
    assert dev.send(name, **owner).out == '200 {"outcome": "quarantined"}\n'
    words = ("webhook", "link", f"evt_{name}", "--user")

    nobody = dev.run(*words, "nobody", "--reason", "x", *dry)
    linked = dev.run(*words, "asked@x.org", "--reason", "x", *dry)
    payment = ("payment", "link", "ch_no", "--user", "asked@x.org", "--reason", "x")
    payment_linked = dev.run(*payment, *dry)

    assert (nobody.code, "no such user" in nobody.err) == (3, True)
    assert (linked.code, linked.out) == (3, "")
    assert "Stripe has no such payment" in linked.err
    assert f"payments webhook close evt_{name}" in linked.err
    assert (payment_linked.code, payment_linked.out) == (3, "")
