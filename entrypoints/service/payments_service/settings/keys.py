"""The keys that verify callers' tokens and sign access passes."""

from collections.abc import Callable
from typing import Final

from payments_core.tokens import TOKEN_AGE_MAX

TOKEN_AGE_MAX_S: Final = int(TOKEN_AGE_MAX.total_seconds())


def jwt_keys(text: str) -> str:
    # Imported here: `--help` reads no settings.
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415

    KeySet.from_jwks(text)
    return text


def keys_url(*, live: bool) -> Callable[[str], str]:
    def read(text: str) -> str:
        from payments_adapters.jwt.key_url import (  # noqa: PLC0415  # see above
            check_key_url,
        )

        return check_key_url(text, loopback=not live)

    return read


def access_pass_keys(text: str) -> str:
    from payments_adapters.jwt.access_pass import PassKeys  # noqa: PLC0415  # see above

    PassKeys.from_jwks(text)
    return text
