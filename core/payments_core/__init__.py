"""Who has paid, and why: payments without a database, a gateway or a web server.

The words of the domain are here. What the service does with them is in
`payments_core.use_cases`, what it asks of the world in `payments_core.ports`: both are
public, and cost an importer nothing until they are asked for.
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
