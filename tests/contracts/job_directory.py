"""What every list of jobs promises: open jobs, the first due first, in pages."""

from typing import Any

from contracts.examples import NOON, a_job, a_job_key
from contracts.full_values import HOUR
from contracts.ledger_jobs import JOB, asked, claimed, failed_often, finished
from contracts.stores import Stores
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPlace


class JobDirectoryContract:
    async def test_an_empty_store_has_no_job(self, stores: Stores) -> None:
        """
        Neither by its key, nor in a list.
        """
        assert await stores.job_list.find(JOB) is None
        page = await stores.job_list.page()
        assert (list(page.jobs), page.after) == ([], None)
        assert await stores.job_list.count_failing(limit=9) == 0

    async def test_a_job_is_found_as_it_was_saved(self, stores: Stores) -> None:
        """
        Open or done; a job that is done is not listed.
        """
        await asked(stores, a_job(), a_job("sub_2", due_at=NOON + HOUR))
        await finished(stores, await claimed(stores))

        assert await stores.job_list.find(JOB) == await stores.job(JOB)
        page = await stores.job_list.page()
        assert [it.key for it in page.jobs] == [a_job_key("sub_2")]

    async def test_a_list_goes_on_where_its_page_ended(self, stores: Stores) -> None:
        """
        By due time; at one time, by kind and subject; none comes twice.
        """
        wanted = [
            a_job("sub_2", JobKind.CUSTOMER),
            a_job("sub_1"),
            a_job("sub_3"),
            a_job("sub_0", due_at=NOON + HOUR),
        ]
        await asked(stores, *reversed(wanted))
        listed, after = list[object](), None
        for left in (3, 2, 1, 0):
            page = await stores.job_list.page(after=after, limit=1)
            listed += [it.key for it in page.jobs]
            after = page.after
            assert (after is None) is (left == 0)

        assert listed == [it.key for it in wanted]
        beyond = JobPlace(NOON + HOUR, a_job_key("sub_0"))
        assert not (await stores.job_list.page(after=beyond)).jobs

    async def test_what_fails_is_listed_and_counted_apart(self, stores: Stores) -> None:
        """
        Until it is requested again.
        """
        await asked(stores, a_job())
        await failed_often(stores, await claimed(stores))
        await asked(stores, a_job("sub_2"))

        page = await stores.job_list.page(failing=True)
        assert [it.key for it in page.jobs] == [JOB]
        assert len((await stores.job_list.page()).jobs) == 2
        assert await stores.job_list.count_failing(limit=9) == 1
        assert await stores.job_list.count_failing(limit=0) == 0
        await asked(stores, a_job())
        assert not (await stores.job_list.page(failing=True)).jobs

    async def test_jobs_are_told_of_one_kind_and_since_a_moment(
        self, stores: Stores
    ) -> None:
        """
        Open or failing; a job due at exactly that time is included.
        """
        customer = a_job("cus_1", JobKind.CUSTOMER, due_at=NOON + HOUR)
        await asked(stores, a_job(), customer)
        await failed_often(stores, await claimed(stores))
        (failing,) = (await stores.job_list.page(failing=True)).jobs

        async def found(**wanted: Any) -> list[JobKey]:
            return [it.key for it in (await stores.job_list.page(**wanted)).jobs]

        assert await found(kind=JobKind.CUSTOMER) == [customer.key]
        assert await found(kind=JobKind.CUSTOMER, failing=True) == []
        assert await found(kind=JobKind.SUBSCRIPTION, failing=True) == [JOB]
        due_at = failing.lease.due_at
        assert due_at > NOON + HOUR
        assert await found(since=NOON + HOUR) == [customer.key, JOB]
        assert await found(since=NOON + 2 * HOUR) == [JOB]
        assert await found(since=due_at, failing=True) == [JOB]
        assert await found(since=due_at + HOUR) == []
