"""haproxy in front of serving processes, as an ingress in front of pods.

It polls /readyz at the ops port, and reuses connections. It hides no failure: a request
that was sent is never sent again.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from support.service import free_port

# A process is taken out, or back in, within two of these.
_CHECKED_EVERY_MS: Final = 100
_CONFIG: Final = """
global
    maxconn 500
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 5s
    option http-keep-alive
    http-reuse always
    retries {retries}
    {redispatch}
frontend callers
    bind 127.0.0.1:{port}
    default_backend services
backend services
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
"""
_SERVER: Final = (
    "    server s{number} 127.0.0.1:{port} check port {ops_port}"
    " inter {every}ms fall 2 rise 1\n"
)


@contextmanager
def balanced(
    ports: Sequence[tuple[int, int]], folder: Path, *, tries_others: bool = False
) -> Iterator[int]:
    """Lend the port in front of processes, given by their ports and ops ports.

    With `tries_others` it takes another process if it cannot connect, as every ingress
    does: nothing was sent by then. Otherwise that is a failure, too.
    """
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("NOT PROVEN: haproxy, which stands in front, is not here")
    port, config = free_port(), folder / "haproxy.cfg"
    text = _CONFIG.format(
        port=port,
        retries=3 if tries_others else 0,
        redispatch="option redispatch 1" if tries_others else "no option redispatch",
    )
    for number, (its_port, ops_port) in enumerate(ports):
        text += _SERVER.format(
            number=number, port=its_port, ops_port=ops_port, every=_CHECKED_EVERY_MS
        )
    config.write_text(text)
    process = subprocess.Popen([program, "-db", "-q", "-f", config])
    try:
        while not _takes(port):
            assert process.poll() is None, "haproxy did not start"
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _takes(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
