"""What every list of jobs promises: what is open, the first due first, in pages."""

from contracts.examples import NOON, a_job, a_job_key
from contracts.full_values import HOUR
from contracts.ledger_jobs import JOB, asked, claimed, failed_often, finished
from contracts.stores import Stores
from payments_core.job import JobKind
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
        By when they are due; of one moment, by kind and subject; none twice.
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
        Until it is asked for again.
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
