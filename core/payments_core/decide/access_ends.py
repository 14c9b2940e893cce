"""Log that access has ended, after its end has passed.

Rule 1: the last log row says when access to each product ends. If such an end has
        passed and no row says so, a row is logged, by the current account and policy.
Rule 2: for a future end the job is rescheduled; an end that was logged is not logged
        again.
Rule 3: if the account has changed since its log was read, the job runs again: the
        change may be logged, too.
"""

from datetime import datetime, timedelta
from typing import Final

from payments_core.account_log import LoggedVerdict
from payments_core.decide.decision import access_end_job
from payments_core.decide.group import Group
from payments_core.events import EventState, Outcome
from payments_core.facts import AccessEndDue, SourcedFacts
from payments_core.policy import Policy

# How far the clocks of two processes may be apart.
SLACK: Final = timedelta(minutes=5)


def end_access(group: Group, fact: AccessEndDue, source: SourcedFacts) -> Outcome:
    account, logged, now = group.account, fact.logged, group.now
    if account is None:
        # Erased meanwhile.
        return source.job_outcome
    job, policy = access_end_job(fact.user_id), group.known.policy
    if account.version != fact.version:
        return Outcome(EventState.PENDING, "the account changed meanwhile", job)
    until = account.verdict.entitled_until(policy)
    # Rows from before migration 0016 have no such end.
    due_at = until if logged is None else logged.ends_at
    if due_at is None:
        return source.job_outcome
    if due_at > now.at:
        if logged is None or due_at <= now.at + SLACK:
            group.rescheduled[job] = now.system + (due_at - now.at)
        # Otherwise it was logged meanwhile, with a due time of its own.
        return source.job_outcome
    group.logs_anyway = True
    is_over = until is None or until <= now.at
    group.note("access ended" if is_over else _ended(logged, policy, now.at))
    return source.job_outcome


def _ended(logged: LoggedVerdict | None, policy: Policy, now: datetime) -> str:
    """Return which of several grants ended, or that none did."""
    grants = (logged.grants if logged is not None else None) or ()
    ended = {it.product for it in grants if it.until(policy) <= now}
    ended -= {it.product for it in grants if it.until(policy) > now}
    if ended:
        return f"access to {', '.join(sorted(ended))} ended"
    return "access continues: the grace changed"
