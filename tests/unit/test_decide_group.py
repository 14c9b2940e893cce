"""What a group requests: each job once, in one order, and none that it finishes."""

from datetime import timedelta

import attrs

from contracts.examples import (
    ADA,
    NOON,
    a_job,
    a_job_key,
    a_report,
    a_subscription,
)
from payments_core.changes import JobFinish
from payments_core.decide import SYNC_AFTER_PAYMENT
from payments_core.events import SyncNeeded
from payments_core.facts import (
    APPLIED,
)
from payments_core.job import Job
from payments_core.job_key import JobKind
from support.deciding import Kept, found
from support.subscribed import S, fetched, kept_with, only


def test_of_two_wishes_for_one_job_the_earlier_counts() -> None:
    """
    Whichever came first.
    """
    key = a_job_key()
    for delays in (
        (SYNC_AFTER_PAYMENT, timedelta()),
        (timedelta(), SYNC_AFTER_PAYMENT),
    ):
        wishes = [SyncNeeded(job=key, reason="because", after=it) for it in delays]
        group = only(Kept().decide(found(*wishes)).groups)
        assert group.jobs == (Job.due(key, "because", NOON),)


def test_who_works_on_a_job_does_not_ask_for_it() -> None:
    """
    The job is finished together with its result, and nothing is left to request.
    """
    claimed = a_job().claimed(NOON)
    wish = SyncNeeded(job=claimed.key, reason="because")
    sync = attrs.evolve(found(fetched(a_report()), wish), job=claimed)
    group = only(Kept().decide(sync).groups)

    assert group.finished == (JobFinish(claimed, claimed.finished(), APPLIED, NOON),)
    assert not group.jobs
    assert group.subscriptions


def test_what_was_fetched_before_what_is_known_is_fetched_again() -> None:
    """
    Its job is due again at once, settles no event, and changes nothing.
    """
    known = a_subscription(owner=ADA, sequence=3)
    claimed = a_job().claimed(NOON)
    stale = fetched(a_report(status=S.PAST_DUE), sequence=3)
    group = only(
        kept_with(known).decide(attrs.evolve(found(stale), job=claimed)).groups
    )

    assert group.finished == (JobFinish(claimed, claimed.requeued(NOON), None, NOON),)
    assert not group.jobs
    assert not group.subscriptions


def test_jobs_come_in_the_order_of_their_keys() -> None:
    """
    Two saves that request the same jobs have them in one order.
    """
    keys = [a_job_key(it, kind) for kind in sorted(JobKind) for it in ("a", "b", "c")]
    wishes = [SyncNeeded(job=key, reason="because") for key in reversed(keys)]
    group = only(Kept().decide(found(*wishes)).groups)

    assert [job.key for job in group.jobs] == keys
