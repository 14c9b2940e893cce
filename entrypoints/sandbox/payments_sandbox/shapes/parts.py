"""Fields that many objects have in common."""

from typing import Any, Final

from payments_sandbox.state import World

NO_ADDRESS: Final = {
    "city": None,
    "country": None,
    "line1": None,
    "line2": None,
    "postal_code": None,
    "state": None,
}
SELF: Final = {"type": "self"}
NO_TAX: Final = {"enabled": False, "liability": None}


def new_object(world: World, prefix: str, kind: str) -> dict[str, Any]:
    return {
        "id": world.new_id(prefix),
        "object": kind,
        "created": world.now,
        "livemode": False,
        "metadata": {},
    }
