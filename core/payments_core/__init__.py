"""Who has paid, and why: payments without a database, a gateway or a web server.

The words of the domain are here. What the service does with them is in
`payments_core.use_cases`, what it asks of the world in `payments_core.ports`: both are
public, and cost an importer nothing until they are asked for.
"""

from payments_core.account import PaymentAccount
from payments_core.errors import PaymentsError, Rejected, Unavailable, Untrusted
from payments_core.events import (
    Doubt,
    EventKey,
    EventState,
    GatewayEvent,
    KeptEvent,
    Outcome,
    Receipt,
)
from payments_core.identity import CustomerId, Email, UserId, customer_id, user_id
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.revocation import Caller, Token, TokenCutOff, TokenRevocation
from payments_core.standing import Checkpoint, PaymentStatus, Policy, Standing, standing
from payments_core.subscription import (
    Subscription,
    SubscriptionId,
    SubscriptionStatus,
)

__all__ = [
    "Caller",
    "Checkpoint",
    "CustomerId",
    "DisputeState",
    "Doubt",
    "Email",
    "EventKey",
    "EventState",
    "GatewayEvent",
    "KeptEvent",
    "Money",
    "Outcome",
    "Payment",
    "PaymentAccount",
    "PaymentId",
    "PaymentState",
    "PaymentStatus",
    "PaymentsError",
    "Policy",
    "Receipt",
    "Rejected",
    "Standing",
    "Subscription",
    "SubscriptionId",
    "SubscriptionStatus",
    "Token",
    "TokenCutOff",
    "TokenRevocation",
    "Unavailable",
    "Untrusted",
    "UserId",
    "customer_id",
    "standing",
    "user_id",
]
