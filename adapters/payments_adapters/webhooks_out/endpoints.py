"""The file of delivery endpoints: TOML, strict; all faults are reported at once."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import attrs

from payments_adapters.toml_text import TomlError, read_toml
from payments_adapters.webhooks_out.addresses import refusal_of
from payments_adapters.webhooks_out.signing import read_secret, written
from payments_core.deliveries import ENDPOINT_LENGTH_MAX, TIMEOUT_MAX
from payments_core.errors import InvalidValue

ENDPOINTS_MAX: Final = 32
SECRETS_MAX: Final = 8
URL_LENGTH_MAX: Final = 2048
TIMEOUT_S_MAX: Final = int(TIMEOUT_MAX.total_seconds())
TIMEOUT_S: Final = 15
_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{ENDPOINT_LENGTH_MAX - 1}}}")
# Matched in full rather than parsed: parsers disagree about `@`, `\`, `#` and tabs.
_URL: Final = re.compile(
    r"(https?)://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
    r"((?:[/?](?:(?![\\#])[!-~])*)?)"
)
_NAME_OF_HOST: Final = re.compile(
    r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE
)
# Resolvers read these as an address: 2130706433, 0x7f000001, 127.1.
_NUMBER_AT_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_AN_ADDRESS: Final = "an address (IPv4 as 192.0.2.1, IPv6 as [2001:db8::1])"
_PORT_MAX: Final = 65_535
_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}
_FIELDS: Final = (
    *("url", "secrets", "secrets_files", "allow_private", "timeout_s"),
    "from_start",
)


@attrs.frozen
class Target:
    """Where an endpoint is: the parts of its address."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Return the host as the header has it, with a port other than the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@attrs.frozen(kw_only=True)
class DeliveryEndpoint:
    """Where changes are delivered; each of the secrets signs."""

    name: str
    target: Target
    secrets: tuple[bytes, ...] = attrs.field(repr=False)
    allow_private: bool = False
    timeout: timedelta = timedelta(seconds=TIMEOUT_S)
    from_start: bool = False


def read_endpoints(
    text: str, read_file: Callable[[str], str]
) -> tuple[DeliveryEndpoint, ...]:
    """Read a file of endpoints; `read_file` reads the file of a secret.

    Raises:
        InvalidValue: the file cannot be used. The reason names every fault with its
            place, and shows no secret.
    """
    try:
        given = read_toml(text)
    except TomlError as error:
        # The place, and not the content: it may be a secret.
        place = re.search(r"\(at [a-z0-9, ]+\)", str(error))
        raise InvalidValue(
            "", f"not TOML {place[0] if place else ''}".strip()
        ) from None
    read = _Reader(read_file)
    endpoints = tuple(read.file(given))
    if read.faults:
        raise InvalidValue("", "; ".join(read.faults))
    return endpoints


@attrs.frozen
class _Reader:
    read_file: Callable[[str], str]
    faults: list[str] = attrs.field(factory=list)
    # The owner of each secret.
    _owners: dict[bytes, str] = attrs.field(factory=dict)

    def file(self, given: Mapping[str, Any]) -> Iterator[DeliveryEndpoint]:
        for name in given:
            if name != "endpoints":
                self._fault(name, "unknown; the only table is endpoints")
        tables = given.get("endpoints", {})
        if not isinstance(tables, dict):
            self._fault("endpoints", "not tables: [endpoints.crm]")
            return
        if len(tables) > ENDPOINTS_MAX:
            self._fault("endpoints", f"more than {ENDPOINTS_MAX}")
        for name, table in tables.items():
            place = f"endpoints.{name[:ENDPOINT_LENGTH_MAX]}"
            if _NAME.fullmatch(name) is None:
                self._fault(place, "not a name of a-z, 0-9, _ and -, up to 64")
            if not isinstance(table, dict):
                self._fault(place, "not a table")
                continue
            endpoint = self._endpoint(name, place, table)
            if endpoint is not None:
                yield endpoint

    def _fault(self, place: str, reason: str) -> None:
        self.faults.append(f"{place}: {reason}")

    def _endpoint(
        self, name: str, place: str, table: Mapping[str, Any]
    ) -> DeliveryEndpoint | None:
        for field in table:
            if field not in _FIELDS:
                alike = get_close_matches(field, _FIELDS, 1)
                meant = f"; {alike[0]} is one" if alike else ""
                self._fault(f"{place}.{field}", f"not a field of an endpoint{meant}")
        allow_private = self._flag(place, table, "allow_private")
        target = self._target(f"{place}.url", table.get("url"), allow_private)
        secrets = self._secrets(name, place, table)
        timeout_s = table.get("timeout_s", TIMEOUT_S)
        # A bool is an int.
        if type(timeout_s) is not int or not 1 <= timeout_s <= TIMEOUT_S_MAX:
            self._fault(f"{place}.timeout_s", f"not a number in 1..{TIMEOUT_S_MAX}")
            return None
        from_start = self._flag(place, table, "from_start")
        if target is None:
            return None
        return DeliveryEndpoint(
            name=name,
            target=target,
            secrets=secrets,
            allow_private=allow_private,
            timeout=timedelta(seconds=timeout_s),
            from_start=from_start,
        )

    def _flag(self, place: str, table: Mapping[str, Any], field: str) -> bool:
        value = table.get(field, False)
        if not isinstance(value, bool):
            self._fault(f"{place}.{field}", "neither true nor false")
            return False
        return value

    def _target(self, place: str, url: object, allow_private: bool) -> Target | None:  # noqa: FBT001  # as read from the file
        if not isinstance(url, str):
            self._fault(place, "missing" if url is None else "not a text")
            return None
        match = _URL.fullmatch(url)
        if match is None or len(url) > URL_LENGTH_MAX:
            self._fault(
                place,
                "not https://host/path in ASCII, without a user, password or fragment",
            )
            return None
        scheme, host, digits, path = match.groups()
        port = int(digits) if digits else _PORTS[scheme]
        if not 1 <= port <= _PORT_MAX:
            self._fault(place, "not a port")
        if scheme != "https" and not allow_private:
            self._fault(place, "http is for endpoints that have allow_private only")
        if not _is_host(host):
            self._fault(place, f"its host is neither a name nor {_AN_ADDRESS}")
            return None
        host = host.strip("[]")
        with suppress(ValueError):
            ip_address(host)
            if why := refusal_of(host, allow_private=allow_private):
                self._fault(place, f"its address is {why}")
        path = path if path.startswith("/") else f"/{path}"
        return Target(scheme, host.lower(), port, path)

    def _secrets(
        self, name: str, place: str, table: Mapping[str, Any]
    ) -> tuple[bytes, ...]:
        found = list[bytes]()
        texts = [
            *((place_, it) for place_, it in self._texts(place, table, "secrets")),
            *self._of_files(place, table),
        ]
        for where, text in texts:
            try:
                key = read_secret(text)
            except ValueError as error:
                self._fault(where, str(error))
                continue
            owner = self._owners.setdefault(key, name)
            if key in found:
                self._fault(where, "appears twice")
            elif owner != name:
                self._fault(where, f"is that of {owner} too: each needs its own")
            found.append(key)
        values = [table.get(it, []) for it in ("secrets", "secrets_files")]
        lists = [it for it in values if isinstance(it, list)]
        given = sum(len(it) for it in lists)
        # A value that is not a list is reported under its own field.
        if not given and lists == values:
            self._fault(f"{place}.secrets", "missing (or secrets_files, paths)")
        if given > SECRETS_MAX:
            self._fault(f"{place}.secrets", f"more than {SECRETS_MAX}")
        return tuple(found)

    def _texts(
        self, place: str, table: Mapping[str, Any], field: str
    ) -> Iterator[tuple[str, str]]:
        values: object = table.get(field, [])
        if not isinstance(values, list):
            self._fault(f"{place}.{field}", "not a list of texts")
            return
        for number, value in enumerate(values, 1):
            where = f"{place}.{field}[{number}]"
            if isinstance(value, str):
                yield where, value
            else:
                self._fault(where, "not a text")

    def _of_files(
        self, place: str, table: Mapping[str, Any]
    ) -> Iterator[tuple[str, str]]:
        for where, path in self._texts(place, table, "secrets_files"):
            try:
                yield where, self.read_file(path)
            except ValueError as error:
                self._fault(where, str(error))


def _is_host(text: str) -> bool:
    """Return whether it is a name, or an address in its canonical form."""
    try:
        if text.startswith("["):
            IPv6Address(text.strip("[]"))
        elif _NUMBER_AT_END.fullmatch(text):
            IPv4Address(text)
        else:
            return _NAME_OF_HOST.fullmatch(text) is not None
    except ValueError:
        return False
    return True


def has_secret(endpoint: DeliveryEndpoint, texts: Sequence[str]) -> bool:
    """Return whether any of these texts is a secret of an endpoint."""
    return any(written(it) in texts for it in endpoint.secrets)
