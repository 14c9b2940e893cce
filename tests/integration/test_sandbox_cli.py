"""`payments-sandbox …`: the effect of its commands on a sandbox, and their output."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from payments_sandbox.cli import main as sandbox
from payments_service.cli import main as payments
from support.command_line import Answer, answer_of
from support.plain_http import TLS
from support.receiver import receiving
from support.service import free_port

COMMAND = (sys.executable, "-m", "payments_sandbox")
# The same commands, if the service is installed with its extra.
OURS = (sys.executable, "-m", "payments_service", "sandbox")
TIMEOUT_S = 60.0
KEY = "sk_test_" + "k" * 8


@attrs.frozen
class Served:
    """A served sandbox, and a client of it."""

    process: "subprocess.Popen[str]"
    facts: dict[str, str]

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PAYMENTS_SANDBOX_URL": self.facts["sandbox_url"],
            "PAYMENTS_SANDBOX_KEY": self.facts["stripe_api_key"],
        }

    def run(self, *words: str) -> Answer:
        return answer_of(sandbox, *words, env=self.env)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.code == 0, done.err
        return done.json

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.facts['stripe_api_key']}"}
        url = f"{self.facts['sandbox_url']}/v1/{path}"
        return httpx.get(url, headers=headers, verify=TLS).raise_for_status().json()

    def ask(self, path: str) -> Any:
        """Request what only its owner may see."""
        headers = {"Authorization": f"Bearer {self.facts['stripe_api_key']}"}
        url = f"{self.facts['sandbox_url']}/_sandbox/{path}"
        return httpx.get(url, headers=headers, verify=TLS).raise_for_status().json()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT_S)
        if self.process.stdout:
            self.process.stdout.close()
        return code


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def as_process(
    *words: str, env: dict[str, str], command: tuple[str, ...] = COMMAND
) -> Answer:
    """Run a command as a person types it."""
    done = subprocess.run(
        [*command, *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


def serve(*words: str, ticking: bool = False) -> Served:
    how = () if ticking else ("--frozen",)
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *how, "--json", *words],
        env={"PATH": os.environ["PATH"], "PAYMENTS_SANDBOX_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return Served(process, json.loads(process.stdout.readline()))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One sandbox for the module; each test uses its own users."""
    served = serve("--catalog", "--start", "2026-01-31T12:00:00Z")
    yield served
    assert served.end() == 0


def test_a_trigger_makes_the_event_and_what_leads_to_it(served: Served) -> None:
    """
    The customer, the card and the charge exist afterwards; a value can be set.
    """
    happened = as_process(
        *("trigger", "charge.failed", "--user", "ada"),
        *("--set", "amount=555", "--json"),
        env=served.env,
    )

    assert happened.json["events"][-2:] == [
        "charge.failed",
        "payment_intent.payment_failed",
    ]
    charge = served.get("charges?limit=1")["data"][0]
    assert (charge["amount"], charge["status"]) == (555, "failed")
    assert charge["metadata"] == {"user_id": "ada"}
    customer = served.get(f"customers/{charge['customer']}")
    assert customer["metadata"] == {"user_id": "ada"}


def test_objects_from_elsewhere_are_imported_and_finished_by_hand(
    served: Served, tmp_path: Path
) -> None:
    """
    A list in a file; an invalid one is named with its field, and so is invalid JSON. A
    card is set up by its client secret.
    """
    customer = {"id": "cus_far", "object": "customer", "email": "far@example.com"}
    setup = {
        "id": "seti_far",
        "object": "setup_intent",
        "client_secret": "seti_far_secret_1",
        "customer": "cus_far",
        "status": "requires_payment_method",
    }
    file = tmp_path / "objects.json"
    file.write_text(json.dumps({"object": "list", "data": [setup, customer]}))

    done = served.run("import", str(file))
    assert (done.code, done.out) == (0, "customer cus_far\nsetup_intent seti_far\n")
    assert served.get("customers/cus_far")["email"] == "far@example.com"
    done = served.run("authenticate", "seti_far_secret_1", "--card", "pm_card_amex")
    assert (done.code, done.out) == (0, "seti_far succeeded\n")
    [card] = served.get("customers/cus_far/payment_methods")["data"]
    assert card["card"]["brand"] == "amex"

    file.write_text(json.dumps({**setup, "customer": "cus_none"}))
    wrong = served.run("import", str(file))
    assert wrong.code == 6
    assert "setup_intent seti_far: `customer` names no existing customer" in wrong.err
    file.write_text("{")
    unreadable = served.run("import", str(file))
    assert (unreadable.code, "not JSON" in unreadable.err) == (2, True)


def test_time_passes_by_advance_alone(served: Served) -> None:
    """
    A month is a calendar month, and everything due in it happens.
    """
    before = served.json("state")
    served.run("trigger", "customer.subscription.created", "--user", "month")

    after = served.json("advance", "1 month")

    assert before["now"] == 1_769_860_800
    assert after["now"] == "2026-02-28T12:00:00Z"
    types = [row["type"] for row in served.json("events")]
    assert "invoice.created" in types
    assert served.json("advance", "2 hours")["now"] == "2026-02-28T14:00:00Z"
    renewed = served.json("events", "--type", "invoice.paid", "--limit", "1")
    assert renewed[0]["created"] == 1_772_283_600


def test_a_card_declines_when_it_is_told_to(served: Served) -> None:
    """
    From then on, until the card is set to succeed.
    """
    served.run("trigger", "payment_method.attached", "--user", "declines")
    card = served.get("payment_methods?limit=1")["data"][0]["id"]

    done = served.run("card", card, "--declines", "lost_card")
    good = served.run("card", card)
    nobody = served.run("card", "pm_nobody", "--declines", "lost_card")

    assert done.out == f"{card} lost_card\n"
    assert good.out == f"{card} good\n"
    assert nobody.code == 3
    assert "No such payment method: 'pm_nobody'" in nobody.err


def test_chaos_is_set_shown_and_calmed(served: Served) -> None:
    """
    Rates and single faults; an unknown fault or an invalid rate is refused.
    """
    shown = served.json("chaos", "drop=0.25", "twin=1")
    planned = served.json(
        *("chaos", "--next", "error_after", "--matches", "POST /v1/customers")
    )
    calm = served.json("chaos", "--calm")
    wrong = [
        served.run("chaos", *words)
        for words in (["dropp=1"], ["drop=2"], ["drop=x"], ["drop"], ["--next", "x"])
    ]

    assert shown["rates"] == {"drop": 0.25, "twin": 1.0}
    assert planned["planned"] == 1
    assert (calm["rates"], calm["planned"]) == ({}, 0)
    assert [done.code for done in wrong] == [2] * 5


@pytest.mark.parametrize(
    "words",
    [
        ("advance", "1 month"),
        ("trigger", "charge.failed", "--user", "dry"),
        ("chaos", "drop=1"),
        ("card", "pm_1", "--declines", "lost_card"),
        ("authenticate", "pi_1"),
        ("roll-secret", "we_1"),
        ("reset",),
    ],
)
def test_a_dry_run_changes_nothing(served: Served, words: tuple[str, ...]) -> None:
    """
    It prints the request that it would send.
    """
    before = served.json("state")

    done = served.run(*words, "--dry-run")

    assert done.code == 0
    assert isinstance(json.loads(done.out), dict)
    assert served.json("state") == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("advance", "a while"), 6, "not a number and a unit"),
        (("advance", "-1 day"), 2, "No such option"),
        (("trigger", "charge.eaten", "--user", "x"), 6, "is not one of: "),
        (("trigger", "charge.failed"), 2, "Missing option '--user'"),
        (("trigger", "charge.failed", "--user", "x", "--set", "y"), 2, "--set y"),
        (
            ("trigger", "charge.failed", "--user", "x", "--set", "color=red"),
            6,
            "Received unknown parameter: color",
        ),
        (("authenticate", "pi_nobody"), 3, "No such payment intent"),
        (("card", "pm_1", "--declines", "rude"), 2, "'rude' is not one of"),
    ],
)
def test_a_wrong_word_is_named(
    served: Served, words: tuple[str, ...], code: int, says: str
) -> None:
    """
    One sentence on stderr, and the exit code that says who must act.
    """
    done = served.run(*words)

    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_nobody_there_is_said(tmp_path: Path) -> None:
    """
    No sandbox, no development service, no address, a wrong address.
    """
    base = {"PATH": os.environ["PATH"], "PAYMENTS_DEV_DIR": str(tmp_path)}
    dead = {
        "PAYMENTS_SANDBOX_URL": f"http://127.0.0.1:{free_port()}",
        "PAYMENTS_SANDBOX_KEY": KEY,
    }

    alone = as_process("state", env=base, command=OURS)
    unnamed = as_process("state", env=base)
    gone = answer_of(sandbox, "state", env={**base, **dead})
    nowhere = {**base, **dead, "PAYMENTS_SANDBOX_URL": "nowhere"}
    odd = answer_of(sandbox, "state", env=nowhere)

    codes = [done.code for done in (alone, unnamed, gone, odd)]
    assert codes == [5, 5, 5, 2]
    assert "no development service runs" in alone.err
    assert "no sandbox is named: start one with" in unnamed.err
    assert "no sandbox answers at" in gone.err
    assert "`serve` starts one" in gone.err
    assert "may have happened" not in gone.err


def hang_up(listener: socket.socket) -> None:
    """Accept a connection and its request, and close without an answer."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)


@pytest.mark.parametrize(
    ("words", "may_have_happened"),
    [(("advance", "2 months"), True), (("state",), False)],
)
def test_a_sandbox_that_dies_in_the_middle_may_have_done_a_part(
    tmp_path: Path, words: tuple[str, ...], *, may_have_happened: bool
) -> None:
    """
    A command that advances time says so, and how to find out; a command that only reads
    does not.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dying = threading.Thread(target=hang_up, args=[listener])
        dying.start()
        env = {
            "PATH": os.environ["PATH"],
            "PAYMENTS_DEV_DIR": str(tmp_path),
            "PAYMENTS_SANDBOX_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "PAYMENTS_SANDBOX_KEY": KEY,
        }
        cut_short = answer_of(sandbox, *words, env=env)
        dying.join()

    assert (cut_short.code, cut_short.out) == (5, "")
    assert "no sandbox answers at" in cut_short.err
    hint = "part of this may have happened, and the command `state` shows"
    assert (hint in cut_short.err) is may_have_happened


@pytest.mark.parametrize(
    "words",
    [
        ("state",),
        ("trigger", "charge.failed"),
        ("authenticate", "pi_nobody"),
        ("advance", "a while"),
        ("serve", "--port", "0", "--start", "yesterday"),
        ("serve", "--port", "0", "--journal", "/nowhere/at/all"),
    ],
)
def test_the_services_command_is_the_same(
    served: Served, words: tuple[str, ...]
) -> None:
    """
    `payments sandbox …` prints what `payments-sandbox …` does, with its exit code.
    """
    theirs = served.run(*words)

    ours = answer_of(payments, "sandbox", *words, env=served.env)

    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    said = theirs.err.replace("payments-sandbox: ", "payments: ").splitlines()
    assert ours.err.splitlines()[-1:] == said[-1:]


def test_a_stranger_is_refused(served: Served) -> None:
    """
    Every route of the sandbox requires the key.
    """
    env = {**served.env, "PAYMENTS_SANDBOX_KEY": "sk_test_other"}

    done = answer_of(sandbox, "reset", env=env)

    assert done.code == 6
    assert "the sandbox's key is needed" in done.err


def test_a_reset_begins_anew_with_what_it_was_started_with() -> None:
    """
    The catalog is there again, the customers are deleted; the key stays.
    """
    served = serve("--catalog")
    try:
        served.run("trigger", "customer.created", "--user", "gone")
        before = served.json("state")["objects"]
        served.run("reset", "--seed", "4")
        after = served.json("state")
    finally:
        code = served.end(signal.SIGINT)

    assert (before["customer"], before["price"]) == (1, 2)
    assert after["objects"] == {"product": 2, "price": 2}
    assert after["seed"] == 4
    assert code == 0


def test_it_forwards_what_happens_signed() -> None:
    """
    Every event is sent to --forward, signed with --secret, in --api-version.
    """
    secret, port = "whsec_" + "s" * 24, free_port()
    served = serve(
        *("--forward", f"http://127.0.0.1:{port}/hook", "--secret", secret),
        *("--api-version", "2024-09-30.acacia"),
    )
    try:
        state = served.json("state")
        # Nothing listens there: the event is pending until something does.
        served.run("trigger", "customer.created", "--user", "ada")
        served.run("advance", "1 second")
        waiting = served.json("state")["waiting_deliveries"]
        rolled = served.run("roll-secret", state["endpoints"][0]["id"]).out
    finally:
        served.end()

    assert served.facts["webhook_secret"] == secret
    [endpoint] = state["endpoints"]
    assert re.fullmatch(r"whsec_\w{32}\n", rolled)
    assert endpoint["url"] == f"http://127.0.0.1:{port}/hook"
    assert endpoint["api_version"] == "2024-09-30.acacia"
    assert waiting == 1


def test_it_serves_before_it_delivers(tmp_path: Path) -> None:
    """
    Restarted with pending deliveries, it does not wait for a receiver that does not
    answer; once the receiver does, it gets all of them in order.
    """
    users = ["ada", "bob", "eve"]
    with receiving() as receiver:
        receiver.status = 500
        words = ("--journal", str(tmp_path / "journal"), "--forward", receiver.url)
        first = serve(*words)
        for user in users:
            first.run("trigger", "customer.created", "--user", user)
        first.end()
        receiver.received.clear()
        receiver.status = 200
        receiver.hold()

        second = serve(*words, ticking=True)
        try:
            answered = len(second.ask("deliveries"))
            pending = second.ask("events")
            receiver.let_go()
            wait_for(lambda: len(receiver.received) == len(users))
        finally:
            code = second.end()

    # Before the first answer, however slow the machine: not after all of them.
    assert answered < len(users)
    assert [it["undelivered"] for it in pending] == [1] * len(users)
    told = [it.object["metadata"]["user_id"] for it in receiver.received]
    assert told == users
    assert code == 0


def test_its_time_passes_while_it_does_not_run_and_never_goes_back(
    tmp_path: Path,
) -> None:
    """
    It continues from its last time: ahead by as much as it did not run, each time.
    """
    journal, gap_s = tmp_path / "journal", 50

    def now_of(sandbox: Served) -> int:
        try:
            return int(sandbox.ask("state")["now"])
        finally:
            sandbox.process.kill()
            sandbox.end()

    first = serve("--journal", str(journal), ticking=True)
    first.run("advance", "2 months")
    times = [now_of(first)]
    with journal.open("ab") as file:
        # Cut off by a crash; the removal of the partial line does not count as running.
        file.write(b"{")
    os.utime(journal, (time.time() - gap_s,) * 2)
    times += [now_of(serve("--journal", str(journal), ticking=True)) for _ in range(2)]

    assert times[1] >= times[0] + gap_s
    assert times[2] >= times[1]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--api-version", "2020-08-27"), 2, "--api-version: Invalid Stripe API"),
        (("--forward", "http://127.0.0.1:99999/"), 2, "--forward: Invalid URL"),
        (("--start", "yesterday"), 2, "--start: not 2026-01-31T12:00:00Z"),
        (("--after-retries", "forgive"), 2, "'forgive' is not one of"),
        (("--journal", "/nowhere/at/all"), 4, "--journal: /nowhere/at/all cannot"),
    ],
)
def test_it_does_not_start_with_what_it_cannot_use(
    words: tuple[str, ...], code: int, says: str
) -> None:
    """
    The option, the reason, and the exit code.
    """
    done = answer_of(sandbox, "serve", "--port", "0", *words, env={})

    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_a_taken_port_and_a_damaged_journal_are_named(
    served: Served, tmp_path: Path
) -> None:
    """
    Nothing is started on a guess.
    """
    port = served.facts["sandbox_url"].rpartition(":")[2]
    damaged = tmp_path / "journal"
    damaged.write_text('{"did":"reset","at":1,"seed":0}\nnonsense\n')

    taken = as_process("serve", "--port", port, env=served.env)
    journal = ("--journal", str(damaged))
    broken = as_process("serve", "--port", "0", *journal, env=served.env)

    assert (taken.code, broken.code) == (4, 4)
    assert "cannot be bound" in taken.err
    assert f"{damaged}:2: " in broken.err


def test_a_journal_that_began_with_something_else_is_refused(tmp_path: Path) -> None:
    """
    With other options all ids that an app knows would change. A state from a version
    that did not store the options is accepted.
    """
    journal = tmp_path / "journal"
    kept = ("--journal", str(journal))
    serve(*kept, "--catalog").end()
    begun = journal.read_bytes()
    refused = [
        as_process("serve", "--port", "0", *kept, *words, env={})
        for words in ((), ("--catalog", "--forward", "http://127.0.0.1:9/x"))
    ]

    assert [it.code for it in refused] == [4, 4]
    assert all("was begun with --catalog" in it.err for it in refused)
    assert journal.read_bytes() == begun
    serve(*kept, "--catalog").end()
    journal.write_bytes(begun.replace(b',"preset":"--catalog"', b""))
    assert journal.read_bytes() != begun
    serve(*kept).end()


def test_its_time_is_kept_in_a_file_for_others_to_follow(tmp_path: Path) -> None:
    """
    Available before it is served, in seconds, after each command; only its owner can
    read it.
    """
    clock, journal = tmp_path / "clock", tmp_path / "journal"
    kept = ("--clock-file", str(clock), "--journal", str(journal))
    served = serve(*kept, "--start", "2026-01-31T12:00:00Z")
    began = int(clock.read_text())
    served.run("advance", "2 months")
    after = int(clock.read_text())
    mode = stat.S_IMODE(clock.stat().st_mode)
    served.end()
    clock.unlink()
    again = serve(*kept)
    kept_time = int(clock.read_text())
    again.end()
    ticking = serve("--clock-file", str(clock), ticking=True)
    ticked = int(clock.read_text())
    wait_for(lambda: int(clock.read_text()) > ticked)
    ticking.end()

    assert datetime.fromtimestamp(began, UTC) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert datetime.fromtimestamp(after, UTC) == datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert kept_time == after
    assert mode == 0o600


def test_a_clock_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """
    Exit code 4, before anything is served.
    """
    nowhere = tmp_path / "no" / "clock"
    done = as_process("serve", "--port", "0", "--clock-file", str(nowhere), env={})

    assert (done.code, done.out) == (4, "")
    assert f"--clock-file: {nowhere} cannot be written" in done.err
