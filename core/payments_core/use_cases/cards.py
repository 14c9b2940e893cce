"""A user's card: set it up in the browser, and replace the old card."""

import attrs

from payments_core.caller import Caller
from payments_core.identity import Email, UserId
from payments_core.intent import IntentKind, OperationParams
from payments_core.operations.start import OperationRequest
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.declines import LimitDeclines
from payments_core.use_cases.execute_operation import (
    ExecutedOperation,
    ExecuteOperation,
)
from payments_core.use_cases.find_operation import find_operation
from payments_core.use_cases.references import gateway_reference


@attrs.frozen
class SetUpCard:
    reach: GetAuthorizedAccount
    execute: ExecuteOperation
    declines: LimitDeclines

    async def __call__(
        self,
        user: UserId | Email,
        *,
        caller: Caller,
        key: str | None,
        despite_declines: bool = False,
    ) -> ExecutedOperation:
        """Prepare what a browser needs to collect a card.

        Raises:
            AccountNotFound: see `GetAuthorizedAccount`.
            IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
            TooManyDeclines, ScopeRequired: see `LimitDeclines`.
        """

        def request(user_id: UserId) -> OperationRequest:
            return OperationRequest(
                user_id=user_id,
                kind=IntentKind.SET_UP_CARD,
                about=user_id,
                key=key,
            )

        found = await find_operation(
            self.reach, self.execute, user, request, caller=caller
        )
        await self.declines(found, caller=caller, despite=despite_declines)
        return await self.execute(found.request, found=found)


@attrs.frozen
class UpdateCard:
    reach: GetAuthorizedAccount
    execute: ExecuteOperation
    declines: LimitDeclines

    async def __call__(
        self,
        user: UserId | Email,
        payment_method: str,
        *,
        caller: Caller,
        key: str | None,
        despite_declines: bool = False,
    ) -> ExecutedOperation:
        """Replace the user's card.

        Raises:
            InvalidValue: it is not the id of a payment method.
            AccountNotFound: see `GetAuthorizedAccount`.
            IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
            TooManyDeclines, ScopeRequired: see `LimitDeclines`.
        """
        wanted = OperationParams(
            payment_method=gateway_reference("payment_method", payment_method)
        )

        def request(user_id: UserId) -> OperationRequest:
            return OperationRequest(
                user_id=user_id,
                kind=IntentKind.UPDATE_CARD,
                wanted=wanted,
                about=user_id,
                key=key,
            )

        found = await find_operation(
            self.reach, self.execute, user, request, caller=caller
        )
        await self.declines(found, caller=caller, despite=despite_declines)
        return await self.execute(found.request, found=found)
