"""The process between the owner and the server: it outlives neither.

It reports the start in one line of JSON: `pid`, `port` and `password`, or the name of
an `error` and its attributes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from payments_service.dev.postgres.account import Account
from payments_service.dev.postgres.binaries import copy_of
from payments_service.dev.postgres.cluster import Cluster, stop
from payments_service.dev.postgres.errors import EmbeddedPostgresError, StartFailed
from payments_service.dev.postgres.locks import ORPHAN_SECONDS_MAX, locked
from payments_service.dev.postgres.owner import Owner

SERVER_POLL_SECONDS: Final = 0.2


def _supervise(  # noqa: PLR0913  # each a flag of the owner's, by name
    home: Path,
    binaries: Path,
    *,
    ephemeral: bool,
    durable: bool,
    port: int,
    shared_buffers_mb: int,
) -> None:
    owner = Owner.of_this_process()
    home.mkdir(mode=0o700, parents=not ephemeral, exist_ok=not ephemeral)
    # The owner's lock is released first: the next owner can start, and then waits for
    # the server's lock.
    with ExitStack() as after, locked(home / "owner.lock", 0):
        if ephemeral:
            after.callback(shutil.rmtree, home, ignore_errors=True)
        lock = after.enter_context(locked(home / "server.lock", ORPHAN_SECONDS_MAX))
        account, ours = _settle(home, binaries)
        cluster = Cluster(home, ours, account, owner, lock, durable, shared_buffers_mb)
        cluster.prepare()
        server, port = cluster.serve(port)
        after.callback(stop, server)
        _report(pid=server.pid, port=port, password=cluster.password.read_text())
        while not owner.is_gone(SERVER_POLL_SECONDS):
            if server.poll() is not None:
                sys.exit(1)


def _settle(home: Path, binaries: Path) -> tuple[Account, Path]:
    """Choose the account, and make sure that it reaches the folder and the binaries."""
    account = Account.choose()
    if os.geteuid() == 0:
        os.chown(home, account.uid, account.gid)
    if not account.reaches(home):
        raise StartFailed(f"its account cannot enter {home}; choose another folder")
    if not account.reaches(binaries / "postgres"):
        binaries = copy_of(binaries, home / "binaries")
        account.own(home / "binaries")
    return account, binaries


def _report(**facts: object) -> None:
    # A dead owner does not read the pipe; `Owner.is_gone` notices that. The write is
    # unbuffered, because flushing a broken pipe at exit would raise an error.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{json.dumps(facts)}\n".encode())


def _ignore(*_: object) -> None:
    """Ignore a signal: only the end of the owner ends the supervisor.

    It is a handler instead of SIG_IGN, which the server would inherit.
    """


def main(home: str, binaries: str, flags: str) -> None:
    """Run the supervisor, and report the start to the owner in one line of JSON."""
    os.umask(0o077)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _ignore)
    try:
        _supervise(Path(home), Path(binaries), **json.loads(flags))
    except EmbeddedPostgresError as error:
        # An error's attributes are the arguments of its constructor.
        _report(error=type(error).__name__, about=vars(error))
    except (OSError, subprocess.SubprocessError) as error:
        _report(error=StartFailed.__name__, about={"reason": str(error)})
