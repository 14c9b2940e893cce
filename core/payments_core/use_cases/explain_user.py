"""Explain why a user has paid or not, now and at a past time."""

from datetime import datetime
from typing import Final

import attrs

from payments_core.account_facts import AccountFacts
from payments_core.account_log import LoggedVerdict
from payments_core.caller import Caller
from payments_core.errors import InvalidValue, NotRecorded
from payments_core.explain import explain
from payments_core.explanation import Explanation
from payments_core.identity import Email, UserId
from payments_core.policy import Policy
from payments_core.ports import AccountHistory, Clock
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.declines import LimitDeclines

# An account that changes all the time is explained after that many reads.
READS_MAX: Final = 3


@attrs.frozen
class PastVerdict:
    """What was known of a user at a time: the last verdict logged by then."""

    user_id: UserId
    at: datetime
    logged: LoggedVerdict


@attrs.frozen
class ExplainUser:
    reach: GetAuthorizedAccount
    history: AccountHistory
    clock: Clock
    policy: Policy
    declines: LimitDeclines

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> Explanation:
        """Explain what is known of a user now.

        Unlinked and quarantined things, and acts by hand, are included only for a
        caller who may read all users.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        facts = await self._facts(user, caller)
        now, policy = self.clock(), self.policy
        until = await self.declines.refused_until(facts.account.user_id, now)
        facts = attrs.evolve(facts, no_card_before=until)
        if caller.reads_all:
            return explain(facts, now=now, policy=policy)
        return explain(facts.for_the_user(), now=now, policy=policy).for_the_user()

    async def _facts(self, user: UserId | Email, caller: Caller) -> AccountFacts:
        """Return the stored facts, read again if the account changes meanwhile.

        The kinds of facts are read one after the other: they are consistent if the
        account has the same version before and after.
        """
        account = await self.reach(user, caller=caller, reading=True)
        whole = caller.reads_all
        facts = await self.history.facts(account, whole=whole)
        for _ in range(READS_MAX - 1):
            again = await self.reach(account.user_id, caller=caller, reading=True)
            if again.version == account.version:
                break
            account, facts = again, await self.history.facts(again, whole=whole)
        return facts

    async def at(
        self, user: UserId | Email, moment: datetime, *, caller: Caller
    ) -> PastVerdict:
        """Return what was known of a user at a time, and from which facts.

        Raises:
            InvalidValue: the time is in the future.
            NotRecorded: nothing was logged by then.
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        account = await self.reach(user, caller=caller, reading=True)
        if moment > self.clock():
            raise InvalidValue("at", "is yet to come")
        logged = await self.history.verdict_at(account.user_id, moment)
        if logged is None:
            raise NotRecorded
        return PastVerdict(account.user_id, moment, logged)
