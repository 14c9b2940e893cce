"""Webhooks of the sandbox, and the receiver at which they arrive."""

from typing import Any, Final

from support.wire import Wire

SECRET: Final = "whsec_" + "k" * 32
ACACIA: Final = "2024-09-30.acacia"
BASIL: Final = "2025-03-31.basil"


def register(wire: Wire, url: str, *types: str, version: str | None = None) -> Any:
    """Register an endpoint as a user of Stripe does; the answer has the secret."""
    wanted = {"api_version": version} if version else {}
    return wire.post(
        "webhook_endpoints", url=url, enabled_events=list(types or ("*",)), **wanted
    )


def undelivered(wire: Wire) -> list[str]:
    """Return the types of undelivered events, from `/v1/events`."""
    found = wire.get("events", delivery_success=False, limit=100)
    return [it["type"] for it in found["data"]]
