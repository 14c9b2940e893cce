"""JSON logs, one object per line, that never contain a body, a token or a secret.

Log lines have ids and reasons. As a second safeguard, anything that looks like a secret
is removed from every value here, whichever library logged it.
"""

import logging
import math
import re
import sys
import traceback
from contextvars import ContextVar
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from payments_service.card_data import (
    holds_card_number,
    is_card_field,
    without_card_data,
)

# The request that a line belongs to; `http.request_context` sets it for each.
REQUEST_ID: Final = ContextVar("request_id", default="")
# The id of its trace, if that is sampled; set by `tracing`.
TRACE_ID: Final = ContextVar("trace_id", default="")

TEXT_LENGTH_MAX: Final = 2_000
_SECRET: Final = re.compile(
    r"(?:sk|rk|pk)_(?:live|test)_\w+|whsec_[\w+/=-]+|eyJ[\w-]+(?:\.[\w-]*)*"
    r"|_secret_\w+"
    r"|(?i:bearer|basic)\s+\S+|(?<=://)[^\s/]*(?=@)|\bv1=[0-9a-f]{16,}"
    r"|(?<=[\"']k[\"']: )[\"'][\w-]+|(?<=[\"']k[\"']:)[\"'][\w-]+"
)
_SECRET_NAME: Final = re.compile(
    r"(?i)authorization|cookie|password|passwd|secret|signature|jwks|dsn"
    r"|(?:api|private|jwt)_?keys?|database_url|^(?:access_|refresh_)?token$|^body$"
)


def redacted(text: str) -> str:
    """Return a text without secrets, truncated; repeating it changes nothing."""
    # Repeated while it changes: "://4242 … 4242@" is a secret once it is "://[card]@".
    while (less := _blotted(text)) != text:
        text = less
    if len(text) <= TEXT_LENGTH_MAX:
        return text
    # Truncated last: half a secret is not recognised. Half an id may look like a card.
    return without_card_data(text[:TEXT_LENGTH_MAX])


def _blotted(text: str) -> str:
    return without_card_data(_SECRET.sub("[redacted]", text))


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: str, value: object) -> object:
    if key.startswith("_") or value is None or isinstance(value, bool):
        # structlog's own, removed later.
        return value
    if _SECRET_NAME.search(key) or is_card_field(key):
        return "[redacted]"
    if isinstance(value, int) and not holds_card_number(str(value)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    return redacted(str(value))


def _first_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Remove what libraries append to a message: tracebacks and a task's exception."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _name_exceptions(record: logging.LogRecord) -> bool:
    """Make `"… %s", error` log the class of the error, not its message."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(arg).__name__ if isinstance(arg, BaseException) else arg
            for arg in record.args
        )
    return True


def _places(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add where an exception was raised, never its message: drivers quote values."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[0] is not None:
        event["error"] = info[0].__name__
        event["places"] = _frames(info[2])
    return event


def _frames(trace: TracebackType | None) -> str:
    return " < ".join(
        f"{frame.name} {frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        for frame in reversed(traceback.extract_tb(trace))
    )


def name_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        event.setdefault("request_id", request_id)
    if trace_id := TRACE_ID.get():
        event.setdefault("trace_id", trace_id)
    return event


_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    name_request,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _places,
    _redact,
)


def configure(level: str) -> None:
    """Send all logs of this process to stderr, as JSON."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_name_exceptions)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=(_first_line, *_SHARED),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # Otherwise a log call that cannot be formatted is printed with its arguments.
    logging.raiseExceptions = False
    for chatty in ("httpx", "httpcore", "uvicorn.access", "alembic", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
