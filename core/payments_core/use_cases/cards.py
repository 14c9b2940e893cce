"""A user's card: set up in the browser, and put in the old one's place."""

import attrs

from payments_core.identity import Email, UserId
from payments_core.intent import IntentKind, Wanted
from payments_core.revocation import Caller
from payments_core.use_cases.accounts import ReachAccount
from payments_core.use_cases.begin_intent import Asking, BeginIntent, Begun
from payments_core.use_cases.references import gateway_reference


@attrs.frozen
class SetUpCard:
    reach: ReachAccount
    begin: BeginIntent

    async def __call__(
        self, user: UserId | Email, *, caller: Caller, key: str | None
    ) -> Begun:
        """Begin to prepare what a browser needs to take a card in.

        Raises:
            AccountNotFound: see `ReachAccount`.
            IdempotencyKeyReused, OperationInProgress: see `BeginIntent`.
        """
        account = await self.reach(user, caller=caller)
        return await self.begin(
            Asking(
                user_id=account.user_id,
                kind=IntentKind.SET_UP_CARD,
                about=account.user_id,
                key=key,
            )
        )


@attrs.frozen
class UpdateCard:
    reach: ReachAccount
    begin: BeginIntent

    async def __call__(
        self,
        user: UserId | Email,
        payment_method: str,
        *,
        caller: Caller,
        key: str | None,
    ) -> Begun:
        """Begin to put a card in the old one's place.

        Raises:
            InvalidValue: that is no payment method's id.
            AccountNotFound: see `ReachAccount`.
            IdempotencyKeyReused, OperationInProgress: see `BeginIntent`.
        """
        wanted = Wanted(
            payment_method=gateway_reference("payment_method", payment_method)
        )
        account = await self.reach(user, caller=caller)
        return await self.begin(
            Asking(
                user_id=account.user_id,
                kind=IntentKind.UPDATE_CARD,
                wanted=wanted,
                about=account.user_id,
                key=key,
            )
        )
