"""Events as an event destination sends them: which object changed, without its content.

Source: docs.stripe.com/api/v2/core/events/object. Types are those of snapshots with the
prefix `v1.`. The receiver fetches the object.
"""

from typing import Any

from payments_sandbox.periods import text_of
from payments_sandbox.state import Event


def thin(event: Event) -> dict[str, Any]:
    """Return an event as a thin one."""
    thing = event.object
    request = {
        "id": event.cause.request_id,
        "idempotency_key": event.cause.idempotency_key,
    }
    is_asked_for = event.cause.request_id is not None
    return {
        "id": event.id,
        "object": "v2.core.event",
        "type": f"v1.{event.type}",
        "created": text_of(event.created),
        "livemode": False,
        "context": None,
        "reason": {"type": "request", "request": request} if is_asked_for else None,
        "related_object": {
            "id": thing["id"],
            "type": thing["object"],
            "url": f"/v1/{thing['object']}s/{thing['id']}",
        }
        if thing.get("id")
        else None,
    }
