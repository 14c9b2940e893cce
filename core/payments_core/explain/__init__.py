"""Explain an account: the causes of its verdict, and the facts behind them.

Rule 1: nothing that `payments_core.entitlement` derives is derived here. The verdict
        names the deciding facts; this package finds them.
Rule 2: what is stored and not applied (unlinked, quarantined, pending) is included: it
        is the usual reason why a payment does not show.
Rule 3: everything is bounded: an explanation has the deciding facts, not all facts.
"""

from datetime import datetime

from payments_core.account_facts import AccountFacts
from payments_core.entitlement import AccountVerdict, Standing
from payments_core.explain.cause import first_cause
from payments_core.explain.chain import chain_of
from payments_core.explain.next_steps import actions_of, steps_of
from payments_core.explanation import AccessCode, Explanation
from payments_core.policy import Policy
from payments_core.subscription import Subscription

__all__ = ["explain"]


def explain(facts: AccountFacts, *, now: datetime, policy: Policy) -> Explanation:
    """Explain an account's standing at a time."""
    verdict = facts.account.verdict
    standing = verdict.standing(now, policy)
    cause = first_cause(facts, verdict, standing)
    return Explanation(
        user_id=facts.account.user_id,
        at=now,
        standing=standing,
        entitled_until=verdict.entitled_until(policy),
        cause=cause,
        access=_access(verdict, standing, now),
        chain=chain_of(facts, verdict, cause),
        next=steps_of(facts, verdict, now, policy),
        actions=actions_of(facts, cause, standing),
    )


def _access(verdict: AccountVerdict, standing: Standing, now: datetime) -> AccessCode:
    date = verdict.payment_expire_date
    if date is None:
        return AccessCode.NOTHING_PAID
    if now < date:
        is_free = isinstance(verdict.date_by, Subscription)
        return AccessCode.FREE if is_free else AccessCode.PAID
    if standing.entitled:
        return AccessCode.GRACE
    return AccessCode.GRACE_OVER if verdict.has_grace else AccessCode.DATE_PASSED
