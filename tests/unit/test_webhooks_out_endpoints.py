"""The file of delivery endpoints: valid contents, and messages about invalid ones."""

import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import pytest

from payments_adapters.webhooks_out import DeliveryEndpoint, read_endpoints
from payments_adapters.webhooks_out.endpoints import Target, has_secret
from payments_adapters.webhooks_out.signing import written
from payments_core.errors import InvalidValue

URL: Final = "https://crm.example/hooks"
NO_URL: Final = "not https://host/path in ASCII, without a user, password or fragment"


def a_key() -> bytes:
    return secrets.token_bytes(32)


def files(**texts: str) -> Any:
    def read(path: str) -> str:
        if path not in texts:
            raise ValueError("cannot be read: No such file or directory")
        return texts[path]

    return read


def toml(**endpoints: Mapping[str, Any]) -> str:
    """Return a file; a JSON text, list or bool is also valid TOML."""
    lines = []
    for name, fields in endpoints.items():
        lines.append(f"[endpoints.{json.dumps(name)}]")
        lines += [f"{field} = {json.dumps(it)}" for field, it in fields.items()]
    return "\n".join(lines)


def faults(text: str, **texts: str) -> list[str]:
    with pytest.raises(InvalidValue) as raised:
        read_endpoints(text, files(**texts))
    return raised.value.reason.split("; ")


def test_an_endpoint_needs_its_address_and_a_secret() -> None:
    """
    Everything else has a default.
    """
    key = a_key()

    [found] = read_endpoints(toml(crm={"url": URL, "secrets": [written(key)]}), files())

    assert found == DeliveryEndpoint(
        name="crm",
        target=Target("https", "crm.example", 443, "/hooks"),
        secrets=(key,),
        allow_private=False,
        timeout=timedelta(seconds=15),
        from_start=False,
    )
    assert repr(key) not in repr(found)


def test_everything_that_an_endpoint_may_say_is_read() -> None:
    """
    Secrets of files come after those of the file itself.
    """
    one, two = a_key(), a_key()
    fields = {
        "url": "http://[fd12::1]:8080?a=b",
        "secrets": [written(one)],
        "secrets_files": ["two"],
        "allow_private": True,
        "timeout_s": 30,
        "from_start": True,
    }

    [found] = read_endpoints(toml(shop=fields), files(two=written(two)))

    assert found == DeliveryEndpoint(
        name="shop",
        target=Target("http", "fd12::1", 8080, "/?a=b"),
        secrets=(one, two),
        allow_private=True,
        timeout=timedelta(seconds=30),
        from_start=True,
    )
    assert found.target.authority == "[fd12::1]:8080"
    assert has_secret(found, [written(two)])
    assert not has_secret(found, [written(a_key())])


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        (URL, "crm.example"),
        ("https://CRM.example", "crm.example"),
        ("https://crm.example:443/", "crm.example"),
        ("https://crm.example:80/", "crm.example:80"),
        ("https://[2606:4700::1]/", "[2606:4700::1]"),
    ],
)
def test_a_host_is_named_as_its_header_has_it(url: str, authority: str) -> None:
    """
    With its port, if that is not the default.
    """
    [found] = read_endpoints(
        toml(crm={"url": url, "secrets": [written(a_key())]}), files()
    )
    assert found.target.authority == authority


@pytest.mark.parametrize("text", ["", "[endpoints]"])
def test_no_endpoint_is_none(text: str) -> None:
    """
    An existing file may be empty.
    """
    assert read_endpoints(text, files()) == ()


def test_every_fault_is_named_at_once() -> None:
    """
    Each with its place.
    """
    key = a_key()
    text = "colour = 1\n" + toml(
        crm={"url": "ftp://x", "secrets": ["no", 1], "timeout": 3, "secrets_files": ""},
        CRM={"url": URL, "secrets": [written(key)]},
        shop={"secrets": [written(key), written(key)], "timeout_s": True},
        a={"url": 1, "allow_private": "yes", "timeout_s": 31, "secrets_files": ["x"]},
        b={"url": "http://x", "secrets": "x", "from_start": 1},
    )

    assert faults(text) == [
        "colour: unknown",
        "the only table is endpoints",
        "endpoints.crm.timeout: not a field of an endpoint",
        "timeout_s is one",
        f"endpoints.crm.url: {NO_URL}",
        "endpoints.crm.secrets[2]: not a text",
        "endpoints.crm.secrets_files: not a list of texts",
        "endpoints.crm.secrets[1]: does not start with whsec_",
        "endpoints.CRM: not a name of a-z, 0-9, _ and -, up to 64",
        "endpoints.shop.url: missing",
        "endpoints.shop.secrets[1]: is that of CRM too: each needs its own",
        "endpoints.shop.secrets[2]: appears twice",
        "endpoints.shop.timeout_s: not a number in 1..30",
        "endpoints.a.allow_private: neither true nor false",
        "endpoints.a.url: not a text",
        "endpoints.a.secrets_files[1]: cannot be read: No such file or directory",
        "endpoints.a.timeout_s: not a number in 1..30",
        "endpoints.b.url: http is for endpoints that have allow_private only",
        "endpoints.b.secrets: not a list of texts",
        "endpoints.b.from_start: neither true nor false",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("endpoints = 1", "endpoints: not tables: [endpoints.crm]"),
        ("endpoints.crm = 1", "endpoints.crm: not a table"),
        ("[endpoints.crm", "not TOML (at end of document)"),
        ('a = "\x00"', "not TOML (at line 1, column 6)"),
        (f'endpoints.crm.url = "{URL}"', None),
        (
            toml(crm={"url": URL, "secrets": [written(a_key()) for _ in range(9)]}),
            "endpoints.crm.secrets: more than 8",
        ),
        (
            toml(
                **{
                    f"c{it}": {"url": URL, "secrets": [written(a_key())]}
                    for it in range(33)
                }
            ),
            "endpoints: more than 32",
        ),
    ],
    ids=["number", "no table", "open", "zero", "no secret", "many secrets", "many"],
)
def test_what_is_no_file_of_endpoints_is_refused(text: str, reason: str | None) -> None:
    """
    If it is no TOML, with only the place.
    """
    missing = "endpoints.crm.secrets: missing (or secrets_files, paths)"
    assert faults(text) == [reason or missing]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@crm.example/",
        "https://user@crm.example/",
        "https://crm.example@evil.example/",
        "https://crm.example\\@evil.example/",
        "https://crm.example/#fragment",
        "https://crm.example/a b",
        "https://crm.example/\ta",
        "https://crm.exa\tmple/",
        "https://crm.example/\n",
        "https://crm.ex\u00e4mple/",
        "https:///path",
        "https://",
        "//crm.example/",
        "https:crm.example",
        "https://[::1",
        "https://::1/",
        "https://crm.example:/",
        "https://crm.example:123456/",
        "file:///etc/passwd",
        "HTTPS://crm.example/",
        "https://crm.example/" + "a" * 2048,
    ],
)
def test_t67_an_address_that_may_be_read_in_two_ways_is_refused(url: str) -> None:
    """
    Whichever way a parser reads it.
    """
    [reason] = faults(toml(crm={"url": url, "secrets": [written(a_key())]}))
    assert reason == f"endpoints.crm.url: {NO_URL}"


@pytest.mark.parametrize(
    "host",
    [
        "[1.2.3.4]",
        "[:::::]",
        "[::1::]",
        "[.]",
        "..",
        ".",
        "crm..example",
        ".crm.example",
        "a" * 64 + ".example",
        ".".join(["a" * 63] * 4),
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "0x",
        "127.1",
        "127.0.0.1.",
        "0177.0.0.1",
        "1.2.3.4.5",
        "256.1.1.1",
        "crm.example.1",
    ],
)
def test_t67_a_host_that_is_no_name_and_no_address_is_refused(host: str) -> None:
    """
    At the start, and not when something is sent to it; private addresses allowed or
    not.
    """
    for allow_private in (False, True):
        fields = {"url": f"https://{host}/", "allow_private": allow_private}
        [reason] = faults(toml(crm={**fields, "secrets": [written(a_key())]}))
        assert reason == (
            "endpoints.crm.url: its host is neither a name nor an address "
            "(IPv4 as 192.0.2.1, IPv6 as [2001:db8::1])"
        )


@pytest.mark.parametrize(
    "host",
    [
        "crm",
        "crm.example.",
        "1.crm-2.x_y.example",
        "1crm",
        "crm.0xy",
        "93.184.216.34",
        "[2606:4700:4700::1111]",
        "[::ffff:93.184.216.34]",
        ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]),
    ],
)
def test_a_name_or_an_address_is_taken_as_it_is(host: str) -> None:
    """
    Each label may begin with a digit.
    """
    text = toml(crm={"url": f"https://{host}/", "secrets": [written(a_key())]})
    [found] = read_endpoints(text, files())
    assert found.target.host == host.strip("[]")


@pytest.mark.parametrize("field", ["secrets", "secrets_files"])
@pytest.mark.parametrize(
    "value", ["5", "1.5", "true", "1979-05-27", "{ a = 1 }", '""', '"whsec_longer"']
)
def test_what_is_no_list_of_secrets_is_named(field: str, value: str) -> None:
    """
    Once, whatever it is.
    """
    text = f'[endpoints.crm]\nurl = "{URL}"\n{field} = {value}\n'
    assert faults(text) == [f"endpoints.crm.{field}: not a list of texts"]


@pytest.mark.parametrize(
    ("url", "allow_private", "reason"),
    [
        ("https://127.0.0.1/", False, "its address is not globally routable"),
        ("https://[::ffff:10.0.0.1]/", False, "its address is not globally routable"),
        ("https://169.254.169.254/", True, "its address is link-local"),
        ("https://crm.example:0/", False, "not a port"),
        ("https://crm.example:65536/", False, "not a port"),
    ],
)
def test_t67_a_literal_address_is_checked_at_the_start(
    url: str,
    allow_private: bool,  # noqa: FBT001  # a row of the table
    reason: str,
) -> None:
    """
    What a name resolves to is checked when it is used.
    """
    fields = {"url": url, "secrets": [written(a_key())], "allow_private": allow_private}
    [found] = faults(toml(crm=fields))
    assert found.startswith(f"endpoints.crm.url: {reason}")


def test_no_fault_shows_a_secret() -> None:
    """
    A value in its place is not shown either.
    """
    texts = ["whsec_hunter2", written(a_key())[:-3], written(a_key())]
    fields = {"url": f"https://{texts[2]}@x/", "secrets": texts, "timeout_s": 0}

    shown = "; ".join(faults(toml(crm=fields)))

    assert not any(it in shown for it in texts)
    assert "hunter2" not in "; ".join(faults("a = whsec_hunter2"))
