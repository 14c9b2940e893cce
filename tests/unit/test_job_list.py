"""Where a job is in a list."""

from datetime import timedelta

from contracts.examples import NOON, a_job
from payments_core.job_key import JobKind
from payments_core.job_list import JobPlace


def test_jobs_are_listed_by_when_they_are_due_then_by_kind_and_subject() -> None:
    """
    So no two have the same place, and a page begins where the last one ended.
    """
    jobs = [
        a_job("sub_9", JobKind.CUSTOMER),
        a_job("sub_1"),
        a_job("sub_2"),
        a_job("sub_0", due_at=NOON + timedelta(seconds=1)),
    ]

    orders = [JobPlace.of(it).order for it in jobs]
    assert orders == sorted(set(orders))
