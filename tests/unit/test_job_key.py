"""When two requests are one job, and what people call it."""

import pytest

from payments_core.errors import InvalidValue
from payments_core.job_key import JobKey, JobKind


def test_p19_the_kinds_are_the_documented_ones() -> None:
    """
    A new kind must be added to the worker and the database too.
    """
    assert " ".join(JobKind) == (
        "subscription customer payment set_up event access_end"
    )


@pytest.mark.parametrize(
    ("key", "id_"),
    [
        (JobKey(JobKind.SUBSCRIPTION, "sub_1"), "subscription:sub_1"),
        (JobKey(JobKind.SET_UP, "seti_1"), "set_up:seti_1"),
        (JobKey(JobKind.EVENT, "evt_1 charge.failed"), "event:evt_1:charge.failed"),
        (JobKey(JobKind.EVENT, "e:1 charge.failed"), "event:e:1:charge.failed"),
    ],
)
def test_a_job_has_an_id_for_people(key: JobKey, id_: str) -> None:
    """
    Without a space, so that it is one argument on a command line.
    """
    assert key.id == id_
    assert JobKey.of_id(id_) == key


@pytest.mark.parametrize("text", ["", "sub_1", "subscription:", "dance:1", ":x"])
def test_what_names_no_job_is_refused(text: str) -> None:
    """
    The refusal lists the kinds.
    """
    with pytest.raises(InvalidValue, match="subscription, customer") as refusal:
        JobKey.of_id(text)
    assert refusal.value.field == "id"
