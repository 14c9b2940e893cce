"""A real PgBouncer in transaction mode, Debian's package `pgbouncer`."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

START_S_MAX: Final = 30.0
# More than the tests, or the processes of a benchmark, ever open at once.
CLIENTS_MAX: Final = 2_000
_ELSEWHERE: Final = "/usr/sbin:/usr/local/sbin"


def find_pgbouncer() -> str | None:
    """Return its path; Debian installs it where only root's PATH finds it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_ELSEWHERE)


@contextmanager
def through_pgbouncer(path: str, dsn: str, sessions: int) -> Iterator[str]:
    """Lend the DSN of a server's databases through a PgBouncer.

    `sessions` is the number of sessions of each database.
    """
    parts, port = urlsplit(dsn), _free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port}"
            f" user={parts.username} password={parts.password}\n"
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\n"
            f"listen_port = {port}\nauth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {sessions}\nserver_round_robin = 1\n"
            f"max_client_conn = {CLIENTS_MAX}\n"
        )
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen(
            [path, "-q", *user, str(folder / "pgbouncer.ini")],
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                _await_listener(process, port)
                login = parts.netloc.rpartition("@")[0]
                yield urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
            finally:
                process.terminate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_listener(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), START_S_MAX).close()
        except ConnectionRefusedError:
            # Blocks shortly instead of a sleep.
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        else:
            return
    raise RuntimeError("pgbouncer did not start")
