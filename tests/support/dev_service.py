"""`payments dev` as a person runs it: a process in a terminal of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from support.plain_http import TLS
from support.service import PREFIX

START_S_MAX = 60.0
END_S_MAX = 60.0
POLL_S = 0.05
COMMAND = (sys.executable, "-m", "payments_service")
# A progress line: the current step and its start.
_STEP: Final = re.compile(r" *\d+\.\d s  \S.*")


def environment(folder: Path, env: Mapping[str, str | None]) -> dict[str, str]:
    """Return a command's minimal environment, and `env`; None removes a default."""
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
class DevProcess:
    folder: Path
    process: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.folder / "dev.json").read_text())
        return facts

    @property
    def steps(self) -> str:
        """Return the progress that it reports."""
        return "\n".join(filter(_STEP.fullmatch, self._said()))

    @property
    def messages(self) -> str:
        """Return its other lines on stderr: errors."""
        others = (it for it in self._said() if not _STEP.fullmatch(it))
        return "".join(f"{line}\n" for line in others)

    def _said(self) -> list[str]:
        return self.errors.read_text().splitlines()

    def has_started(self) -> bool:
        return "webhook send" in self.output.read_text()

    def status(self, user: str, token: str | None = None) -> httpx.Response:
        return self._call("GET", f"{user}/payment-status", token)

    def register(self, user: str) -> None:
        self.call("PUT", user, {"email": f"{user}@example.com"})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the service about a user as an administrator; return the answer."""
        return self._call(method, path, None, body).raise_for_status().json()

    def customers(self, **params: str) -> list[Any]:
        """Return the customers of the sandbox."""
        return self._stripe("customers", **params)

    def renewals(self, email: str) -> list[str]:
        """Return the outcome of each renewal of a customer of the sandbox."""
        customer = self.customers(email=email)[0]["id"]
        invoices = self._stripe("invoices", customer=customer)
        renewed = "subscription_cycle"
        return [it["status"] for it in invoices if it["billing_reason"] == renewed]

    def card_of(self, email: str) -> str:
        """Return the default payment method of a customer of the sandbox."""
        customer = self.customers(email=email)[0]
        return str(customer["invoice_settings"]["default_payment_method"])

    def _stripe(self, path: str, **params: str) -> list[Any]:
        facts = self.facts
        headers = {"Authorization": f"Bearer {facts['stripe_api_key']}"}
        url = f"{facts['sandbox_url']}/v1/{path}"
        answer = httpx.get(url, params=params, headers=headers, timeout=30, verify=TLS)
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
            verify=TLS,
        )

    def interrupt(self) -> int:
        """Press Ctrl-C: a terminal signals the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(END_S_MAX)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(END_S_MAX)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def begin(folder: Path, *words: str, **env: str | None) -> DevProcess:
    """Start it in a session of its own, as in a terminal of its own."""
    return begin_by(COMMAND, folder, *words, **env)


def begin_by(
    program: Sequence[str], folder: Path, *words: str, **env: str | None
) -> DevProcess:
    """Start it from another program."""
    output, errors = folder.with_suffix(".out"), folder.with_suffix(".err")
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [*program, "dev", *words],
            env=environment(folder, env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return DevProcess(folder, process, output, errors)


def await_start(dev: DevProcess) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not dev.has_started():
        assert time.monotonic() < deadline
        try:
            code = dev.process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"exit code {code}: {dev.errors.read_text()}")


@contextmanager
def running(folder: Path, *words: str, **env: str | None) -> Iterator[DevProcess]:
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
            # It ended during the read.
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


@contextmanager
def taken(port: int) -> Iterator[int]:
    """Listen on a port, unless another process does already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            yield port
        else:
            yield listener.getsockname()[1]


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
        # It ended during the read.
        return ""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(POLL_S)


def readiness(dev: DevProcess) -> tuple[int, str]:
    answer = httpx.get(f"{dev.facts['ops_url']}/readyz", timeout=30, verify=TLS)
    return answer.status_code, answer.json().get("detail", "")
