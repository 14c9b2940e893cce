"""`payments account export`: all that is kept of a user, and nothing of another."""

import json
from typing import Any

import pytest

from payments_service.cli import main
from support.command_line import answer_of
from support.kept_of import every_row, key_of, names_of, saying
from support.service_with_sandbox import GOOD, OTHER, Payer, ServiceWithSandbox


def export(stack: ServiceWithSandbox, *words: str) -> Any:
    return answer_of(main, "account", "export", *words, env=stack.world.env(0, 0))


@pytest.fixture
def payer(stack: ServiceWithSandbox, ada: Payer) -> Payer:
    """Lend somebody of whom there is something in every table that has users."""
    ada.subscribed(GOOD)
    ada.give_card(OTHER)
    stack.settle()
    [customer] = ada.customers
    wire = stack.wire
    wire.post(f"customers/{customer['id']}", name="Ada L.", phone="+44 20 7946 0000")
    charge = ada.charges[0]["id"]
    wire.post("refunds", charge=charge, amount=100)
    stack.settle()
    admin = ada.admin
    admin.call("PUT", f"/users/{ada.id}", {"email": f"new-{ada.id}@example.com"})
    ada.call("POST", f"/users/{ada.id}/tokens/invalidate", {})
    return ada


def known_by(payer: Payer) -> list[str]:
    """Return all by which somebody can be known."""
    [customer] = payer.customers
    return [
        f'"{payer.id}"',
        f"{payer.id}@example.com",
        customer["id"],
        payer.card,
    ]


def test_all_that_is_kept_of_a_user_is_exported(
    stack: ServiceWithSandbox, payer: Payer
) -> None:
    """
    Whatever row of whatever table says a name of theirs, and each as it is kept.
    """
    other = stack.user()
    other.subscribed(GOOD)
    stack.settle()
    url = stack.world.database_url
    kept = saying(url, known_by(payer))

    told = export(stack, payer.id)

    assert told.code == 0
    rows = names_of(told.out)
    assert kept - rows.keys() == set()
    tables = {table for table, _ in rows}
    assert tables >= {
        "payment_accounts",
        "payments",
        "subscriptions",
        "paid_periods",
        "account_log",
        "former_keys",
        "link_keys",
        "intents",
        "jobs",
        "events",
    }
    assert not saying_of(other, told.out)
    assert all(row["body"] for (table, _), row in rows.items() if table == "events")
    account = dict(every(url, "payment_accounts", payer.id))
    exported = rows["payment_accounts", (payer.id,)]
    assert exported["card_last4"] == account["card_last4"]
    assert exported["updated_at"].endswith("Z")

    # By e-mail as by id, and as one document.
    document = json.loads(export(stack, f"new-{payer.id}@example.com", "--json").out)
    assert document["user_id"] == payer.id
    assert document["rows"] == [json.loads(it) for it in told.out.splitlines()]


def saying_of(other: Payer, text: str) -> list[str]:
    return [name for name in known_by(other) if name in text]


def every(url: str, table: str, user: str) -> Any:
    [row] = [
        row
        for name, row in every_row(url)
        if name == table and key_of(name, row)[1] == (user,)
    ]
    return row


def test_of_nobody_there_is_nothing(stack: ServiceWithSandbox) -> None:
    """
    Who is not registered is not found.
    """
    told = export(stack, "nobody-at-all")
    assert (told.code, told.out) == (3, "")
