"""The gateway's ids, and names of features, as they are given."""

import re
from typing import Final

from payments_core.errors import InvalidValue

REFERENCE_LENGTH_MAX: Final = 255
# It becomes a part of a path.
_REFERENCE: Final = re.compile(rf"[A-Za-z0-9_]{{1,{REFERENCE_LENGTH_MAX}}}")
# Without a catalogue a product is a feature: these are the characters of its id, too.
_FEATURE: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{REFERENCE_LENGTH_MAX}}}")


def gateway_reference(field: str, text: str) -> str:
    """Read an id of the gateway's.

    Raises:
        InvalidValue: it is something else.
    """
    if _REFERENCE.fullmatch(text) is None:
        raise InvalidValue(field, "not an id of Stripe's")
    return text


def feature_name(field: str, text: str) -> str:
    """Read the name of a feature.

    Raises:
        InvalidValue: it is something else.
    """
    if _FEATURE.fullmatch(text) is None:
        raise InvalidValue(
            field, f"not 1 to {REFERENCE_LENGTH_MAX} letters, digits or any of _ . : -"
        )
    return text
