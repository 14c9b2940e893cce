"""Where the database is."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from payments_service.settings.reader import Reader, SettingsError
from payments_service.settings.values import PORT_MAX

# One of the hosts that a database address may list, separated by commas.
_HOST: Final = re.compile(r"(?:\[[^\[\]@]+\]|[^\[\]:@]*)(?::([0-9]{0,5}))?")


def database_url(env: Mapping[str, str]) -> str | None:
    """Read the only setting of a migration job; None if it is not given.

    Raises:
        SettingsError: the setting cannot be read.
    """
    given = Reader(env)
    url = given.get("PAYMENTS_DATABASE_URL", database_address, "")
    if given.problems:
        raise SettingsError(given.problems)
    return url or None


def database_address(text: str) -> str:
    if not re.match(r"postgres(?:ql(?:\+asyncpg)?)?://", text):
        raise ValueError("not a postgresql:// address")
    try:
        netloc = urlsplit(text).netloc
    except ValueError:
        netloc = "]"
    # The driver ends the password at the first "@", so this code does too.
    hosts = (netloc.partition("@")[2] if "@" in netloc else netloc).split(",")
    if not all(map(_is_host, hosts)) or ("" in hosts and len(hosts) > 1):
        # The parser's message quotes the address, which contains the password.
        raise ValueError("an address whose host or port cannot be read")
    return re.sub(r"^postgres://", "postgresql://", text)


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and int(match[1] or 0) <= PORT_MAX
