"""Test clocks."""

from typing import Any

from payments_sandbox.shapes.parts import new_object
from payments_sandbox.state import Object, World


def test_clock(world: World, id_: str, frozen_time: int, **fields: Any) -> Object:
    new = new_object(world, "clock", "test_helpers.test_clock")
    del new["metadata"]
    return {
        **new,
        "id": id_,
        "deletes_after": world.now + 30 * 86_400,
        "frozen_time": frozen_time,
        "name": None,
        "status": "ready",
        "status_details": {},
        **fields,
    }
