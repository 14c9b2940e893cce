"""An explanation agrees with what it explains, whatever the facts are."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import ADA, BOB, CUS_1, NOON, an_account
from payments_adapters.memory import MemoryAccountDirectory, MemoryAccountHistory
from payments_core.entitlement import AccountVerdict, PrepaidMonths
from payments_core.explain import explain
from payments_core.explanation import Explanation
from payments_core.facts import Fact
from payments_core.identity import UserId
from payments_core.policy import Policy
from payments_core.subscription import PaidPeriod, Subscription
from support.deciding import Kept, finished, found
from support.explained import problems_of
from support.facts import any_fact_without_an_event


def explained(kept: Kept, user: UserId, after: timedelta) -> Explanation:
    account = finished(MemoryAccountDirectory(kept.database).find(user))
    assert account is not None
    facts = finished(MemoryAccountHistory(kept.database).facts(account))
    now, policy = NOON + after, Policy()
    made = explain(facts, now=now, policy=policy)
    assert made.standing == account.standing(now=now, policy=policy)
    assert reached_by(account.verdict) == account.payment_expire_date
    return made


def reached_by(verdict: AccountVerdict) -> datetime | None:
    """Return the end of what the date is reported to rest on."""
    match verdict.date_by:
        case PaidPeriod(ends_at=end) | PrepaidMonths(ends_at=end):
            return end
        case Subscription(free_until=end):
            return end
        case None:
            return None


@pytest.mark.parametrize("user", [ADA, BOB])
@given(
    facts=st.lists(any_fact_without_an_event, max_size=6),
    after=st.timedeltas(timedelta(days=-60), timedelta(days=120)),
)
def test_an_explanation_agrees_with_the_standing(
    user: UserId, facts: Sequence[Fact], after: timedelta
) -> None:
    """
    The verdict is the account's, and its cause is possible for such a verdict.
    """
    kept = Kept.of(an_account(ADA, customer=CUS_1), an_account(BOB))
    for fact in facts:
        kept.record(found(fact))

    assert problems_of(explained(kept, UserId(user), after)) == []
