"""A user's data is exported, erased, and never comes back; old data is purged."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from payments_service.cli import main
from support import databases
from support.command_line import answer_of
from support.commands import POLL_S, START_S_MAX
from support.events import SUCCEEDED, event
from support.kept_of import every_row, key_of, names_of, saying
from support.openapi_calls import operations
from support.profiles import PROVES
from support.service_with_sandbox import GOOD, OTHER, Payer, ServiceWithSandbox


def erase(stack: ServiceWithSandbox, user: str, *words: str, **env: str) -> Any:
    words = (
        "--reason",
        "asked for it",
        "--yes",
        "--settle",
        "0",
        "--first",
        "--json",
        *words,
    )
    env = {**stack.world.env(0, 0), **env}
    return answer_of(main, "account", "erase", user, *words, env=env)


@pytest.fixture
def left(stack: ServiceWithSandbox, ada: Payer) -> Payer:
    """Lend a user who has paid, and no longer has anything."""
    ada.subscribed(GOOD)
    ada.give_card(OTHER)
    stack.settle()
    [made] = ada.subscriptions
    [customer] = ada.customers
    stack.wire.post(f"customers/{customer['id']}", name="Ada L.", phone="+44 20 7946")
    stack.wire.post("refunds", charge=ada.charges[0]["id"], amount=100)
    stack.wire.delete(f"subscriptions/{made['id']}")
    stack.settle()
    return ada


def known_by(payer: Payer) -> list[str]:
    """Return everything that can identify a user."""
    [customer] = payer.customers
    return [payer.id, f"{payer.id}@example.com", customer["id"], payer.card, "Ada L."]


def money(rows: list[tuple[str, Mapping[str, Any]]], *users: str) -> Any:
    return sorted(
        (row["id"], row["amount_minor"], row["refunded_minor"], row["created_at"])
        for table, row in rows
        if table == "payments" and row["user_id"] in users
    )


def test_p38_nothing_names_who_was_erased_and_the_money_stays(
    stack: ServiceWithSandbox, left: Payer
) -> None:
    """
    In no column of any table, and by no route. A repetition finds it done.
    """
    url, names = stack.world.database_url, known_by(left)
    [(subscription,)] = left.stored("id from subscriptions", by="id")
    ids = {"user": left.id, "subscription": str(subscription)}
    callers = [left, left.admin]
    before = every_row(url)
    assert saying(url, names)

    told = erase(stack, left.id)

    assert told.code == 0, told.err
    assert saying(url, names) == set()
    pseudonym = json.loads(told.out)["pseudonym"]
    after = every_row(url)
    assert money(before, left.id) == money(after, pseudonym) != []
    again = erase(stack, left.id)
    assert again.code == 6
    assert "already erased" in again.err
    about = [it for it in operations() if set(it.parameters) & set(ids)]
    for caller in callers:
        for operation in [it for it in about if it.method == "GET"]:
            answer = caller.call("GET", operation.at(ids))
            assert answer.status_code in {401, 404, 410}, answer.text
            assert [it for it in names[1:] if it in answer.text] == []


def test_t44_tokens_that_were_revoked_stay_so(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Those of an erased user, too: they may be an administrator's.
    """
    ada.admin.call("PUT", f"/users/{ada.id}", {"email": f"{ada.id}@example.com"})
    ada.call("POST", f"/users/{ada.id}/tokens/invalidate", {})
    status = f"/users/{ada.id}/payment-status"
    assert ada.call("GET", status).status_code == 401

    assert erase(stack, ada.id).code == 0

    assert ada.call("GET", status).status_code == 401


def lived_on(stack: ServiceWithSandbox, customer: str, charge: str) -> None:
    """Let everything happen at the gateway that may happen to a customer."""
    wire = stack.wire
    wire.post(f"customers/{customer}", name="Ada L.", description="of before")
    card = wire.post(f"payment_methods/{OTHER}/attach", customer=customer)["id"]
    wire.post(
        f"customers/{customer}", invoice_settings={"default_payment_method": card}
    )
    wire.post("refunds", charge=charge, amount=1)
    wire.post(
        "payment_intents",
        amount=700,
        currency="eur",
        customer=customer,
        payment_method=card,
        confirm=True,
        off_session=True,
        receipt_email="whoever@example.com",
    )
    made = wire.post("subscriptions", customer=customer, items=[{"price": stack.basic}])
    wire.delete(f"subscriptions/{made['id']}")


def test_nothing_comes_back_of_who_was_erased(
    stack: ServiceWithSandbox, left: Payer
) -> None:
    """
    By no late webhook, no back-fill, no sweep, no registration, no binding: and a
    reconciliation finds nothing. Only the e-mail may come back, as a new user's.
    """
    url, names = stack.world.database_url, known_by(left)
    [customer] = [it["id"] for it in left.customers]
    charge, admin = left.charges[0]["id"], left.admin
    reconciled = ("reconcile", "--settle", "0", "--since", "2020-01-01", "--json")
    assert erase(stack, left.id).code == 0
    pseudonym_rows = money(every_row(url), *pseudonyms(url))

    # Late webhooks; and lost ones, which are back-filled.
    lived_on(stack, customer, charge)
    stack.settle()
    assert saying(url, names) == set()
    if PROVES:
        # Without a database `test_use_cases_erasures` does it each time.
        stack.sandbox.chaos(drop=1)
        lived_on(stack, customer, charge)
        stack.settle()
        stack.sandbox.calm()
        assert stack.work_as_process() == 0
        assert saying(url, names) == set()
    assert money(every_row(url), *pseudonyms(url)) == pseudonym_rows

    told = answer_of(main, *reconciled, env=stack.world.env(0, 0))
    assert (json.loads(told.out)["found"], told.code) == (0, 0)
    assert saying(url, names) == set()

    registered = admin.call("PUT", f"/users/{left.id}", {"email": "ada@example.org"})
    assert (registered.status_code, registered.json()["code"]) == (
        410,
        "account_erased",
    )
    body = {"email": f"{left.id}@example.com"}
    bound = {**body, "customer_id": customer}
    taken = admin.call("PUT", "/users/somebody-new", bound)
    assert (taken.status_code, taken.json()["code"]) == (409, "customer_taken")
    assert saying(url, names) == set()

    assert admin.call("PUT", "/users/somebody-new", body).status_code in {200, 201}
    status = admin.call("GET", "/users/somebody-new/payment-status").json()
    assert (status["payment_status"], status["payment_expire_date"]) == ("none", None)


def pseudonyms(url: str) -> list[str]:
    return [
        row["user_id"]
        for table, row in every_row(url)
        if table == "payment_accounts" and row["user_id"].startswith("erased/")
    ]


def test_who_has_something_open_is_not_erased(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Nothing is done, and each obstacle is named. A dry run says so, and so do a reason
    that names the user, a wrong key, and a missing key.
    """
    ada.subscribed(GOOD)
    stack.settle()
    [made] = ada.subscriptions
    url = stack.world.database_url
    before = databases.digest(url)
    for words in ((), ("--dry-run",)):
        refused = erase(stack, ada.id, *words)
        assert (refused.code, refused.out) == (6, "")
        assert f"subscription {made['id']} is active" in refused.err
    stack.wire.delete(f"subscriptions/{made['id']}")
    stack.settle()
    before = databases.digest(url)

    would = erase(stack, ada.id, "--dry-run")
    assert json.loads(would.out) == {"user_id": ada.id, "erased": False}
    naming = erase(stack, ada.id, "--reason", f"{ada.id} asked for it")
    assert (naming.code, naming.out) == (2, "")
    assert erase(stack, "nobody-at-all").code == 3
    keyless = {**stack.world.env(0, 0)}
    del keyless["PAYMENTS_ERASURE_KEY"]
    command = ("account", "erase", ada.id, "--reason", "asked", "--yes")
    told = answer_of(main, *command, env=keyless)
    assert (told.code, "PAYMENTS_ERASURE_KEY" in told.err) == (4, True)
    assert databases.digest(url) == before


def test_the_first_erasure_waits_until_every_process_has_the_key(
    stack: ServiceWithSandbox, postgres: str, template: str, tmp_path: Path
) -> None:
    """
    A process without the key could no longer record anything. Nothing is done, and the
    order is explained; from the second erasure on no confirmation is needed.
    """
    file, users = tmp_path / "two.csv", [stack.user().id, stack.user().id]
    rows = [
        f"{it},{it}@example.com,{stack.wire.post('customers')['id']}" for it in users
    ]
    file.write_text("\n".join(["user_id,email,customer_id", *rows]))
    with databases.copy_of(postgres, template) as url:
        env = {**stack.world.env(0, 0), "PAYMENTS_DATABASE_URL": url}
        assert answer_of(main, "account", "import", file, env=env).code == 0
        before = databases.digest(url)
        words = ("--reason", "asked for it", "--settle", "0")
        first = ("account", "erase", users[0], *words)
        for more in (("--yes",), ("--dry-run",)):
            refused = answer_of(main, *first, *more, env=env)
            assert (refused.code, refused.out) == (6, "")
            assert "openssl rand -base64 32" in refused.err
            assert "PAYMENTS_ERASURE_KEY" in refused.err
            said = f"{users[0]} has nothing open, but no user was erased"
            assert (said in refused.err) is ("--dry-run" in more)
        assert databases.digest(url) == before
        assert answer_of(main, *first, "--yes", "--first", env=env).code == 0
        second = ("account", "erase", users[1], *words, "--yes")
        assert answer_of(main, *second, env=env).code == 0
        listed = answer_of(main, "audit", "list", "--json", env=env).json["items"]
        pseudonym = listed[0]["user_id"]
        assert pseudonym.startswith("erased/")
        theirs = ("audit", "list", "--user", pseudonym, "--json")
        assert answer_of(main, *theirs, env=env).json["items"] == [
            it for it in listed if it["user_id"] == pseudonym
        ]


def begun(stack: ServiceWithSandbox, user: str) -> "subprocess.Popen[str]":
    """Return a process that has erased all but the events, and is stopped."""
    url = stack.world.database_url
    words = ("account", "erase", user, "--reason", "asked for it", "--yes", "--first")
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", *words, "--settle", "600"],
        env={"PATH": os.environ["PATH"], **stack.world.env(0, 0)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + START_S_MAX
    while not databases.run(databases.fetch(url, "select 1 from erasures")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        threading.Event().wait(POLL_S)
    return process


def test_f09_an_erasure_that_was_killed_goes_on(
    stack: ServiceWithSandbox, left: Payer
) -> None:
    """
    Killed after all but the events was erased: nothing of the account exists, and a
    repetition, by id or by e-mail, finishes it.
    """
    url, names = stack.world.database_url, known_by(left)
    process = begun(stack, left.id)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert {table for table, _ in saying(url, names)} == {"erasures", "events"}

    told = erase(stack, f"{left.id}@example.com")

    assert told.code == 0, told.err
    assert json.loads(told.out)["events"] > 0
    assert saying(url, names) == set()
    assert erase(stack, left.id).code == 6


def test_an_erasure_that_was_interrupted_says_so(
    stack: ServiceWithSandbox, left: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The message says what is left to do, and how; nothing is done. Nor is an erasure
    that was not confirmed.
    """
    env = stack.world.env(0, 0)
    words = ("account", "erase", left.id, "--reason", "asked for it", "--first")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    declined = answer_of(main, *words, env=env)
    assert (declined.code, declined.out) == (6, "")
    assert "not confirmed" in declined.err

    process = begun(stack, left.id)
    assert process.stderr
    assert "searched in 600 s" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert (process.returncode, out) == (130, "")
    assert "Run the command again" in err
    told = erase(stack, left.id)
    assert (told.code, "searching the events" in told.err) == (0, True)


def export(stack: ServiceWithSandbox, *words: str) -> Any:
    return answer_of(main, "account", "export", *words, env=stack.world.env(0, 0))


@pytest.fixture
def payer(stack: ServiceWithSandbox, ada: Payer) -> Payer:
    """Lend a user who is in every table that has users."""
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


def all_names(payer: Payer) -> list[str]:
    """Return everything that can identify a user."""
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
    Every row of every table that has an identifier of theirs, each as stored.
    """
    other = stack.user()
    other.subscribed(GOOD)
    stack.settle()
    url = stack.world.database_url
    kept = saying(url, all_names(payer))

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


def test_what_another_pays_by_a_former_e_mail_stays_theirs(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    It is not in the export of the e-mail's former owner, and no erasure removes it.
    """
    email, other = f"{ada.id}@example.com", stack.user()
    ada.admin.call("PUT", f"/users/{ada.id}", {"email": f"new-{email}"})
    ada.admin.call("PUT", f"/users/{other.id}", {"email": email})
    at, guest = datetime.now(UTC), {"customer": None, "receipt_email": email}
    first, late = (event(SUCCEEDED, it, at=at, **guest) for it in ("first", "late"))
    charge = first["data"]["object"]["id"]
    assert stack.service.post_event(first).status_code == 200
    before = export(stack, other.id).out
    assert f'"{charge}"' in before
    assert charge not in export(stack, ada.id).out

    assert erase(stack, ada.id).code == 0

    assert {*before.splitlines()} <= {*export(stack, other.id).out.splitlines()}
    assert stack.service.post_event(late).json() == {"outcome": "applied"}


def saying_of(other: Payer, text: str) -> list[str]:
    return [name for name in all_names(other) if name in text]


def every(url: str, table: str, user: str) -> Any:
    [row] = [
        row
        for name, row in every_row(url)
        if name == table and key_of(name, row)[1] == (user,)
    ]
    return row


def test_of_nobody_there_is_nothing(stack: ServiceWithSandbox) -> None:
    """
    A user who is not registered is not found.
    """
    told = export(stack, "nobody-at-all")
    assert (told.code, told.out) == (3, "")


_OLD = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at)
select 'payment', 'purged_' || n, '', now(), 1, 0, 1, true, now() - interval '40 days'
from generate_series(1, 3) n
"""
_LEFT = "select count(*) from jobs where subject like 'purged_%'"
_KEPT = {"PAYMENTS_KEEP_JOBS_DAYS": "30", "PAYMENTS_KEEP_EVENTS_DAYS": "0"}


def purge(stack: ServiceWithSandbox, *words: str) -> Any:
    env = {**stack.world.env(0, 0), **_KEPT}
    return answer_of(main, "purge", *words, env=env)


def jobs_left(url: str) -> int:
    ((count,),) = databases.run(databases.fetch(url, _LEFT))
    return int(count)


def test_what_is_old_is_purged_and_said_before(stack: ServiceWithSandbox) -> None:
    """
    For each kind how much; nothing for what is stored for ever. A second run finds
    nothing.
    """
    url = stack.world.database_url
    databases.run(databases.execute(url, _OLD))
    items = purge(stack, "--dry-run", "--json").json["items"]
    counts = {it["kind"]: (it["count"], it["more"]) for it in items}
    assert counts["jobs"] == (3, False)
    assert counts["events"] == (None, False)
    shown = purge(stack, "--dry-run")
    assert "jobs         3" in shown.out
    assert "stored permanently" in shown.err
    assert jobs_left(url) == 3

    for count in (3, 0):
        items = purge(stack, "--json").json["items"]
        assert {it["kind"]: it["count"] for it in items}["jobs"] == count
        assert jobs_left(url) == 0
