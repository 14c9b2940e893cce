"""What a batch requested is reported, however it ends."""

import json

import pytest

from payments_core.errors import EventBodyGone, StoreUnavailable
from payments_core.events import EventKey
from payments_core.job_key import JobKey, JobKind
from payments_service.cli.batches import LISTED_MAX, Batches

JOB = JobKey(JobKind.PAYMENT, "ch_1")
GONE = (EventKey("evt_1", "charge.failed"), EventBodyGone("evt_1"))


@pytest.mark.parametrize("error", [StoreUnavailable(), KeyboardInterrupt()])
def test_what_was_asked_for_before_it_broke_off_is_told(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """
    If the database is gone, or on Ctrl-C: it stays requested, and is not everything.
    """
    asked = Batches(dry_run=False)

    def work() -> None:
        asked.add([JOB], [GONE])
        raise error

    with pytest.raises(type(error)):
        asked.told_of(work, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "complete": False,
        "asked_for": True,
        "count": 1,
        "jobs": ["payment:ch_1"],
        "refused_count": 1,
        "refused": [
            {
                "id": "evt_1",
                "type": "charge.failed",
                "reason": "the body of event evt_1 is no longer stored",
            }
        ],
    }


def test_what_broke_off_before_anything_says_its_reason_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Nothing is printed to stdout.
    """

    def work() -> None:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        Batches(dry_run=False).told_of(work, as_json=True)
    assert capsys.readouterr().out == ""


def test_very_many_are_counted_and_not_all_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    As text and as JSON; a dry run says what would be requested.
    """
    asked = Batches(dry_run=True)
    asked.told_of(lambda: asked.add([JOB] * (LISTED_MAX + 1)), as_json=False)

    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines == ["payment:ch_1 would be due at once"] * LISTED_MAX
    assert told.err == f"{LISTED_MAX + 1} would be requested\n"
