"""Webhook endpoints, and event destinations, which send thin events."""

from typing import Any

from payments_sandbox.periods import text_of
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


def event_destination(world: World, **fields: Any) -> Object:
    now = text_of(world.now)
    return {
        **new_object(world, "ed_test", "v2.core.event_destination"),
        "created": now,
        "description": "",
        "event_payload": "thin",
        "events_from": ["@self"],
        "snapshot_api_version": None,
        "status": "enabled",
        "status_details": None,
        "type": "webhook_endpoint",
        "updated": now,
        **fields,
    }
