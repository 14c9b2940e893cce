"""Everything that the environment configures, read once: `service` has the list."""

from payments_service.settings.database import database_url
from payments_service.settings.reader import SECRET_FILE_BYTES_MAX, SettingsError
from payments_service.settings.service import (
    CONNECTIONS_MAX,
    KEEP_ALIVE_S,
    REPAIRS,
    Settings,
    is_any_required_given,
)
from payments_service.settings.stripe import (
    STRIPE_API_BASE,
    StripeAccess,
    stripe_access,
)

__all__ = [
    "CONNECTIONS_MAX",
    "KEEP_ALIVE_S",
    "REPAIRS",
    "SECRET_FILE_BYTES_MAX",
    "STRIPE_API_BASE",
    "Settings",
    "SettingsError",
    "StripeAccess",
    "database_url",
    "is_any_required_given",
    "stripe_access",
]
