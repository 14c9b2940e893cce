"""Why a user has paid or not, now and at a past moment."""

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

# Who changes an account all the time is explained all the same.
READS_MAX: Final = 3


@attrs.frozen
class PastVerdict:
    """What was known of a user at a moment: what was logged last by then."""

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

        What is unlinked or quarantined, and what was done by hand, is told to who
        reads all users.

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
        """Return what is kept; of an account that is being changed, at last the newest.

        The facts are read one kind after the other: they are those of one moment if the
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
        """Return what was known of a user at a moment, and what it was known by.

        Raises:
            InvalidValue: the moment is yet to come.
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
