"""Run a server for the duration of a block: the owner's side."""

import json
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import attrs

import payments_service
from payments_service.dev.postgres.binaries import find_binaries
from payments_service.dev.postgres.cluster import (
    SHARED_BUFFERS_MB,
    STOP_SECONDS_MAX,
    USER,
)
from payments_service.dev.postgres.errors import (
    EmbeddedPostgresError,
    FolderInUse,
    OtherVersion,
    StartFailed,
)
from payments_service.dev.postgres.locks import ORPHAN_SECONDS_MAX, locked

# The folder of our package, from wherever the owner imported it.
_ROOT: Final = Path(payments_service.__file__).parents[1]
_PROGRAM: Final = """
import sys
sys.path.append(sys.argv.pop(1))
from payments_service.dev.postgres.supervisor import main
main(*sys.argv[1:])
"""

_REPORTED: Final[Mapping[str, type[EmbeddedPostgresError]]] = {
    kind.__name__: kind for kind in (FolderInUse, OtherVersion, StartFailed)
}


def _without_password(dsn: str) -> str:
    return repr(re.sub(r":[^:@]*@", ":***@", dsn))


@attrs.frozen
class EmbeddedPostgres:
    """A server that answers: its DSN for a superuser, and the postmaster's id.

    `process` is its supervisor, which ends when the server does.
    """

    dsn: str = attrs.field(repr=_without_password)
    pid: int
    port: int
    process: "subprocess.Popen[bytes]" = attrs.field(repr=False)


@contextmanager
def embedded_postgres(
    folder: Path | None = None,
    *,
    port: int = 0,
    durable: bool | None = None,
    shared_buffers_mb: int = SHARED_BUFFERS_MB,
) -> Iterator[EmbeddedPostgres]:
    """Run a server until the block ends.

    With a `folder` the data and the password are stored there. Without one they are in
    a temporary folder that is removed with the server. Port 0 chooses a free port.
    `durable` is whether a commit waits for the disk: by default only with a `folder`.
    `shared_buffers_mb` is the size of the server's page cache.

    Raises:
        NoPostgres: no binaries were found.
        FolderInUse: the folder already has an owner.
        OtherVersion: the folder was created by another major version.
        StartFailed: anything else, with the end of the server's log.
    """
    home = folder.absolute() if folder else _ephemeral()
    flags = {
        "ephemeral": folder is None,
        "durable": durable if durable is not None else folder is not None,
        "port": port,
        "shared_buffers_mb": shared_buffers_mb,
    }
    supervisor = _start_supervisor(home, find_binaries(), flags)
    try:
        yield _answer(supervisor)
    finally:
        _dismiss(supervisor)
        if folder is None:
            _discard(home)


def _ephemeral() -> Path:
    """Name a folder; the supervisor creates it, so that it cannot be left behind."""
    name = f"payments-postgres-{secrets.token_hex(8)}"
    return Path(tempfile.gettempdir()).absolute() / name


def _start_supervisor(
    home: Path, binaries: Path, flags: Mapping[str, object]
) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches only the owner, which can still use the
    # database while it shuts down. The supervisor gets the path of our package, because
    # its `sys.path` differs from the owner's; -P excludes the working folder.
    program = [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT)]
    return subprocess.Popen(  # noqa: S603  # our own interpreter and program
        [*program, home, binaries, json.dumps(flags)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )


def _answer(supervisor: subprocess.Popen[bytes]) -> EmbeddedPostgres:
    line = _open(supervisor.stdout).readline()
    if not line:
        raise StartFailed("its supervisor died")
    report = json.loads(line)
    if "error" in report:
        raise _REPORTED[report["error"]](**report["about"])
    pid, port = report["pid"], report["port"]
    where = f"{USER}:{report['password']}@127.0.0.1:{port}"
    return EmbeddedPostgres(f"postgresql://{where}/postgres", pid, port, supervisor)


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise StartFailed("its supervisor has no pipe")
    return pipe


def _dismiss(supervisor: subprocess.Popen[bytes]) -> None:
    # Send a byte, because a forked child may still hold the pipe open.
    try:
        supervisor.communicate(b"\n", timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.communicate()


def _discard(home: Path) -> None:
    """Remove the folder that a killed supervisor left, once its server is dead."""
    if home.exists():
        with suppress(FolderInUse), locked(home / "server.lock", ORPHAN_SECONDS_MAX):
            shutil.rmtree(home, ignore_errors=True)
