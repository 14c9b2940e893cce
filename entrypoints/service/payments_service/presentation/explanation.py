"""What people read: a moment, and why a user has access or not."""

from datetime import UTC, datetime

import msgspec

from payments_service.presentation.schemas import PaymentStatusOut


def moment_text(at: datetime) -> str:
    """Return a moment as the HTTP API writes it: RFC 3339, in UTC, with a `Z`."""
    text: str = msgspec.to_builtins(at.astimezone(UTC))
    return text


def why_entitled(status: PaymentStatusOut, now: datetime) -> str:
    """Say how `entitled` follows from the date and the time that it is.

    `now` is the moment, by the service's `Clock`, for which `status` was derived.
    """
    until = status.payment_expire_date
    if until is None:
        return "no period is paid for, or free"
    at, ends = (moment_text(it.replace(microsecond=0)) for it in (now, until))
    trials = {it.trial_end for it in status.subscriptions if it.status == "trialing"}
    reason = "in a trial" if until in trials else "paid or free"
    if now < until:
        return f"{reason} until {ends}; it is {at}"
    grace = "within the grace after it" if status.entitled else "and no grace is left"
    return f"{reason} until {ends}; it is {at}, {grace}"
