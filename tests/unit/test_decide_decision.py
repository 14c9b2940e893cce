"""What a decision saves: each group once, in one order."""

from contracts.examples import ADA, APPLIED, an_event, key_of
from payments_core.changes import Changes
from payments_core.decide.decision import (
    Decided,
    Decision,
    event_group,
    event_job,
    user_group,
)


def test_each_group_is_saved_once_and_in_the_order_of_the_keys() -> None:
    """
    Two saves with the same groups have them in one order; a duplicate has none.
    """
    bobs, adas = Changes(key="user bob"), Changes(key="user ada")
    decided = [Decided(changes=it, outcome=APPLIED) for it in (bobs, adas, bobs)]

    assert Decision([*decided, Decided(duplicate=True)]).groups == [adas, bobs]


def test_events_of_one_id_and_two_types_have_jobs_and_groups_of_their_own() -> None:
    """
    Stripe's sample events share one id.
    """
    paid, failed = an_event("evt_0"), an_event("evt_0", type_="charge.failed")

    assert event_job(paid.key) != event_job(failed.key)
    assert event_job(paid.key) == event_job(key_of("evt_0"))
    assert event_group(paid) != event_group(failed)


def test_an_accounts_group_has_its_owner() -> None:
    """
    No event and no object can have the key of a user's group.
    """
    assert user_group(ADA) == ("user ada", ADA)
