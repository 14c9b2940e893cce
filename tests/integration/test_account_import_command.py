"""`payments account import`: customers who existed before the service did."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from payments_service.cli import main
from support import databases
from support.command_line import answer_of
from support.commands import NOBODY, payments
from support.service_with_sandbox import GOOD, Payer, ServiceWithSandbox

_AUDITED = """
select user_id, decided_by, reason from changes_by_hand where subject = $1
"""


def run(stack: ServiceWithSandbox, *words: str | Path, **env: str) -> Any:
    env = {**stack.world.env(0, 0), **env}
    return answer_of(main, "account", "import", *words, env=env)


@pytest.fixture
def newcomers(stack: ServiceWithSandbox) -> Mapping[str, Payer]:
    """Lend users by their customers, whom the service does not know; one pays."""
    stack.sandbox.chaos(drop=1)
    found = dict[str, Payer]()
    for number in range(3):
        user = stack.user()
        customer = stack.wire.post("customers", email=f"{user.id}@example.com")["id"]
        found[customer] = user
        if number:
            continue
        card = stack.wire.post(f"payment_methods/{GOOD}/attach", customer=customer)
        stack.wire.post(
            "subscriptions",
            customer=customer,
            items=[{"price": stack.basic}],
            default_payment_method=card["id"],
        )
    stack.sandbox.deliver()
    stack.sandbox.calm()
    return found


def csv_of(users: Mapping[str, Payer]) -> str:
    rows = [f"{it.id},{it.id}@example.com,{id_}" for id_, it in users.items()]
    return "\r\n".join(["user_id,email,customer_id", *rows]) + "\r\n"


def test_a_file_is_imported_and_its_users_are_right(
    stack: ServiceWithSandbox, newcomers: Mapping[str, Payer], tmp_path: Path
) -> None:
    """
    Without a webhook. A refused row is written unchanged with the reason, can be
    corrected and imported again; what was imported is known by then. A duplicate row is
    counted separately, and nothing is fetched for it.
    """
    file, refused = tmp_path / "customers.csv", tmp_path / "refused.csv"
    wrong = "x,x@example.com,cus_lost\r\n y,nobody,cus_1\r\n"
    [twice, *_] = csv_of(newcomers).splitlines()[1:]
    file.write_text(f"{csv_of(newcomers)}{wrong}{twice}\r\n", newline="")

    checked = run(stack, file, "--dry-run", "--json")
    first = run(stack, file, "--refused", refused, "--json")

    assert (checked.code, first.code) == (6, 6)
    report = json.loads(first.out)
    assert report.pop("items") == json.loads(checked.out).pop("items")
    assert report == {
        "complete": True,
        "dry_run": False,
        "rows": 6,
        "next_line": 8,
        "imported": 3,
        "known": 0,
        "repeated": 1,
        "refused": 2,
        "warned": 0,
    }
    told = [(it["line"], it["field"]) for it in json.loads(first.out)["items"]]
    assert told == [(5, "customer_id"), (6, "email")]
    counted = "3 imported, 0 known, 1 repeated, 2 refused"
    assert f"6 rows, to line 7: {counted}" in first.err
    assert f"{refused} has the refused rows with reasons" in first.err
    assert "--refused FILE writes the refused rows" in checked.err
    lines = refused.read_bytes().decode().splitlines(keepends=True)
    assert lines == [
        "refused,user_id,email,customer_id\r\n",
        '"customer_id: Stripe has none",x,x@example.com,cus_lost\r\n',
        '"email: not an e-mail address", y,nobody,cus_1\r\n',
    ]

    payer, *_ = newcomers.values()
    status = payer.get(f"/users/{payer.id}/payment-status")
    assert (status["payment_status"], status["entitled"]) == ("paid", True)
    assert status["card"]["last4"] == "4242"
    for customer, user in newcomers.items():
        [kept] = databases.run(
            databases.fetch(stack.world.database_url, _AUDITED, customer)
        )
        assert tuple(kept) == (user.id, "operator", "imported from customers.csv")

    refused.write_text(csv_of(newcomers))
    again = run(stack, refused, "--reason", "mended")
    assert (again.code, again.out.splitlines()[1:]) == (0, [])
    assert "3 rows, to line 4: 0 imported, 3 known, 0 refused" in again.err


def test_json_lines_come_from_standard_input(
    stack: ServiceWithSandbox,
    newcomers: Mapping[str, Payer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A stream has no name that could show its format.
    """
    rows = [
        {"user_id": it.id, "email": f"old-{it.id}@example.com", "customer_id": id_}
        for id_, it in newcomers.items()
    ]
    text = "\n".join(map(json.dumps, rows)).encode()

    assert run(stack, "-").code == 2
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    answer = run(stack, "-", "--format", "jsonl")

    assert answer.code == 0
    assert "the customer has another e-mail at Stripe" in answer.out
    assert "3 rows, to line 3: 3 imported, 0 known, 0 refused" in answer.err


@pytest.mark.parametrize(
    ("body", "words", "env", "code", "what"),
    [
        ("user_id,email\n", (), {}, 2, "customer_id: not in the header line"),
        ("", (), {}, 2, "no header line"),
        ("user_id,email,customer_id\n", ("--reason", " "), {}, 2, "reason: "),
        ("user_id,email,customer_id\n", ("--refused", "FILE"), {}, 2, "--refused: "),
        # It may be the only output of an earlier run.
        (
            "user_id,email,customer_id\n",
            ("--refused", "FULL"),
            {},
            2,
            "exists, and is not empty",
        ),
        (
            "user_id,email,customer_id\na,a@b.c,cus_1\n",
            (),
            {"PAYMENTS_DATABASE_URL": NOBODY},
            5,
            "database",
        ),
    ],
)
def test_what_cannot_be_imported_is_said(  # noqa: PLR0913, PLR0917  # its cases
    stack: ServiceWithSandbox,
    tmp_path: Path,
    body: str,
    words: tuple[str, ...],
    env: dict[str, str],
    code: int,
    what: str,
) -> None:
    """
    With the exit code of its kind, and nothing on stdout.
    """
    file = tmp_path / "a.csv"
    file.write_text(body)
    full = tmp_path / "refused.csv"
    full.write_text("a row\n")
    names = {"FILE": str(file), "FULL": str(full)}
    words = tuple(names.get(it, it) for it in words)

    answer = run(stack, file, *words, **env)

    assert (answer.code, answer.out) == (code, "")
    assert what in answer.err
    assert (file.read_text(), full.read_text()) == (body, "a row\n")


def test_a_gateway_that_is_down_stops_it_and_says_how_to_go_on(
    stack: ServiceWithSandbox, tmp_path: Path
) -> None:
    """
    A refused key counts as such, and nothing is retried.
    """
    file = tmp_path / "a.csv"
    file.write_text("user_id,email,customer_id\nx,x@example.com,cus_1\ny,y,cus_2\n")

    env = {**stack.world.env(0, 0), "PAYMENTS_STRIPE_API_KEY": "sk_test_wrong"}
    answer = payments("account", "import", file, env=env)

    assert answer.code == 4
    assert answer.out == ""
    assert "run it again with --from-line 1." in answer.err


def test_a_run_goes_on_with_the_line_that_it_is_told(
    stack: ServiceWithSandbox, newcomers: Mapping[str, Payer], tmp_path: Path
) -> None:
    """
    Rows that were refused so far are in the file, and earlier rows still count.
    """
    file, refused = tmp_path / "customers.csv", tmp_path / "refused.csv"
    [first, *_] = newcomers
    wrong = f"y,nobody,cus_1\r\nother,other@example.com,{first}\r\n"
    file.write_text(csv_of(newcomers) + wrong, newline="")
    begun = 'refused,user_id,email,customer_id\r\n"why",x,x,x\r\n'
    refused.write_text(begun, newline="")

    words = ("--from-line", "4", "--refused", refused, "--json")
    answer = run(stack, file, *words)

    assert answer.code == 6
    report = json.loads(answer.out)
    assert (report["imported"], report["refused"]) == (1, 2)
    reasons = {it["line"]: it["reason"] for it in report["items"]}
    assert reasons[6] == "line 2 has a different value for the same customer"
    added = refused.read_bytes().decode().removeprefix(begun)
    assert [it.partition('",')[2] for it in added.splitlines()] == wrong.splitlines()


def test_a_line_after_the_last_row_is_refused(
    stack: ServiceWithSandbox, tmp_path: Path
) -> None:
    """
    The number is mistyped, or of another file: nothing was imported, which is an error.
    """
    file = tmp_path / "customers.csv"
    file.write_text("user_id,email,customer_id\nx,x@example.com,cus_lost\n")

    told = run(stack, file, "--from-line", "3", "--json")

    assert (told.code, told.out) == (2, "")
    assert "no row in line 3" in told.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/such/folder/refused.csv", "No such file or directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_of_refused_rows_that_cannot_be_opened_is_named(
    stack: ServiceWithSandbox, tmp_path: Path, name: str, reason: str
) -> None:
    """
    Before anything is imported; it is no bug.
    """
    file = tmp_path / "customers.csv"
    file.write_text("user_id,email,customer_id\nx,x@example.com,cus_lost\n")

    told = run(stack, file, "--refused", tmp_path / name)

    assert (told.code, told.out) == (4, "")
    assert f"--refused: {tmp_path / name}: {reason}" in told.err


def test_refused_rows_go_into_a_pipe_and_a_full_disk_is_named(
    stack: ServiceWithSandbox, tmp_path: Path
) -> None:
    """
    As in `--refused >(gzip > refused.gz)`.
    """
    file = tmp_path / "customers.csv"
    file.write_text("user_id,email,customer_id\nx,nobody,cus_lost\n")
    end, into = os.pipe()

    piped = run(stack, file, "--refused", f"/dev/fd/{into}")
    full = run(stack, file, "--refused", "/dev/full")

    os.close(into)
    with open(end, encoding="utf-8") as pipe:  # noqa: PTH123  # it has no name
        assert [it.partition(",")[0] for it in pipe] == [
            "refused",
            '"email: not an e-mail address"',
        ]
    assert piped.code == 6
    assert full.code == 4
    assert "--refused: /dev/full: No space left on device" in full.err
    assert "run it again with --from-line 1." in full.err
