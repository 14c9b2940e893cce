"""Which addresses a webhook is sent to: SSRF, as a table."""

from typing import Final

import pytest

from payments_adapters.webhooks_out.addresses import refusal_of

PUBLIC: Final = [
    "93.184.216.34",
    "1.1.1.1",
    "2606:4700:4700::1111",
    # IPv4 addresses within IPv6 addresses: mapped, by NAT64, by 6to4.
    "::ffff:93.184.216.34",
    "64:ff9b::5db8:d822",
    "2002:5db8:d822::1",
]
PRIVATE: Final = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "2001:db8::1",
    "3fff::1",
    "64:ff9b:1::a00:1",
    "64:ff9b:1:a00:0:100::",
    "64:ff9b:1:fffe::a00:1",
    "::ffff:0:10.0.0.1",
    "::ffff:0:93.184.216.34",
    "100::1",
    "4000::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:7f00:1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    # Teredo, of a client at 127.0.0.1: its bits are inverted.
    "2001:0:5db8:d822:0:0:80ff:fffe",
]
NEVER: Final = [
    "0.0.0.0",  # noqa: S104  # nothing is bound to it
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "192.0.0.192",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:168.63.129.16",
    # Translated by a network's own prefix: without a state, and of 96, 48, 56, 64 bits.
    "::ffff:0:169.254.169.254",
    "::ffff:0:168.63.129.16",
    "::ffff:0:224.0.0.1",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:fffe::a83f:8110",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9fe:a9:fe00::1",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "2001:0:5db8:d822:0:0:5601:5601",
    "ff02::1%eth0",
    # Names and spellings: connections are made only to the result of a look-up.
    "localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_t67_a_public_address_is_connected_to(address: str) -> None:
    """
    Whether private ones are allowed or not.
    """
    assert refusal_of(address, allow_private=False) is None
    assert refusal_of(address, allow_private=True) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_t67_a_private_address_is_connected_to_where_it_is_allowed(
    address: str,
) -> None:
    """
    However it is written.
    """
    assert refusal_of(address, allow_private=False) == (
        "not globally routable, and allow_private is not set"
    )
    assert refusal_of(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_t67_an_address_that_is_no_hosts_is_never_connected_to(address: str) -> None:
    """
    Not a cloud's metadata address, nor a link-local, multicast or unspecified one.
    """
    for allow_private in (False, True):
        assert refusal_of(address, allow_private=allow_private) in {
            "link-local, multicast or reserved",
            "no address",
        }
