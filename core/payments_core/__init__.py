"""The rules of who has paid, without a database, a gateway or a web server.

The types of the domain are here. The service's operations are in
`payments_core.use_cases` and its interfaces in `payments_core.ports`: both are public,
and are loaded only when imported.
"""

from payments_core.account import PaymentAccount
from payments_core.caller import Caller
from payments_core.entitlement import PaymentStatus, PaymentSummary, Standing, standing
from payments_core.errors import PaymentsError, Rejected, Unavailable, Untrusted
from payments_core.events import (
    EventKey,
    EventState,
    GatewayEvent,
    Outcome,
    Receipt,
    SyncNeeded,
)
from payments_core.identity import CustomerId, Email, UserId, customer_id, user_id
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.policy import Policy
from payments_core.subscription import (
    Subscription,
    SubscriptionId,
    SubscriptionStatus,
)
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation

__all__ = [
    "Caller",
    "CustomerId",
    "DisputeState",
    "Email",
    "EventKey",
    "EventState",
    "GatewayEvent",
    "Money",
    "Outcome",
    "Payment",
    "PaymentAccount",
    "PaymentId",
    "PaymentState",
    "PaymentStatus",
    "PaymentSummary",
    "PaymentsError",
    "Policy",
    "Receipt",
    "Rejected",
    "Standing",
    "Subscription",
    "SubscriptionId",
    "SubscriptionStatus",
    "SyncNeeded",
    "Token",
    "TokenRevocation",
    "Unavailable",
    "Untrusted",
    "UserId",
    "UserTokenRevocation",
    "customer_id",
    "standing",
    "user_id",
]
