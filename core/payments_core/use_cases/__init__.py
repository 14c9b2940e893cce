"""One class per thing that the service can do."""

from payments_core.use_cases.accounts import (
    GetPaymentStatus,
    PaymentStatusView,
    ReachAccount,
    RegisterUser,
)
from payments_core.use_cases.apply_events import ApplyEvents
from payments_core.use_cases.begin_intent import Asking, BeginIntent, Begun
from payments_core.use_cases.cards import SetUpCard, UpdateCard
from payments_core.use_cases.operations import RunIntent
from payments_core.use_cases.receive_event import ReceiveEvent
from payments_core.use_cases.subscriptions import (
    Change,
    ChangeSubscription,
    Ended,
    EndSubscription,
    FindPrice,
    Order,
    PreviewChange,
    ReadIntent,
    ReadSubscriptions,
    StartSubscription,
)
from payments_core.use_cases.take_up import HealIntents, LinkUnlinked
from payments_core.use_cases.tokens import (
    AuthenticateCaller,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from payments_core.use_cases.work_off import WorkOffJobs

__all__ = [
    "ApplyEvents",
    "Asking",
    "AuthenticateCaller",
    "BeginIntent",
    "Begun",
    "Change",
    "ChangeSubscription",
    "EndSubscription",
    "Ended",
    "FindPrice",
    "GetPaymentStatus",
    "HealIntents",
    "InvalidateToken",
    "InvalidateUserTokens",
    "LinkUnlinked",
    "ListInvalidatedTokens",
    "Order",
    "PaymentStatusView",
    "PreviewChange",
    "ReachAccount",
    "ReadIntent",
    "ReadSubscriptions",
    "ReceiveEvent",
    "RegisterUser",
    "RunIntent",
    "SetUpCard",
    "StartSubscription",
    "UpdateCard",
    "WorkOffJobs",
]
