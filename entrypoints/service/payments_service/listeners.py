"""The sockets of the service and of its ops port."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen at once: two processes may bind one port until one listens.

    Port 0 binds a free port.

    Raises:
        OSError: the address is in use, or not on this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only for a socket that says it is TCP;
    # otherwise each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def url_of(listener: socket.socket, host: str) -> str:
    """Return the address by which this machine reaches a listener."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port_of(listener)}"
