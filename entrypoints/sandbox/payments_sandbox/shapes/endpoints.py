"""Webhook endpoints."""

from typing import Any

from payments_sandbox.shapes.parts import new_object
from payments_sandbox.state import Object, World


def webhook_endpoint(world: World, **fields: Any) -> Object:
    return {
        **new_object(world, "we", "webhook_endpoint"),
        "api_version": None,
        "application": None,
        "description": None,
        "status": "enabled",
        **fields,
    }
