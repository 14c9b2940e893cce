"""Why a user has access or not, in words."""

from datetime import datetime

from payments_service.presentation.schemas import PaymentStatusOut


def why_entitled(status: PaymentStatusOut, now: datetime) -> str:
    """Say how `entitled` follows from the date and the time that it is.

    `now` is the moment, by the service's `Clock`, for which `status` was derived.
    """
    until = status.payment_expire_date
    if until is None:
        return "no period was ever paid for or free"
    at, ends = (it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in (now, until))
    if now < until:
        return f"paid or free until {ends}; it is {at}"
    grace = "within the grace after it" if status.entitled else "and no grace is left"
    return f"paid or free until {ends}; it is {at}, {grace}"
