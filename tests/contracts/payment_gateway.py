"""What every payment gateway promises. Subclass, give `world`, and run."""

from contracts.gateway_cards import CardsContract
from contracts.gateway_changes import ChangesContract
from contracts.gateway_faults import FaultsContract
from contracts.gateway_sending import SendingContract
from contracts.gateway_subscriptions import SubscriptionsContract


class PaymentGatewayContract(
    SendingContract,
    FaultsContract,
    CardsContract,
    SubscriptionsContract,
    ChangesContract,
):
    """`world` gives a `GatewayWorld` in which nothing has happened yet."""
