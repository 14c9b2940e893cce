"""Read the gateway's ids and names of features from input."""

import re
from typing import Final

from payments_core.errors import InvalidValue

REFERENCE_LENGTH_MAX: Final = 255
# It becomes part of a URL path.
_REFERENCE: Final = re.compile(rf"[A-Za-z0-9_]{{1,{REFERENCE_LENGTH_MAX}}}")
# Without a catalogue a product is a feature: the characters of its id are included.
_FEATURE: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{REFERENCE_LENGTH_MAX}}}")


def gateway_reference(field: str, text: str) -> str:
    """Read one of the gateway's ids.

    Raises:
        InvalidValue: the text is not such an id.
    """
    if _REFERENCE.fullmatch(text) is None:
        raise InvalidValue(field, "not a Stripe id")
    return text


def feature_name(field: str, text: str) -> str:
    """Read the name of a feature.

    Raises:
        InvalidValue: the text is not such a name.
    """
    if _FEATURE.fullmatch(text) is None:
        raise InvalidValue(
            field, f"not 1 to {REFERENCE_LENGTH_MAX} letters, digits or any of _ . : -"
        )
    return text
