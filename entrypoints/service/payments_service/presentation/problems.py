"""The error for an operation that was refused, the same as for a refusal at once."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from payments_core import errors
from payments_core.intent import Refusal

# Stripe's code for an object that it does not have.
MISSING: Final = "resource_missing"
# Errors that carry nothing but their code.
_BARE: Final[Mapping[str, Callable[[], errors.PaymentsError]]] = MappingProxyType(
    {
        it.code: it
        for it in (
            errors.Abandoned,
            errors.AccountNotFound,
            errors.CalledOff,
            errors.GatewayMisconfigured,
            errors.SubscriptionNotFound,
        )
    }
)


def problem_of(refusal: Refusal) -> errors.PaymentsError:
    """Return the error for a refusal."""
    if refusal.code == errors.CardDeclined.code:
        return errors.CardDeclined(refusal.reason, refusal.decline_code)
    if refusal.code == errors.AlreadySubscribed.code:
        return errors.AlreadySubscribed(refusal.reason)
    if refusal.field == "proration_date":
        return errors.PreviewExpired(refusal.reason)
    if known := _BARE.get(refusal.code):
        return known()
    if refusal.field is not None and refusal.code == MISSING:
        return errors.UnknownReference(refusal.field, "Stripe has none")
    return errors.GatewayRefused(refusal.code, refusal.reason, field=refusal.field)
