"""The gateway's ids as callers give them."""

import re
from typing import Final

from payments_core.errors import InvalidValue

REFERENCE_LENGTH_MAX: Final = 255
# It becomes a part of a path.
_REFERENCE: Final = re.compile(rf"[A-Za-z0-9_]{{1,{REFERENCE_LENGTH_MAX}}}")


def gateway_reference(field: str, text: str) -> str:
    """Read an id of the gateway's.

    Raises:
        InvalidValue: it is something else.
    """
    if _REFERENCE.fullmatch(text) is None:
        raise InvalidValue(field, "not an id of Stripe's")
    return text
