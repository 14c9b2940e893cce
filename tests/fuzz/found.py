"""Inputs that a reader once did not answer as it has to, by the reader's name.

What `make fuzz` prints comes here when it is mended.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_TOML_NUMBER: Final = b"9" * 5_000
_TOML_KEY: Final = b"a." * 32_000 + b"a = 1"
_DEEP: Final = b"[" * 5_000

FOUND: Final[Mapping[str, Sequence[bytes]]] = {
    # A thin event that is no UTF-8 was taken for a bug of ours, and tried again.
    "kept event": [
        b'{"object":"v2.core.event","related_object":{"type":"\x8e"}}',
        b'{"object":"v2.core.event","any":"\xff"}',
    ],
    # The error behind the refusal had the claims.
    "signed access pass": [
        b'{"alg":"EdDSA","kid":"p1","typ":"access-pass+jwt"}\n{"sub":"canary.7Qx4\x9f"',
    ],
    # Nobody reads what is nested there; skipping it ended in a RecursionError.
    "claims of access pass": [
        b'{"any":' + _DEEP,
        b'{"iss":"payments-gateway","aud":"access-pass","sub":"a","iat":0,"exp":1'
        + b"0" * 400
        + b',"features":{}}',
    ],
    "answer to the client": [b'30\n\n{"any":' + _DEEP],
    # Python's advice for programs came out of the settings.
    "webhook endpoints": [b"a = " + _TOML_NUMBER, _TOML_KEY],
    # The time that TOML takes grows with the cube of a key's parts.
    "catalogue": [_TOML_KEY],
}
