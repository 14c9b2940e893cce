"""One class per thing that the service can do."""

from payments_core.use_cases.accounts import (
    GetPaymentStatus,
    PaymentStatusView,
    RegisterUser,
)
from payments_core.use_cases.apply_events import ApplyEvents
from payments_core.use_cases.receive_event import ReceiveEvent
from payments_core.use_cases.tokens import (
    AuthenticateCaller,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)

__all__ = [
    "ApplyEvents",
    "AuthenticateCaller",
    "GetPaymentStatus",
    "InvalidateToken",
    "InvalidateUserTokens",
    "ListInvalidatedTokens",
    "PaymentStatusView",
    "ReceiveEvent",
    "RegisterUser",
]
