"""Operations that have begun: read their state, call them off."""

import attrs

from payments_core.caller import Caller
from payments_core.errors import CalledOff, IntentEnded, IntentNotFound
from payments_core.intent import Intent, IntentId
from payments_core.ports import IntentDirectory
from payments_core.use_cases.execute_operation import ExecuteOperation


@attrs.frozen
class ReadIntent:
    intents: IntentDirectory

    async def __call__(self, id_: IntentId, *, caller: Caller) -> Intent:
        """Return an intent of the caller, or any intent for an administrator.

        Raises:
            IntentNotFound: it does not exist, or is another user's.
        """
        intent = await self.intents.find(id_)
        if intent is None or not (caller.is_admin or caller.is_user(intent.user_id)):
            raise IntentNotFound
        return intent


@attrs.frozen
class CallOffIntent:
    """End an open operation before its outcome is known."""

    read: ReadIntent
    execute: ExecuteOperation

    async def __call__(self, id_: IntentId, *, caller: Caller) -> Intent:
        """Return the intent, ended; calling it off again changes nothing.

        If it creates a subscription later, that is cancelled.

        Raises:
            IntentNotFound: it does not exist, or is another user's.
            IntentEnded: it succeeded, was refused, or was given up.
            NotToBeCalledOff: what it may have done cannot be undone.
            OperationInProgress: a process runs it now.
            StoreUnavailable: call again.
        """
        intent = await self.read(id_, caller=caller)
        if not intent.open:
            refusal = intent.outcome.refusal if intent.outcome else None
            if refusal is None or refusal.code != CalledOff.code:
                raise IntentEnded(intent.state.value)
            return intent
        return await self.execute.call_off(intent)
