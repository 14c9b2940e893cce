"""A time as text, as people read and write it."""

from datetime import UTC, datetime

import msgspec

from payments_core.errors import InvalidValue


def moment_text(at: datetime) -> str:
    """Return a time as the HTTP API writes it: RFC 3339, in UTC, with a `Z`."""
    text: str = msgspec.to_builtins(at.astimezone(UTC))
    return text


def moment_named(field: str, text: str) -> datetime:
    """Read a time of a query: RFC 3339, with an offset.

    Raises:
        InvalidValue: the text is not such a time.
    """
    try:
        moment = msgspec.convert(text, datetime)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise InvalidValue(field, "not a time with an offset: 2026-11-27T08:30:00Z")
