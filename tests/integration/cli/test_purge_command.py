"""`payments purge`: what was kept long enough goes, and it is said before."""

from collections.abc import Iterator

import pytest

from support import databases
from support.commands import Dev

# Old enough for these commands, and not for the service's own worker.
_OLD = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at)
select 'payment', 'purged_' || n, '', now(), 1, 0, 1, true, now() - interval '40 days'
from generate_series(1, 3) n
"""
_LEFT = "select count(*) from jobs where subject like 'purged_%'"
_KEPT = {"PAYMENTS_KEEP_JOBS_DAYS": "30", "PAYMENTS_KEEP_EVENTS_DAYS": "0"}


@pytest.fixture
def old(dev: Dev) -> Iterator[str]:
    url = dev.facts["database_url"]
    databases.run(databases.execute(url, _OLD))
    yield url
    gone = "delete from jobs where subject like 'purged_%'"
    databases.run(databases.execute(url, gone))


def left(url: str) -> int:
    ((count,),) = databases.run(databases.fetch(url, _LEFT))
    return int(count)


def test_a_dry_run_says_what_would_go_and_purges_nothing(dev: Dev, old: str) -> None:
    """
    Of each kind how much; what is kept for good is none.
    """
    items = dev.run("purge", "--dry-run", "--json", **_KEPT).json["items"]
    counts = {it["kind"]: (it["count"], it["more"]) for it in items}
    assert counts["jobs"] == (3, False)
    assert counts["events"] == (None, False)
    assert left(old) == 3

    shown = dev.run("purge", "--dry-run", **_KEPT)
    assert "jobs         3" in shown.out
    assert "kept for good" in shown.err


def test_what_is_old_is_purged_once(dev: Dev, old: str) -> None:
    """
    It says how much it was; a second time there is nothing.
    """
    for count in (3, 0):
        items = dev.run("purge", "--json", **_KEPT).json["items"]
        assert {it["kind"]: it["count"] for it in items}["jobs"] == count
        assert left(old) == 0
