"""The sandbox of a development service, as a process of its own."""

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
    """Run a sandbox that forwards webhooks; it ends with this process in any case.

    Port 0 chooses a free port.

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
        # It reads nothing; the end of its stdin tells it that this process ended.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **names},
        # Ctrl-C must reach only us: otherwise the sandbox would seem to have crashed.
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
        # The sandbox printed the reason on stderr.
        raise CommandError(Exit.DEPENDENCY_DOWN, "the sandbox did not start")
    return str(json.loads(line)["sandbox_url"])


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
