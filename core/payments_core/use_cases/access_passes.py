"""Access passes, and the keys that they are verified with.

Rule 1: a pass is issued to the user and to administrators only: its bearer has access.
Rule 2: a pass is checked by the real time. If access is decided by another clock, that
        of a sandbox, the remaining time of access is what counts.
"""

from collections.abc import Sequence
from datetime import timedelta

import attrs

from payments_core.access_pass import AccessPass, PublishedKey
from payments_core.caller import Caller
from payments_core.errors import PassesNotOffered
from payments_core.identity import Email, UserId
from payments_core.months import moved
from payments_core.ports import PassSigner, SystemClock
from payments_core.use_cases.read_access import ReadAccess


@attrs.frozen
class SignedPass:
    """A pass as a JWT, and what it says."""

    text: str
    content: AccessPass


@attrs.frozen
class IssueAccessPass:
    access: ReadAccess
    signer: PassSigner
    system_clock: SystemClock
    lifetime: timedelta

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> SignedPass:
        """Sign what a user has access to now.

        Raises:
            PassesNotOffered: there is no signing key.
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        account = await self.access.reach(user, caller=caller)
        if not self.signer.published:
            raise PassesNotOffered
        now = self.system_clock()
        ahead = now - self.access.clock()
        found = self.access.of(account)
        until = found.entitled_until
        content = AccessPass(
            user_id=account.user_id,
            issued_at=now,
            expires_at=now + self.lifetime,
            entitled_until=None if until is None else moved(until, ahead),
            features={
                name: moved(to.until, ahead)
                for name, to in found.access.features.items()
                if to.granted and to.until is not None
            },
        )
        return SignedPass(self.signer.sign(content), content)


@attrs.frozen
class ReadPassKeys:
    """List the keys that an access pass may be signed with, for any reader."""

    signer: PassSigner

    def __call__(self) -> Sequence[PublishedKey]:
        return self.signer.published
