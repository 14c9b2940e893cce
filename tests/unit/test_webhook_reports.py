"""Webhooks that changed nothing are reported: counted, and logged once a minute."""

from typing import Any

import attrs
import pytest
import structlog

from payments_adapters.stripe import FOLLOWED, UNKNOWN_TYPE
from payments_core.errors import BadSignature, EventTypeMismatch, SignatureFault
from payments_core.events import UNREADABLE, EventState, Outcome
from payments_service.rare_warnings import WARN_EVERY_S, RareWarnings
from payments_service.webhook_reports import (
    DUPLICATE,
    OTHER,
    REASONS_MAX,
    REMEDIES,
    WebhookReports,
)

FORGED = BadSignature("no v1 signature matches", SignatureFault.MISMATCH)
LATE = BadSignature("the timestamp is over 300 s off", SignatureFault.STALE)


@attrs.define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def quarantined(reason: str) -> Outcome:
    return Outcome(EventState.QUARANTINED, reason)


def test_the_first_refusal_is_told_at_once_and_then_one_a_minute() -> None:
    """
    With the number that it stands for; a sender of forgeries cannot fill the log.
    """
    clock = Clock()
    reports = WebhookReports(RareWarnings(clock))
    with structlog.testing.capture_logs() as lines:
        for second in range(150):
            clock.now = float(second)
            for _ in range(10):
                reports.refuse(FORGED)

    assert reports.refused["signature_mismatch"] == 1500
    assert [it["log_level"] for it in lines] == ["warning"] * 3
    assert [it["count"] for it in lines] == [1, 600, 600]
    assert {it["event"] for it in lines} == {"webhook refused"}
    assert "PAYMENTS_STRIPE_WEBHOOK_SECRETS" in lines[0]["to_do"]


def test_each_reason_is_told_for_itself() -> None:
    """
    Many of one reason hide no other, neither of what was refused nor of what was
    stored.
    """
    reports = WebhookReports(RareWarnings(Clock()))
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            reports.refuse(FORGED)
            reports.refuse(LATE)
            reports.refuse(EventTypeMismatch("charge.failed"))
            reports.keep(quarantined("livemode is not ours"))
            reports.keep(quarantined("the refund names no charge"))

    said = {(it["event"], it["reason"]) for it in lines}
    assert said == {
        ("webhook refused", "signature_mismatch"),
        ("webhook refused", "signature_stale"),
        ("webhook refused", "event_type_mismatch"),
        ("event quarantined", "livemode is not ours"),
        ("event quarantined", "the refund names no charge"),
    }
    assert len(lines) == 5
    assert set(reports.quarantined.values()) == {3}


@pytest.mark.parametrize("fault", SignatureFault)
def test_what_to_do_is_said_of_each_fault_of_a_signature(fault: SignatureFault) -> None:
    """
    Each exists from the start, at zero, so that an alert sees the first.
    """
    reports = WebhookReports(RareWarnings(Clock()))
    assert reports.refused[fault.value] == 0
    with structlog.testing.capture_logs() as lines:
        reports.refuse(BadSignature("a reason", fault))

    assert lines[0]["to_do"] == REMEDIES[fault.value]


def test_reasons_are_few_whatever_comes() -> None:
    """
    A metric has a series for each: a sender cannot create one.
    """
    reports = WebhookReports(RareWarnings(Clock()))
    with structlog.testing.capture_logs():
        for number in range(REASONS_MAX * 3):
            reports.keep(quarantined(f"reason {number}"))
        reports.keep(Outcome(EventState.QUARANTINED))

    assert len(reports.quarantined) == REASONS_MAX + 1
    assert reports.quarantined[OTHER] == REASONS_MAX * 2 + 1


def test_a_minute_is_a_minute() -> None:
    """
    Not a moment earlier.
    """
    clock = Clock(1_000.0)
    reports = WebhookReports(RareWarnings(clock))
    lines: list[Any]
    with structlog.testing.capture_logs() as lines:
        reports.refuse(FORGED)
        clock.now += WARN_EVERY_S - 0.001
        reports.refuse(FORGED)
        assert len(lines) == 1
        clock.now += 0.001
        reports.refuse(FORGED)
    assert len(lines) == 2


def test_what_is_ignored_is_counted_by_its_reason_and_not_told() -> None:
    """
    Unknown types exist from the start, at zero, so that an alert sees the first. There
    are few reasons, whatever arrives.
    """
    reports = WebhookReports(RareWarnings(Clock()))
    assert reports.ignored == {UNKNOWN_TYPE: 0}
    with structlog.testing.capture_logs() as lines:
        for number in range(REASONS_MAX * 2):
            reports.keep(Outcome(EventState.IGNORED, UNKNOWN_TYPE))
            reports.keep(Outcome(EventState.IGNORED, f"reason {number}"))

    assert not lines
    assert not reports.quarantined
    assert reports.ignored[UNKNOWN_TYPE] == REASONS_MAX * 2
    assert len(reports.ignored) == REASONS_MAX + 1


def test_t79_an_event_is_counted_by_a_type_that_is_known() -> None:
    """
    And by its result. All other types of Stripe's are counted as one.
    """
    reports = WebhookReports(RareWarnings(Clock()))
    for number in range(100):
        reports.receive(f"account.made_up_{number}", EventState.IGNORED)
        reports.receive("charge.succeeded", EventState.APPLIED)
    reports.receive("v1.charge.succeeded", DUPLICATE)
    reports.receive(UNREADABLE, EventState.QUARANTINED)
    reports.receive("charge.succeeded", "ada@example.com")

    grown = {key: count for key, count in reports.received.items() if count}
    assert grown == {
        (OTHER, "ignored"): 100,
        ("charge.succeeded", "applied"): 100,
        ("v1.charge.succeeded", "duplicate"): 1,
        (UNREADABLE, "quarantined"): 1,
        ("charge.succeeded", OTHER): 1,
    }


def test_each_type_that_is_followed_is_there_from_the_start() -> None:
    """
    An alert on growth misses the first increase of a series that did not exist.
    """
    received = WebhookReports(RareWarnings(Clock())).received
    assert received == {(it, "applied"): 0 for it in FOLLOWED}
