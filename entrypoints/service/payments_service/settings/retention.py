"""How long things are stored, and the key that identifies erased users."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import attrs

from payments_adapters.guessable import weakness_of
from payments_core.retention import Retention
from payments_service.settings.reader import Reader
from payments_service.settings.values import whole

ERASURE_KEY_BYTES_MIN: Final = 32
# The fewest and the most days for which things are stored that are not stored for ever.
# Stripe delivers and lists an event for 30 days; an idempotency key is repeated for a
# day.
_KEPT_MIN: Final = Retention(
    bodies=timedelta(days=31),
    events=timedelta(days=31),
    intents=timedelta(days=7),
    jobs=timedelta(days=7),
    revocations=timedelta(days=1),
)
_KEPT_DAYS_MAX: Final = 36_600


def retention(given: Reader) -> Retention:
    usual, read = Retention(), dict[str, timedelta | None]()
    for name, least in attrs.asdict(_KEPT_MIN).items():
        variable = f"PAYMENTS_KEEP_{name.upper()}_DAYS"
        days = _kept_days(least.days)
        read[name] = given.get(variable, days, getattr(usual, name))
    return Retention(**read)


def _kept_days(least: int) -> Callable[[str], timedelta | None]:
    def read(text: str) -> timedelta | None:
        if re.fullmatch(r"0{1,9}", text):
            return None
        try:
            return timedelta(days=whole(least, _KEPT_DAYS_MAX)(text))
        except ValueError as error:
            raise ValueError(f"{error}, nor 0, which is for good") from None

    return read


def erasure_key(text: str) -> bytes:
    # Anyone who can guess the key can guess e-mails from their hashes.
    key = text.encode()
    if len(key) < ERASURE_KEY_BYTES_MIN:
        raise ValueError(f"less than {ERASURE_KEY_BYTES_MIN} bytes")
    if weakness := weakness_of(key):
        raise ValueError(weakness)
    return key
