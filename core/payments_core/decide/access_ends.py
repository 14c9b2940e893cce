"""What it comes to that a moment has passed at which access ends.

Rule 1: what was logged last says until when there is access. If that moment has passed,
        and no row says so, one does: by the account and the policy of now.
Rule 2: one that is to come is waited for; one that was told is not told again.
Rule 3: if the account has changed since its log was read, the job looks again: the
        change may be logged, too.
"""

from payments_core.decide.decision import access_end_job
from payments_core.decide.group import Group
from payments_core.events import EventState, Outcome
from payments_core.facts import AccessEndDue, SourcedFacts

ENDED = "access ended"
# A moment was logged by the grace of then, and there is a longer one now.
GOES_ON = "access goes on: the grace is another one"


def end_access(group: Group, fact: AccessEndDue, source: SourcedFacts) -> Outcome:
    account, now = group.account, group.now
    if account is None:
        # Erased meanwhile.
        return source.job_outcome
    job = access_end_job(fact.user_id)
    if account.version != fact.version:
        return Outcome(EventState.PENDING, "the account changed meanwhile", job)
    until = account.verdict.entitled_until(group.known.policy)
    # Rows of before migration 0016 say nothing of it.
    due_at = until if fact.logged is None else fact.logged.next_end
    if due_at is None:
        return source.job_outcome
    if due_at > now.at:
        group.rescheduled[job] = now.system + (due_at - now.at)
        return source.job_outcome
    group.tells_end = True
    group.note(ENDED if until is None or until <= now.at else GOES_ON)
    return source.job_outcome
