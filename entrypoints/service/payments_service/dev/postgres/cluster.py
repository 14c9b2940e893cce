"""A cluster in its folder: create, check, serve and stop it."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from payments_service.dev.postgres.account import Account
from payments_service.dev.postgres.binaries import major
from payments_service.dev.postgres.errors import OtherVersion, StartFailed
from payments_service.dev.postgres.locks import POLL_SECONDS
from payments_service.dev.postgres.owner import Owner

USER: Final = "payments"
# Recovery after a crash is part of a start, and a test machine may be busy.
START_SECONDS_MAX: Final = 120
STOP_SECONDS_MAX: Final = 60
PORT_ATTEMPTS_MAX: Final = 5
LOG_TAIL_BYTES: Final = 2000
SHARED_BUFFERS_MB: Final = 64

_SETTINGS: Final = (
    "listen_addresses=127.0.0.1",
    # A socket's path has at most 107 bytes; a folder's path can be longer.
    "unix_socket_directories=",
    "max_connections=100",
    "timezone=UTC",
    "log_timezone=UTC",
)
# A committed transaction survives a killed server, but not a power failure.
_FAST_SETTINGS: Final = ("fsync=off", "full_page_writes=off")
# The variables that the server needs; others may be secret.
_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@attrs.frozen
class Cluster:
    """A cluster in a folder; its user must hold both locks of the folder."""

    home: Path
    binaries: Path
    account: Account
    owner: Owner
    lock: int
    durable: bool
    shared_buffers_mb: int = SHARED_BUFFERS_MB

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def password(self) -> Path:
        return self.home / "password"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def prepare(self) -> None:
        """Provide a complete cluster of our version, without traces of an old one."""
        if self.data.exists():
            self._check_version()
        if self.log.exists():
            self.log.replace(self.home / "server.log.1")
        if not self.data.exists():
            self._create()
        self.account.own(self.data, self.password)
        # The lock proves that the old server is dead, but another process may have its
        # id now, and PostgreSQL would take that process for the server.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def serve(self, port: int) -> tuple[subprocess.Popen[bytes], int]:
        """Start the server; return it and its port once it accepts connections."""
        if port:
            return self._serve_on(port)
        for _ in range(PORT_ATTEMPTS_MAX - 1):
            try:
                return self._serve_on(_free_port())
            except StartFailed as failure:
                # Another process took the port between our check and the server's.
                if "Address already in use" not in failure.log:
                    raise
        return self._serve_on(_free_port())

    def _create(self) -> None:
        fresh = self.home / "data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        self._choose_password()
        initdb = self._spawn("initdb", *self._initdb_options(fresh))
        self._await(initdb, lambda: initdb.poll() is not None)
        if initdb.returncode != 0:
            raise StartFailed("initdb failed", self._log_tail())
        fresh.rename(self.data)
        _sync(self.home)

    def _choose_password(self) -> None:
        self.password.unlink(missing_ok=True)
        self.password.touch(mode=0o600, exist_ok=False)
        self.password.write_text(secrets.token_urlsafe(24))
        _sync(self.password)
        self.account.own(self.password)

    def _initdb_options(self, fresh: Path) -> list[str]:
        return [
            f"--pgdata={fresh}",
            f"--username={USER}",
            f"--pwfile={self.password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
            *([] if self.durable else ["--no-sync"]),
        ]

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        said = subprocess.check_output(  # noqa: S603  # the binaries we chose
            [self.binaries / "postgres", "--version"], env=_environment(), text=True
        )
        if major(found) != major(said):
            raise OtherVersion(str(self.home), found, str(major(said)))

    def _serve_on(self, port: int) -> tuple[subprocess.Popen[bytes], int]:
        settings = (
            *_SETTINGS,
            f"shared_buffers={self.shared_buffers_mb}MB",
            *(() if self.durable else _FAST_SETTINGS),
        )
        options = [option for setting in settings for option in ("-c", setting)]
        server = self._spawn("postgres", "-D", str(self.data), f"-p{port}", *options)
        self._await(server, lambda: self._is_ready(server) or server.poll() is not None)
        if server.returncode is not None:
            raise StartFailed("the server ended", self._log_tail())
        return server, port

    def _is_ready(self, server: subprocess.Popen[bytes]) -> bool:
        """Read `postmaster.pid`: its first line is the id, its eighth the state."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(server.pid)] and lines[7:8] == ["ready   "]

    def _spawn(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        supervisor = os.getpid()

        def become() -> None:
            # In this order: the kernel drops the request at a change of account.
            self.account.become()
            _die_with(supervisor)

        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # the binaries we chose
                [self.binaries / program, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=_environment(),
                pass_fds=[self.lock],
                preexec_fn=become,  # noqa: PLW1509  # the supervisor has one thread
                start_new_session=True,
            )

    def _await(
        self, process: subprocess.Popen[bytes], done: Callable[[], bool]
    ) -> None:
        """Return once it is done; stop the process if that fails."""
        try:
            self._watch(done)
        except BaseException:
            stop(process)
            raise

    def _watch(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not done():
            if self.owner.is_gone(POLL_SECONDS):
                raise StartFailed("its owner has ended")
            if time.monotonic() > deadline:
                raise StartFailed("it took too long", self._log_tail())

    def _log_tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return kept | {"LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop with a fast shutdown, else an immediate one, else SIGKILL."""
    seconds_max = STOP_SECONDS_MAX / 4
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds_max)
            return


def _die_with(parent: int) -> None:
    """Ask the kernel for an immediate shutdown when the supervisor dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != parent:
        os._exit(1)
