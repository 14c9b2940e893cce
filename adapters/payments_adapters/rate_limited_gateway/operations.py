"""The names of calls to the gateway, in metrics and in traces."""

import re
from typing import Final

from payments_core.gateway import GatewayRequest
from payments_core.object_lists import ObjectList

_CAPITAL: Final = re.compile(r"(?<!^)([A-Z])")


def operation_of(asked: GatewayRequest | ObjectList) -> str:
    """Return the name of what is sent or listed: `create_customer`, `list_payments`.

    Any other call has the name of its method of the port.
    """
    if isinstance(asked, ObjectList):
        return f"list_{asked.value}"
    return _CAPITAL.sub(r"_\1", type(asked).__name__).lower()
