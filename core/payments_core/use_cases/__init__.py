"""The use cases: one class for each operation of the service."""

from payments_core.operations.start import OperationRequest
from payments_core.use_cases.access_passes import (
    IssueAccessPass,
    ReadPassKeys,
    SignedPass,
)
from payments_core.use_cases.accounts import (
    CheckAnswer,
    GetAuthorizedAccount,
    GetPaymentStatus,
    PaymentStatusView,
    RegisterCustomer,
    RegisterUser,
)
from payments_core.use_cases.audit import ReadAuditLog
from payments_core.use_cases.back_fill_events import (
    BackFillEvents,
    BackFillListener,
)
from payments_core.use_cases.cards import SetUpCard, UpdateCard
from payments_core.use_cases.declines import LimitDeclines
from payments_core.use_cases.deliveries import (
    ListDeliveries,
    ReadDelivery,
    ReplayDeliveries,
)
from payments_core.use_cases.erasures import EraseAccount, Erased
from payments_core.use_cases.execute_operation import (
    ExecutedOperation,
    ExecuteOperation,
)
from payments_core.use_cases.explain_user import ExplainUser, PastVerdict
from payments_core.use_cases.intents import CallOffIntent, ReadIntent
from payments_core.use_cases.jobs import ListJobs, ReadJob, RetryJobs
from payments_core.use_cases.payment_links import (
    LinkPayment,
    PaymentLink,
    ReadPaymentLink,
)
from payments_core.use_cases.price_rules import FindPrice
from payments_core.use_cases.quarantine import (
    CloseEvent,
    FindUnappliedEvents,
    LinkEvent,
)
from payments_core.use_cases.read_access import (
    ReadAccess,
    ReadCatalogue,
    UserAccess,
)
from payments_core.use_cases.read_feed import ReadFeed
from payments_core.use_cases.record_facts import (
    Recorded,
    RecordedState,
    RecordFacts,
)
from payments_core.use_cases.recover_events import RecoveredPage, RecoverEvents
from payments_core.use_cases.replays import EventFilter, Replayed, ReplayEvents
from payments_core.use_cases.revocations import AwaitRevocation, FollowRevocations
from payments_core.use_cases.subscription_changes import (
    Change,
    ChangeSubscription,
    CheckChange,
    PreviewChange,
)
from payments_core.use_cases.subscription_links import (
    LinkSubscription,
    SubscriptionLink,
)
from payments_core.use_cases.subscriptions import (
    ConfirmOpen,
    Ended,
    EndSubscription,
    Order,
    ReadSubscriptions,
    StartSubscription,
)
from payments_core.use_cases.tokens import (
    AuthenticateCaller,
    InvalidateAllTokens,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from payments_core.use_cases.user_lists import (
    ListedUsers,
    ListPayments,
    ListUsers,
    ReadTimeline,
)

__all__ = [
    "AuthenticateCaller",
    "AwaitRevocation",
    "BackFillEvents",
    "BackFillListener",
    "CallOffIntent",
    "Change",
    "ChangeSubscription",
    "CheckAnswer",
    "CheckChange",
    "CloseEvent",
    "ConfirmOpen",
    "EndSubscription",
    "Ended",
    "EraseAccount",
    "Erased",
    "EventFilter",
    "ExecuteOperation",
    "ExecutedOperation",
    "ExplainUser",
    "FindPrice",
    "FindUnappliedEvents",
    "FollowRevocations",
    "GetAuthorizedAccount",
    "GetPaymentStatus",
    "InvalidateAllTokens",
    "InvalidateToken",
    "InvalidateUserTokens",
    "IssueAccessPass",
    "LimitDeclines",
    "LinkEvent",
    "LinkPayment",
    "LinkSubscription",
    "ListDeliveries",
    "ListInvalidatedTokens",
    "ListJobs",
    "ListPayments",
    "ListUsers",
    "ListedUsers",
    "OperationRequest",
    "Order",
    "PastVerdict",
    "PaymentLink",
    "PaymentStatusView",
    "PreviewChange",
    "ReadAccess",
    "ReadAuditLog",
    "ReadCatalogue",
    "ReadDelivery",
    "ReadFeed",
    "ReadIntent",
    "ReadJob",
    "ReadPassKeys",
    "ReadPaymentLink",
    "ReadSubscriptions",
    "ReadTimeline",
    "RecordFacts",
    "Recorded",
    "RecordedState",
    "RecoverEvents",
    "RecoveredPage",
    "RegisterCustomer",
    "RegisterUser",
    "ReplayDeliveries",
    "ReplayEvents",
    "Replayed",
    "RetryJobs",
    "SetUpCard",
    "SignedPass",
    "StartSubscription",
    "SubscriptionLink",
    "UpdateCard",
    "UserAccess",
]
