"""The operations: how they start (`start`), and their steps at the gateway."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from payments_core.intent import IntentKind
from payments_core.operations import cards, subscriptions
from payments_core.operations.run import OperationResult, OperationRun

Operation = Callable[[OperationRun], Awaitable[OperationResult]]

OPERATIONS: Final[Mapping[IntentKind, Operation]] = MappingProxyType(
    {
        IntentKind.CREATE_CUSTOMER: cards.create_customer,
        IntentKind.SET_UP_CARD: cards.set_up_card,
        IntentKind.UPDATE_CARD: cards.update_card,
        IntentKind.START_SUBSCRIPTION: subscriptions.start_subscription,
        IntentKind.CHANGE_SUBSCRIPTION: subscriptions.change_subscription,
        IntentKind.END_SUBSCRIPTION: subscriptions.end_subscription,
    }
)
