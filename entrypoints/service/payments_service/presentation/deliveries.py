"""The body that a delivery endpoint receives: a change as in the feed, with a type."""

from datetime import datetime
from typing import Final

import msgspec

from payments_core.feed import FeedChange
from payments_core.policy import Policy
from payments_service.presentation.feed import ChangeOut

TYPE: Final = "access.changed"


class ChangeWebhook(msgspec.Struct, frozen=True):
    """The body of a webhook: its type, when the change became known, and the change."""

    type: str
    timestamp: datetime
    data: ChangeOut


def change_body(policy: Policy, change: FeedChange) -> bytes:
    """Return the body: the same bytes each time for the same policy and catalogue."""
    data = ChangeOut.of(change, policy)
    return msgspec.json.encode(ChangeWebhook(TYPE, data.at, data))
