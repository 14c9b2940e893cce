"""Which addresses may be connected to: public ones, and private ones if allowed.

Rule 1: the meaning of an address decides, however it is written: an IPv4 address
        embedded in an IPv6 address counts as the IPv4 address. If a network translates
        by a prefix of its own, every IPv4 address that could be meant counts.
Rule 2: link-local addresses (a cloud's metadata is one), and multicast, unspecified and
        reserved addresses are never connected to.
Rule 3: an address that is not globally routable is connected to only if private
        addresses are allowed.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import attrs

from payments_core.deliveries import AT_ONCE

Address = IPv4Address | IPv6Address
# Returns all addresses of a host, and blocks; raises OSError if it has none.
LookUp = Callable[[str, int], Sequence[str]]
THREADS: Final = "names of "

_METADATA_V4: Final = [
    IPv4Network(it)
    for it in (
        "169.254.0.0/16",
        # Protocol assignments; Oracle's metadata.
        "192.0.0.0/24",
        # Alibaba's metadata.
        "100.100.100.200/32",
        # Azure's WireServer: globally routable, but on the host.
        "168.63.129.16/32",
    )
]
_NEVER: Final[Sequence[IPv4Network | IPv6Network]] = [
    *_METADATA_V4,
    *(
        ip_network(it)
        for it in (
            "0.0.0.0/8",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/128",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
            # Metadata of AWS and of Google.
            "fd00:ec2::/32",
            "fd20:ce::/32",
        )
    ),
]
# The part of IPv6 that is allocated for routing.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_RELAYS_V4: Final = IPv4Network("192.88.99.0/24")
_DOCUMENTATION_V6: Final = IPv6Network("3fff::/20")
_NAT64: Final = IPv6Network("64:ff9b::/96")
# RFC 8215: a network's own prefix, of any length in RFC 6052.
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
# Stateless translation (RFC 7915).
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_V4_BITS: Final = 2**32 - 1


def refusal_of(text: str, *, allow_private: bool) -> str | None:
    """Return why an address must not be connected to; None if it may."""
    try:
        address = _meant(ip_address(text))
    except ValueError:
        return "no address"
    if any(address in it for it in _NEVER) or _may_mean_metadata(address):
        return "link-local, multicast or reserved"
    if allow_private or _is_global(address):
        return None
    return "not globally routable, and allow_private is not set"


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _COMPATIBLE and not (address.is_loopback or address.is_unspecified):
        return IPv4Address(int(address) & _V4_BITS)
    if address in _NAT64:
        return IPv4Address(int(address) & _V4_BITS)
    tunnel = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or tunnel or address


def _may_mean_metadata(address: Address) -> bool:
    """Return whether a network may translate it to a forbidden address."""
    if isinstance(address, IPv4Address):
        return False
    if address in _TRANSLATED:
        last = IPv4Address(int(address) & _V4_BITS)
        return any(last in it for it in _NEVER)
    # Most of the possible readings are meaningless: only single hosts are checked.
    return address in _LOCAL_NAT64 and any(
        reading in it for reading in _readings(address) for it in _METADATA_V4
    )


def _readings(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 address behind each length of prefix (RFC 6052, 2.2)."""
    it = address.packed
    # The ninth byte is never part of it.
    for digits in (it[6:8] + it[9:11], it[7:8] + it[9:12], it[9:13], it[12:]):
        yield IPv4Address(digits)


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and address not in _RELAYS_V4
    return (
        address.is_global and address in _GLOBAL_V6 and address not in _DOCUMENTATION_V6
    )


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@attrs.frozen
class Resolver:
    """Resolves names in threads of its own, which may hang without delaying others.

    A look-up in progress cannot be cancelled: if a name server does not answer, the
    thread is busy for as long as the system waits.
    """

    _threads: ThreadPoolExecutor
    _look_up: LookUp

    @classmethod
    def of(cls, endpoint: str, lookup: LookUp) -> "Resolver":
        name = f"{THREADS}{endpoint}"
        return cls(ThreadPoolExecutor(AT_ONCE, thread_name_prefix=name), lookup)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, once a thread is free.

        Raises:
            OSError, UnicodeError: the host has no address.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._look_up, host, port)

    def close(self) -> None:
        """Start no further look-up; do not wait for one in progress."""
        self._threads.shutdown(wait=False, cancel_futures=True)
