"""An explanation agrees with what it explains, whatever the facts are."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import ADA, BOB, CUS_1, NOON, an_account
from payments_adapters.memory import MemoryAccountDirectory, MemoryAccountHistory
from payments_core.entitlement import PaymentStatus
from payments_core.explain import explain
from payments_core.explain.chain import CHAIN_MAX
from payments_core.explanation import AccessCode, CauseCode, Explanation
from payments_core.facts import Fact
from payments_core.identity import UserId
from payments_core.policy import Policy
from support.deciding import Kept, finished, found
from support.facts import any_fact_without_an_event

_C, _P = CauseCode, PaymentStatus
# What may be the cause of each status.
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
    _P.DISPUTED: {_C.DISPUTED, _C.DISPUTE_LOST},
}
_HAS_ACCESS: Final = {AccessCode.PAID, AccessCode.FREE, AccessCode.GRACE}


def explained(kept: Kept, user: UserId, after: timedelta) -> Explanation:
    account = finished(MemoryAccountDirectory(kept.database).find(user))
    assert account is not None
    facts = finished(MemoryAccountHistory(kept.database).facts(account))
    now, policy = NOON + after, Policy()
    made = explain(facts, now=now, policy=policy)
    assert made.standing == account.standing(now=now, policy=policy)
    return made


def problems_of(it: Explanation) -> list[str]:
    """Return what does not fit together."""
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


@pytest.mark.parametrize("user", [ADA, BOB])
@given(
    facts=st.lists(any_fact_without_an_event, max_size=6),
    after=st.timedeltas(timedelta(days=-60), timedelta(days=120)),
)
def test_an_explanation_agrees_with_the_standing(
    user: UserId, facts: Sequence[Fact], after: timedelta
) -> None:
    """
    The verdict is the account's, and its cause one that such a verdict can have.
    """
    kept = Kept.of(an_account(ADA, customer=CUS_1), an_account(BOB))
    for fact in facts:
        kept.record(found(fact))

    assert problems_of(explained(kept, UserId(user), after)) == []
