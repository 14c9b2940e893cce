"""`payments dev` as a person runs it: one command, and nothing left behind."""

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from payments_core.months import months_after
from support import databases
from support.service import PREFIX

START_S_MAX = 60.0
END_S_MAX = 60.0
POLL_S = 0.05
COMMAND = (sys.executable, "-m", "payments_service")


def environment(folder: Path, env: Mapping[str, str | None]) -> dict[str, str]:
    """Return the least that a command needs, and `env`; None takes a default away."""
    wanted = {
        "PATH": os.environ["PATH"],
        "PAYMENTS_DEV_DIR": str(folder),
        "PAYMENTS_PORT": "0",
        "PAYMENTS_OPS_PORT": "0",
        **env,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def payments(
    *words: str, folder: Path, cwd: Path | None = None, **env: str | None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words],
        env=environment(folder, env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )


@attrs.frozen
class Dev:
    folder: Path
    process: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.folder / "dev.json").read_text())
        return facts

    def has_started(self) -> bool:
        return "webhook send" in self.output.read_text()

    def status(self, user: str, token: str | None = None) -> httpx.Response:
        return self._call("GET", f"{user}/payment-status", token)

    def register(self, user: str) -> None:
        email = {"email": f"{user}@example.com"}
        self._call("PUT", user, None, email).raise_for_status()

    def renewals(self, email: str) -> list[str]:
        """Return what became of each renewal of a customer of the sandbox."""
        customer = self._stripe("customers", email=email)[0]["id"]
        invoices = self._stripe("invoices", customer=customer)
        renewed = "subscription_cycle"
        return [it["status"] for it in invoices if it["billing_reason"] == renewed]

    def _stripe(self, path: str, **params: str) -> list[Any]:
        facts = self.facts
        headers = {"Authorization": f"Bearer {facts['stripe_api_key']}"}
        url = f"{facts['sandbox_url']}/v1/{path}"
        answer = httpx.get(url, params=params, headers=headers, timeout=30)
        found: list[Any] = answer.raise_for_status().json()["data"]
        return found

    def _call(
        self, method: str, path: str, token: str | None, body: Any = None
    ) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.facts['base_url']}{PREFIX}/users/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token or self.facts['admin_token']}"},
            timeout=30,
        )

    def interrupt(self) -> int:
        """Press Ctrl-C: a terminal tells the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(END_S_MAX)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(END_S_MAX)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def begin(folder: Path, *words: str, **env: str | None) -> Dev:
    """Start it in a session of its own, as in a terminal of its own."""
    output, errors = folder.with_suffix(".out"), folder.with_suffix(".err")
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [*COMMAND, "dev", *words],
            env=environment(folder, env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return Dev(folder, process, output, errors)


def await_start(dev: Dev) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not dev.has_started():
        assert time.monotonic() < deadline
        try:
            code = dev.process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"exit code {code}: {dev.errors.read_text()}")


@contextmanager
def running(folder: Path, *words: str, **env: str | None) -> Iterator[Dev]:
    dev = begin(folder, *words, **env)
    try:
        await_start(dev)
        yield dev
    finally:
        if dev.process.poll() is None:
            dev.terminate()


def processes_of(folder: Path) -> list[str]:
    """Return the processes that name the folder or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            works_in = str((process / "cwd").readlink())
        except OSError:
            # It ended while we looked.
            continue
        if str(folder) in command or works_in.startswith(str(folder)):
            found.append(command)
    return found


def processes_left(folder: Path) -> list[str]:
    """Return those that do not end by themselves."""
    deadline = time.monotonic() + END_S_MAX
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        threading.Event().wait(POLL_S)
    return left


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One service on an embedded Postgres; its folder's name needs quoting."""
    folder = tmp_path_factory.mktemp("it's a dev") / ".payments"
    with running(folder) as dev:
        yield dev


def test_it_tells_other_commands_where_everything_is(dev: Dev) -> None:
    """
    dev.json has the addresses, the secret and a token that work; it is private.
    """
    facts = dev.facts

    assert set(facts) == {
        "base_url",
        "ops_url",
        "database_url",
        "webhook_secret",
        "admin_token",
        "sandbox_url",
        "stripe_api_key",
    }
    assert httpx.get(f"{facts['ops_url']}/readyz").status_code == 200
    assert dev.status("nobody").status_code == 404
    assert databases.digest(facts["database_url"])
    ours = [path for path in dev.folder.iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in ours} == {0o600}
    assert stat.S_IMODE(dev.folder.stat().st_mode) == 0o700


def test_the_lines_that_it_prints_work_when_they_are_pasted(
    dev: Dev, tmp_path: Path
) -> None:
    """
    In a shell of another folder, without our environment: a user, a card and a
    subscription, and a webhook; alice has paid. Then two renewals, and a failure.
    """
    printed = dev.output.read_text()
    lines = [line.strip() for line in printed.splitlines()]
    curls = [line for line in lines if line.startswith("curl ")]
    advances = [line for line in lines if "sandbox advance" in line]
    (fail,) = (line for line in lines if "sandbox trigger" in line)
    (send,) = (line for line in lines if "webhook send" in line)

    def paste(line: str) -> str:
        return subprocess.run(
            ["/bin/bash", "-c", line],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    answers = [paste(f"{line} -s -w ' %{{http_code}}'") for line in curls]
    sent = paste(send)
    after = json.loads(paste(f"{curls[1]} -s"))
    for line in advances:
        paste(line)
    renewals = dev.renewals("alice@example.com")
    paste(fail)

    assert [answer[-4:] for answer in answers] == [*[" 200"] * 4, " 201"]
    assert sent == '200 {"outcome": "applied"}\n'
    assert (after["payment_status"], after["entitled"]) == ("paid", True)
    assert renewals == ["paid", "paid"]
    assert str(dev.folder) in printed
    assert dev.facts["base_url"] in printed
    assert dev.facts["ops_url"] in printed


def test_the_readmes_first_ten_minutes_work_when_they_are_pasted(dev: Dev) -> None:
    """
    Every line, in one shell in the folder of the checkout: ada pays, subscribes and
    cancels; no answer is a refusal.
    """
    root = Path(__file__).parents[2]
    [block] = re.findall(
        r"```sh\n(.*?)```", (root / "README.md").read_text(), re.DOTALL
    )
    # Here a refusal ends it, and the environment may be another one than `.venv`.
    strict = 'set -eu; curl() { command curl -sS --fail-with-body "$@"; echo; }\n'
    pasted = block.replace(".venv/bin/payments", shlex.join(COMMAND))

    done = subprocess.run(
        ["/bin/bash", "-c", strict + pasted],
        cwd=root,
        env=environment(dev.folder, {}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    shown = done.stdout.splitlines()
    [paid] = [json.loads(line) for line in shown if '"payment_status":"paid"' in line]
    assert (paid["user_id"], paid["entitled"]) == ("ada", True)
    assert "card: visa ending in 4242, 12/" in done.stdout
    assert shown[-1] == '{"invalidated":true}'
    assert dev.renewals("ada@example.com") == []


def test_a_folder_has_one_service(dev: Dev) -> None:
    """
    A second one is told what to do, and the first one does not notice.
    """
    for words in ([], ["--fresh"]):
        second = payments("dev", *words, folder=dev.folder)

        assert second.returncode == 6
        assert "another `payments dev` runs on" in second.stderr
        assert "PAYMENTS_DEV_DIR" in second.stderr
    assert dev.status("nobody").status_code == 404


def test_data_outlives_the_service_and_no_process_does(tmp_path: Path) -> None:
    """
    Killed, interrupted, terminated: nothing is left, the data stays, `--fresh` wipes.
    """
    folder = tmp_path / ".payments"

    with running(folder) as first:
        before = first.facts
        first.register("stays")
        assert first.status("stays").status_code == 200
        first.kill()
    assert processes_left(folder) == []

    with running(folder) as second:
        after = second.facts
        assert after["webhook_secret"] == before["webhook_secret"]
        assert second.status("stays", before["admin_token"]).status_code == 200
        assert second.interrupt() == 0
    # When it has ended, all has.
    assert processes_of(folder) == []
    assert not (folder / "dev.json").exists()

    with running(folder, "--fresh") as third:
        assert third.facts["webhook_secret"] != before["webhook_secret"]
        assert third.status("stays").status_code == 404
        assert third.status("stays", before["admin_token"]).status_code == 401
        assert third.terminate() == 0
    assert processes_of(folder) == []
    assert not (folder / "dev.json").exists()
    for dev in (first, second, third):
        assert dev.errors.read_text() == ""


@contextmanager
def taken(port: int) -> Iterator[int]:
    """Listen on a port, unless somebody else does already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            yield port
        else:
            yield listener.getsockname()[1]


def test_two_run_side_by_side_though_a_default_port_is_taken(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """
    Who asked for no port gets another one, also when two start at the same moment.
    """
    with taken(8000), ExitStack() as stack:
        devs = []
        for name in ("one", "two"):
            url = stack.enter_context(databases.copy_of(postgres, template))
            devs.append(
                begin(
                    tmp_path / name,
                    PAYMENTS_PORT=None,
                    PAYMENTS_OPS_PORT=None,
                    PAYMENTS_DATABASE_URL=url,
                )
            )
            stack.callback(devs[-1].terminate)
        for dev in devs:
            await_start(dev)

        addresses = {dev.facts[url] for dev in devs for url in ("base_url", "ops_url")}
        devs[0].register("mine")
        seen = [dev.status("mine").status_code for dev in devs]

    assert len(addresses) == 4
    assert "http://127.0.0.1:8000" not in addresses
    assert seen == [200, 404]
    assert "port 8000 is taken" in devs[0].errors.read_text()


@pytest.mark.parametrize("variable", ["PAYMENTS_PORT", "PAYMENTS_OPS_PORT"])
def test_a_port_that_was_asked_for_is_not_replaced(
    database_url: str, tmp_path: Path, variable: str
) -> None:
    """
    It is taken: exit code 4, and the variable's name.
    """
    with taken(0) as port:
        env: dict[str, Any] = {variable: str(port)}
        answer = payments(
            "dev",
            folder=tmp_path / ".payments",
            PAYMENTS_DATABASE_URL=database_url,
            **env,
        )

    assert answer.returncode == 4
    assert f"{variable}: 127.0.0.1:{port} cannot be bound" in answer.stderr
    assert not (tmp_path / ".payments" / "dev.json").exists()


def test_it_is_not_for_production(database_url: str, tmp_path: Path) -> None:
    """
    It prints a token that may do everything: never where money is real.
    """
    answer = payments(
        "dev",
        folder=tmp_path / ".payments",
        PAYMENTS_ENV="production",
        PAYMENTS_STRIPE_API_KEY="sk_live_" + "k" * 24,
        PAYMENTS_DATABASE_URL=database_url,
    )

    assert (answer.returncode, answer.stdout) == (6, "")
    assert "PAYMENTS_ENV" in answer.stderr
    assert not (tmp_path / ".payments").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PAYMENTS_LOG_LEVEL", "loud"), ("PAYMENTS_DATABASE_URL", "mysql://db")],
)
def test_a_wrong_setting_is_named(
    database_url: str, tmp_path: Path, variable: str, value: str
) -> None:
    """
    Exit code 4, as everywhere.
    """
    env: dict[str, Any] = {"PAYMENTS_DATABASE_URL": database_url, variable: value}

    answer = payments("dev", folder=tmp_path / ".payments", **env)

    assert answer.returncode == 4
    assert answer.stderr.startswith(f"payments: {variable}: not ")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """
    Something else is there already: exit code 4, and the variable's name.
    """
    (tmp_path / "file").touch()

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        answer = payments("dev", folder=place)

        assert answer.returncode == 4
        assert answer.stderr.startswith("payments: PAYMENTS_DEV_DIR: ")


def test_the_sandbox_beside_it_is_its_stripe(dev: Dev) -> None:
    """
    It has two products with monthly prices, and what happens there arrives here,
    whether it is called, or time passes; the service is configured to talk to it.
    """
    facts, email = dev.facts, "sam@example.com"
    prices = httpx.get(
        f"{facts['sandbox_url']}/v1/prices?active=true",
        headers={"Authorization": f"Bearer {facts['stripe_api_key']}"},
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


def test_what_the_sandbox_knows_outlives_a_kill(
    database_url: str, tmp_path: Path
) -> None:
    """
    Killed and started again, it has the customers that it had; wiped, it has none.
    """
    folder = tmp_path / ".payments"
    name = ("sandbox", "trigger", "customer.created", "--user", "kim")

    def customers() -> int:
        state = payments("sandbox", "state", "--json", folder=folder)
        return int(json.loads(state.stdout)["objects"].get("customer", 0))

    with running(folder, PAYMENTS_DATABASE_URL=database_url) as first:
        made = payments(*name, folder=folder)
        first.kill()
    assert processes_left(folder) == []
    with running(folder, PAYMENTS_DATABASE_URL=database_url):
        kept = customers()
    with running(folder, "--fresh", PAYMENTS_DATABASE_URL=database_url):
        wiped = customers()

    assert (made.returncode, kept, wiped) == (0, 1, 0)


def pid_of(folder: Path, *words: str) -> int:
    """Return the id of the one process of the folder with these words."""
    (found,) = (
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if all(word in command_of(process) for word in (str(folder), *words))
    )
    return found


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        # It ended while we looked.
        return ""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(POLL_S)


def readiness(dev: Dev) -> tuple[int, str]:
    answer = httpx.get(f"{dev.facts['ops_url']}/readyz", timeout=30)
    return answer.status_code, answer.json().get("reason", "")


def test_a_sandbox_that_dies_is_said_and_started_again(
    database_url: str, tmp_path: Path
) -> None:
    """
    Killed, and its next start held up: the service says so, and is not ready; once it
    starts it is where it was, what it was, and the service is ready.
    """
    folder = tmp_path / ".payments"
    journal, aside = folder / "sandbox.jsonl", folder / "aside.jsonl"
    name = "customer.subscription.created"

    def state() -> Any:
        done = payments("sandbox", "state", "--json", folder=folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with running(folder, PAYMENTS_DATABASE_URL=database_url) as dev:
        payments("sandbox", "trigger", name, "--user", "kim", folder=folder)
        payments("sandbox", "advance", "2 months", folder=folder)
        before, facts = state(), dev.facts
        assert readiness(dev) == (200, "")
        # The one that runs keeps its file; the next one cannot read this.
        journal.rename(aside)
        journal.write_text("nonsense\n")
        os.kill(pid_of(folder, "sandbox serve"), signal.SIGKILL)

        wait_for(
            lambda: readiness(dev) == (503, "the sandbox died and is started again")
        )
        wait_for(lambda: "the sandbox did not start" in dev.errors.read_text())
        assert readiness(dev) == (503, "the sandbox died and is started again")
        aside.rename(journal)
        wait_for(lambda: readiness(dev) == (200, ""))
        after = state()
        advanced = payments("sandbox", "advance", "1 day", folder=folder)
        assert dev.facts == facts
        assert dev.interrupt() == 0

    said = dev.errors.read_text()
    died = "payments: the sandbox died (killed by SIGKILL); it is started again now\n"
    assert said.startswith(died)
    assert said.endswith("payments: the sandbox is up again\n")
    assert before["now"] <= after["now"]
    for it in (before, after):
        # What has arrived by now is another matter.
        del it["now"], it["waiting_deliveries"]
    assert after == before
    assert advanced.returncode == 0
    assert processes_of(folder) == []


def test_a_postgres_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    """
    Where it was, with the data that it had; the service goes on.
    """
    folder = tmp_path / ".payments"
    died = "payments: the embedded Postgres died (exit code 1); it is started again now"
    again = "payments: the embedded Postgres is up again"

    with running(folder) as dev:
        dev.register("stays")
        server = folder / "postgres" / "data" / "postmaster.pid"
        os.kill(int(server.read_text().split()[0]), signal.SIGKILL)
        wait_for(lambda: again in dev.errors.read_text())
        wait_for(lambda: readiness(dev) == (200, ""))

        assert dev.status("stays").status_code == 200
        assert dev.interrupt() == 0
    assert dev.errors.read_text().startswith(f"{died}\n")
    assert processes_of(folder) == []


def test_who_names_a_stripe_gets_no_sandbox(database_url: str, tmp_path: Path) -> None:
    """
    A key of one's own is used as it is, and the commands for a sandbox say so.
    """
    folder, key = tmp_path / ".payments", "sk_test_" + "k" * 8

    with running(
        folder, PAYMENTS_DATABASE_URL=database_url, PAYMENTS_STRIPE_API_KEY=key
    ) as dev:
        facts = dev.facts
        answer = payments("sandbox", "state", folder=folder)

    assert "sandbox_url" not in facts
    assert answer.returncode == 6
    assert "talks to another Stripe" in answer.stderr


def test_the_demo_plays_a_year_and_leaves_nothing(tmp_path: Path) -> None:
    """
    Subscribed, eleven renewals, a card that fails in month seven, recovered, canceled;
    it touches nothing that the user has.
    """
    cwd, temporary = tmp_path / "cwd", tmp_path / "temporary"
    cwd.mkdir()
    temporary.mkdir()

    answer = payments(
        "dev",
        "--demo",
        folder=tmp_path / ".payments",
        cwd=cwd,
        TMPDIR=str(temporary),
        PAYMENTS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/mine",
    )

    assert (answer.returncode, answer.stderr) == (0, "")
    rows = [re.split(r"\s{2,}", line) for line in answer.stdout.splitlines()]
    assert rows[0] == ["day", "what happened", "status", "paid until", "why"]
    told = [(row[1], row[2]) for row in rows[1:]]
    assert told == [
        ("registered", "none"),
        ("subscribed", "paid"),
        *((f"renewal {month}", "paid") for month in range(1, 7)),
        ("renewal 7: the card fails", "failed"),
        ("Stripe tries again: recovered", "paid"),
        *((f"renewal {month}", "paid") for month in range(8, 12)),
        ("canceled", "paid"),
        ("a month later", "paid"),
    ]
    by_what = {row[1]: row for row in rows[1:]}
    failed = by_what["renewal 7: the card fails"]
    assert failed[4].endswith("failed (insufficient_funds)")
    # A failure takes no paid time away, and every payment adds some.
    assert failed[3] == by_what["renewal 6"][3]
    until = [row[3] for row in rows[2:]]
    assert until == sorted(until)
    assert len(set(until)) == 12
    assert datetime.fromisoformat(rows[-1][0]).date() == datetime.now(UTC).date()
    assert list(cwd.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / ".payments").exists()
    assert processes_of(tmp_path) == []
