"""What a delivery endpoint is sent of a change: as the feed shows it, with its type."""

from datetime import datetime
from typing import Final

import msgspec

from payments_core.feed import FeedChange
from payments_core.policy import Policy
from payments_service.presentation.feed import ChangeOut

TYPE: Final = "access.changed"


class ChangeWebhook(msgspec.Struct, frozen=True):
    """The body of a webhook: its type, when it became known, and the change."""

    type: str
    timestamp: datetime
    data: ChangeOut


def change_body(policy: Policy, change: FeedChange) -> bytes:
    """Return the body: by the same policy and catalogue always the same bytes."""
    data = ChangeOut.of(change, policy)
    return msgspec.json.encode(ChangeWebhook(TYPE, data.at, data))
