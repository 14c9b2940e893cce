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
from payments_core.use_cases.price_rules import FindPrice
from payments_core.use_cases.receive_event import ReceiveEvent
from payments_core.use_cases.subscription_changes import (
    Change,
    ChangeSubscription,
    CheckChange,
    PreviewChange,
)
from payments_core.use_cases.subscriptions import (
    Ended,
    EndSubscription,
    Order,
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
    "CheckChange",
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
