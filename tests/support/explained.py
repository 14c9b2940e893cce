"""The consistency of an explanation, and earlier answers at their times."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.memory import MemoryAccountHistory
from payments_core.entitlement import PaymentStatus, Standing
from payments_core.explain import explain
from payments_core.explain.chain import CHAIN_MAX
from payments_core.explanation import AccessCode, CauseCode, Explanation
from payments_core.identity import UserId
from support.deployment import Deployment

_C, _P = CauseCode, PaymentStatus
# The possible causes of each status.
CAUSES: Final = {
    _P.NONE: {
        *(_C.NOTHING_KNOWN, _C.SYNC_PENDING, _C.QUARANTINED, _C.UNLINKED),
        *(_C.PERIOD_NOT_PAID, _C.SUBSCRIPTION_PAUSED, _C.SUBSCRIPTION_ENDED),
        *(_C.TRIAL_ENDED, _C.FIRST_PAYMENT_EXPIRED),
    },
    _P.PENDING: {
        *(_C.PAYMENT_PENDING, _C.PAYMENT_CONTRADICTED, _C.FIRST_PAYMENT_AWAITED),
        *(_C.PAYMENT_DECLINED, _C.AUTHENTICATION_REQUIRED),
    },
    _P.TRIALING: {_C.TRIAL},
    _P.PAID: {
        *(_C.PAID_PERIOD, _C.PREPAID_MONTH, _C.TRIAL, _C.TRIAL_ENDED),
        *(_C.PERIOD_OVER, _C.PERIOD_NOT_PAID, _C.INVOICE_UNKNOWN),
        _C.SUBSCRIPTION_ENDED,
    },
    _P.FAILED: {
        *(_C.PAYMENT_DECLINED, _C.AUTHENTICATION_REQUIRED, _C.PAYMENT_OVERDUE),
        _C.SUBSCRIPTION_ENDED,
    },
    _P.REFUNDED: {_C.REFUNDED},
    _P.DISPUTED: {_C.DISPUTED, _C.DISPUTE_LOST, _C.PAYMENT_CONTRADICTED},
}
_HAS_ACCESS: Final = {AccessCode.PAID, AccessCode.FREE, AccessCode.GRACE}


def problems_of(it: Explanation) -> list[str]:
    """Return the inconsistencies."""
    standing = it.standing
    until = it.entitled_until
    facts = [fact.at for fact in it.chain if fact.at is not None]
    steps = [step.at for step in it.next if step.at is not None]
    said = {
        "cause": it.cause.code in CAUSES[standing.payment_status],
        "access": standing.entitled is (it.access in _HAS_ACCESS),
        "until": standing.entitled is (until is not None and it.at < until),
        "no date": (until is None) is (it.access is AccessCode.NOTHING_PAID),
        "order": facts == sorted(facts) and steps == sorted(steps),
        "bounded": len(it.chain) <= 8 * CHAIN_MAX,
    }
    return [name for name, holds in said.items() if not holds]


@attrs.define
class Answers:
    """The API's answers about users at several times, for a comparison with the log."""

    _noted: list[tuple[UserId, datetime, int, Standing]] = attrs.field(factory=list)

    async def note(self, deployment: Deployment, users: Collection[UserId]) -> None:
        now, policy = deployment.clock.now, deployment.policy
        for user in users:
            account = await deployment.account(user)
            standing = account.standing(now=now, policy=policy)
            self._noted.append((user, now, account.version, standing))

    async def hold(self, deployment: Deployment) -> int:
        """Compare them with the log of those times; return how many.

        A time at which something was saved after the answer is left out.
        """
        history, compared = MemoryAccountHistory(deployment.database), 0
        for user, at, version, standing in self._noted:
            logged = await history.verdict_at(user, at)
            assert logged is not None, (user, at)
            if logged.version <= version:
                assert logged.standing(at) == standing, (user, at)
                compared += 1
        return compared


async def check_explanation(deployment: Deployment, user: UserId) -> None:
    """Compare the explanation of a user with the answer about them."""
    account = await deployment.account(user)
    facts = await MemoryAccountHistory(deployment.database).facts(account)
    now, policy = deployment.clock.now, deployment.policy
    made = explain(facts, now=now, policy=policy)
    assert made.standing == account.standing(now=now, policy=policy), user
    assert problems_of(made) == [], (user, made)
