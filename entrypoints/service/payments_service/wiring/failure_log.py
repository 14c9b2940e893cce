"""The log lines for failures that use cases report."""

import logging

import structlog

from payments_core.errors import StoreUnavailable
from payments_core.events import GatewayEvent
from payments_core.facts import LinkRequested
from payments_core.intent import Intent
from payments_core.jobs import FailedWork
from payments_service.clocks import utc_now


def log_work(work: FailedWork, error: Exception) -> None:
    log = structlog.get_logger()
    if isinstance(work, LinkRequested):
        log.error("linking failed", user_id=work.user_id, exc_info=error)
        return
    if isinstance(work, Intent):
        log.error("intent failed", intent_id=work.id, kind=work.kind, exc_info=error)
        return
    again = work.failed(utc_now(), "")
    log.log(
        logging.ERROR if again.is_failing else logging.WARNING,
        "job is failing" if again.is_failing else "job failed",
        kind=work.key.kind,
        subject=work.key.subject,
        attempts=again.lease.attempts,
        exc_info=error,
    )


def log_key(what: str, reason: str) -> None:
    structlog.get_logger().error(
        "stripe refuses the API key",
        what=what,
        reason=reason,
        advice="set PAYMENTS_STRIPE_API_KEY to a valid key with this permission",
    )


def log_unheard(error: Exception) -> None:
    structlog.get_logger().warning(
        "revocations cannot be read: callers are answered 503 in a second",
        error=str(error),
        exc_info=None if isinstance(error, StoreUnavailable) else error,
    )


def log_bug(subject: str, error: Exception) -> None:
    structlog.get_logger().error("bug", subject=subject, exc_info=error)


def log_failure(event: GatewayEvent, error: Exception) -> None:
    structlog.get_logger().error(
        "event set aside", event_id=event.id, event_type=event.type, exc_info=error
    )
