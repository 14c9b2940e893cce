"""What schemathesis has to know of this service: ids that exist, and signatures."""

import json
import os
from datetime import UTC, datetime
from typing import Any, Final

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

from payments_adapters.stripe import sign

# By the names that paths and bodies have for them.
KNOWN: Final[dict[str, list[str]]] = json.loads(os.environ["FUZZ_KNOWN"])
PAST: Final = "2026-01-01T00:00:00Z"
SECRET: Final = os.environ["FUZZ_WEBHOOK_SECRET"]


def _known(fields: Any) -> Any:
    """Put an id that exists in the place of every second text that stands for one."""
    if not isinstance(fields, dict):
        return fields
    return {
        name: KNOWN[name][len(value) // 2 % len(KNOWN[name])]
        if name in KNOWN and isinstance(value, str) and len(value) % 2
        else value
        for name, value in fields.items()
    }


def _whole(value: Any) -> Any:
    """Write whole numbers as such.

    For JSON Schema 1.0 is an integer. The service takes none that is written so: of two
    spellings of one amount, a reader in front might take one for a fraction.
    """
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _printable(body: Any) -> Any:
    """Leave out what cannot be printed of a reason: no pattern has that table."""
    if not (isinstance(body, dict) and isinstance(body.get("reason"), str)):
        return body
    reason = "".join(filter(str.isprintable, body["reason"])).strip()
    return {**body, "reason": reason or "seen"}


def _query(path: str, query: dict[str, Any]) -> dict[str, Any]:
    """Put what can be meant in the place of what no schema can say."""
    made = dict(query)
    # What time it is.
    if made.get("at", "") > PAST:
        made["at"] = PAST
    # A cursor is ours, and of one list: nobody makes one up.
    if made.pop("cursor", None) and path.endswith("/tokens/invalidated"):
        made["cursor"] = KNOWN["cursor"][0]
    if isinstance(made.get("text"), str):
        made["text"] = "".join(filter(str.isprintable, made["text"])) or "a"
    return made


def _is_positive(case: Case[Any]) -> bool:
    return (
        case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    )


@schemathesis.hook
def filter_path_parameters(_: HookContext, path_parameters: Any) -> bool:
    """Leave out a list in a path that would end the path, or a segment of it.

    It is sent as it is, not percent-encoded: it would be a request of another route.
    """
    values = path_parameters.values() if isinstance(path_parameters, dict) else ()
    written = [str(it) for it in values if isinstance(it, dict | list)]
    return not any(mark in it for it in written for mark in "?#/")


@schemathesis.hook
def map_case(_: HookContext, case: Case[Any]) -> Case[Any]:
    """Let half of what is as its schema says be about something that exists."""
    if _is_positive(case):
        # Looked at again once it is set, and as it is sent: "%7C" is no "|" then.
        if (known := _known(case.path_parameters)) != case.path_parameters:
            case.path_parameters = known
        if "/webhooks/" not in case.path:
            case.body = _printable(_whole(_known(case.body)))
        case.query = _query(case.path, case.query or {})
    return case


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Sign what is as its schema says, if it has the place for a signature."""
    if "/webhooks/" in case.path and _is_positive(case):
        kwargs["auth"] = _signed


def _signed(request: Any) -> Any:
    name = "Stripe-Signature"
    if name in request.headers:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers[name] = sign(body, secret=SECRET, at=datetime.now(UTC))
    return request
