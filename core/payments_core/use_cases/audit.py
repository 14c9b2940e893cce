"""The audit log, for operators: what was done by hand."""

from datetime import datetime

import attrs

from payments_core.by_hand import ActionByHand, AuditCursor, AuditPage
from payments_core.caller import Caller
from payments_core.identity import UserId
from payments_core.ports import AuditLog


@attrs.frozen
class ReadAuditLog:
    log: AuditLog

    async def __call__(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        subject: str | None = None,
        user_id: UserId | None = None,
        action: ActionByHand | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: AuditCursor | None = None,
        caller: Caller,
    ) -> AuditPage:
        """Return what was done by hand, the latest first.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.log.page(
            subject=subject,
            user_id=user_id,
            action=action,
            since=since,
            limit=limit,
            after=after,
        )
