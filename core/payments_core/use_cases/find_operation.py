"""Find an operation and its account with one load."""

from collections.abc import Callable

from payments_core.caller import Caller
from payments_core.errors import AccountNotFound
from payments_core.identity import Email, UserId
from payments_core.operations.start import OperationRequest, Rule, no_rule
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.execute_operation import ExecuteOperation, FoundOperation


async def find_operation(  # noqa: PLR0913  # who asks whom for what
    reach: GetAuthorizedAccount,
    execute: ExecuteOperation,
    user: UserId | Email,
    request_of: Callable[[UserId], OperationRequest],
    *,
    caller: Caller,
    rule: Rule = no_rule,
) -> FoundOperation:
    """Return what exists before an operation begins.

    `rule` raises what is wrong with the account, also for a repeated request.

    Raises:
        AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        IdempotencyKeyReused, OperationInProgress: see `ExecuteOperation`.
    """
    # The caller's own account, or an administrator: no look-up is needed first.
    if not isinstance(user, Email) and (caller.is_admin or caller.is_user(user)):
        try:
            return await execute.find(request_of(user), rule)
        except AccountNotFound:
            pass  # The first call of a user registers the user.
    account = await reach(user, caller=caller)
    return await execute.find(request_of(account.user_id), rule)
