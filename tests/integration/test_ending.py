"""SIGTERM ends a serving process at any time, with exit code 0."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import attrs
import httpx
import pytest

from support import databases
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import World, free_port

ENDS_WITHIN_S: Final = 30.0
BYTES_MAX: Final = 65_536

commands = pytest.mark.parametrize("command", ["worker", "serve"])
signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@contextmanager
def begun(
    command: str, env: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments_service", command],
            env=env,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def assert_ends(
    process: "subprocess.Popen[bytes]", number: signal.Signals, log: Path
) -> None:
    """Assert that it ends well, although it is signalled again and again meanwhile."""
    process.send_signal(number)
    for _ in range(int(ENDS_WITHIN_S * 100)):
        with suppress(subprocess.TimeoutExpired):
            assert (process.wait(0.01), log.read_text().count("Traceback")) == (0, 0)
            return
        process.send_signal(number)
    pytest.fail(f"it did not end: {log.read_text()}")


@commands
@signals
def test_f07_it_ends_while_it_reads_its_settings(
    command: str, number: signal.Signals, tmp_path: Path
) -> None:
    """
    No loop runs yet. A secret's file that never ends holds the process there.
    """
    secret, log = tmp_path / "secret", tmp_path / "log"
    os.mkfifo(secret)
    env = World("postgresql://nobody@127.0.0.1:1/none").env(free_port(), free_port())
    env["PAYMENTS_JWT_KEYS_FILE"], _ = str(secret), env.pop("PAYMENTS_JWT_KEYS")
    with begun(command, env, log) as process, secret.open("wb"):
        assert_ends(process, number, log)


@attrs.define
class Lines:
    """A proxy to a database: silent once `word` is sent, and then closes no connection.

    Without a word it is silent from the first connection on.
    """

    address: tuple[str, int]
    word: bytes
    silent: threading.Event = attrs.field(factory=threading.Event)
    held: list[socket.socket] = attrs.field(factory=list)

    def take(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                self.held.append(listener.accept()[0])
                if self.word and not self.silent.is_set():
                    self.held.append(socket.create_connection(self.address))
                    near, far = self.held[-2:]
                    in_thread(self.pass_on, near, far)
                    in_thread(self.pass_on, far, near)
                else:
                    self.silent.set()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BYTES_MAX):
                if self.word in data:
                    self.silent.set()
                if not self.silent.is_set():
                    target.sendall(data)
            if not self.silent.is_set():
                target.shutdown(socket.SHUT_WR)


def in_thread(do: Callable[..., None], *args: socket.socket) -> None:
    threading.Thread(target=do, args=args, daemon=True).start()


@contextmanager
def database_silent_at(dsn: str, word: bytes) -> Iterator[tuple[str, threading.Event]]:
    """Lend a database that falls silent at `word`, and the event of that."""
    parts = urlsplit(dsn)
    lines = Lines((parts.hostname or "127.0.0.1", parts.port or 5432), word)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        in_thread(lines.take, listener)
        where = f"{parts.username}:{parts.password}@127.0.0.1"
        netloc = f"{where}:{listener.getsockname()[1]}"
        try:
            yield urlunsplit(parts._replace(netloc=netloc)), lines.silent
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for line in lines.held:
                line.close()


@commands
@pytest.mark.parametrize(
    "word",
    [
        pytest.param(b"", marks=only_in_prove),
        b"alembic_version",
        pytest.param(b"deployment", marks=only_in_prove),
    ],
)
def test_f07_it_ends_while_the_database_is_silent(
    command: str, word: bytes, database_url: str, tmp_path: Path
) -> None:
    """
    From the first connection on, during the check of the schema, or during the check of
    the mode.
    """
    log = tmp_path / "log"
    with database_silent_at(database_url, word) as (dsn, silent):
        env = World(dsn).env(free_port(), free_port())
        with begun(command, env, log) as process:
            assert silent.wait(ENDS_WITHIN_S)
            assert_ends(process, signal.SIGTERM, log)


@commands
@signals
def test_f07_it_ends_once_however_often_it_is_told(
    command: str, number: signal.Signals, database_url: str, tmp_path: Path
) -> None:
    """
    The last signals arrive when the loop is closed already.
    """
    ops_port, log = free_port(), tmp_path / "log"
    env = World(database_url).env(free_port(), ops_port)
    with begun(command, env, log) as process:
        while not is_ready(f"http://127.0.0.1:{ops_port}/readyz"):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        assert_ends(process, number, log)


@pytest.mark.parametrize(
    "command", ["serve", pytest.param("worker", marks=only_in_prove)]
)
def test_f07_f11_it_starts_and_ends_while_the_database_only_reads(
    command: str, database_url: str, tmp_path: Path
) -> None:
    """
    It is not ready and says why, and is alive: a restart would repair nothing.
    """
    ops_port, log = free_port(), tmp_path / "log"
    # As the first process stamped it.
    databases.run(databases.execute(database_url, _STAMP))
    databases.run(databases.only_read(database_url, on=True))
    url = f"http://127.0.0.1:{ops_port}"
    env = World(database_url).env(free_port(), ops_port)
    with begun(command, env, log) as process:
        while reason_at(url) != "database_read_only":
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        alive = httpx.get(f"{url}/livez", timeout=5, verify=TLS)
        shown = httpx.get(f"{url}/metrics", timeout=5, verify=TLS).text
        assert_ends(process, signal.SIGTERM, log)
    assert alive.status_code == 200
    assert "payments_database_writable 0.0" in shown


_STAMP: Final = "insert into deployment (singleton, livemode) values (true, false)"


def reason_at(url: str) -> str | None:
    """Return why a process is not ready; None if it is, or does not listen yet."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5, verify=TLS)
    except httpx.HTTPError:
        return None
    reason: str | None = answer.json().get("reason")
    return reason


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, verify=TLS).is_success
    except httpx.HTTPError:
        return False
