"""The sandbox beside a development service: a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import attrs

from payments_sandbox.cli.client import SandboxClient
from payments_service.cli.exit_codes import CommandError, Exit

END_S_MAX: Final = 30.0


@attrs.frozen
class RunningSandbox:
    """A sandbox that answers, and its process."""

    client: SandboxClient
    process: "subprocess.Popen[bytes]"

    @property
    def port(self) -> int:
        return int(self.client.url.rpartition(":")[2])


@contextmanager
def sandbox_process(  # noqa: PLR0913  # a parameter for each option
    journal: Path,
    clock_file: Path,
    *,
    key: str,
    forward: str,
    secret: str,
    port: int = 0,
    options: tuple[str, ...] = (),
) -> Iterator[RunningSandbox]:
    """Run a sandbox that forwards webhooks; it ends with us, however we end.

    Port 0 takes a free one.

    Raises:
        CommandError: it did not start.
    """
    command = (
        *(sys.executable, "-m", "payments_service", "sandbox", "serve"),
        *("--port", str(port), "--catalog", "--json", "--while-stdin-is-open"),
        *("--journal", str(journal), "--clock-file", str(clock_file)),
        *("--forward", forward, *options),
    )
    # Not on the command line, where every user of the machine could read them.
    names = {"PAYMENTS_SANDBOX_KEY": key, "PAYMENTS_SANDBOX_SERVE_SECRET": secret}
    process = subprocess.Popen(  # noqa: S603  # our own command
        command,
        # It reads nothing; that its end is open is how it knows that we live.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **names},
        # Ctrl-C is for us: else it would seem that the sandbox had died by itself.
        start_new_session=True,
    )
    with process:
        try:
            client = SandboxClient(_address(process.stdout), key)
            yield RunningSandbox(client, process)
        finally:
            _end(process)


def _address(said: IO[bytes] | None) -> str:
    line = said.readline() if said else b""
    if not line:
        # Why, it has said itself, on stderr.
        raise CommandError(Exit.DEPENDENCY_DOWN, "the sandbox did not start")
    return str(json.loads(line)["sandbox_url"])


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
