"""Events as Stripe sends them, made from the brief's two payloads."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import payments_service.dev

SAMPLES = Path(payments_service.dev.__file__).with_name("samples")
SUCCEEDED = json.loads((SAMPLES / "charge_succeeded.json").read_bytes())
FAILED = json.loads((SAMPLES / "charge_failed.json").read_bytes())


def event(
    base: dict[str, Any],
    number: int | str,
    *,
    at: datetime | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a copy with ids of its own; `fields` go into the charge."""
    copied: dict[str, Any] = json.loads(json.dumps(base))
    copied["id"] = f"evt_{number}"
    charge = copied["data"]["object"]
    charge["id"] = f"ch_{number}"
    if at is not None:
        copied["created"] = charge["created"] = int(at.timestamp())
    charge.update(fields)
    return copied


def utc(year: int, month: int, day: int, hour: int = 12) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)
