"""What is stored about an account: the objects it names, and what a user may know."""

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CUS_1,
    NOON,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
)
from payments_core.account_facts import (
    AccountFacts,
    named_invoices,
    names_in_bodies,
)
from payments_core.events import EventState, Outcome
from payments_core.job_key import JobKind
from payments_core.kept_events import KeptEvent
from payments_core.linking import NOTHING_UNLINKED, Unlinked


def kept(id_: str, state: EventState, about: str | None) -> KeptEvent:
    event = an_event(id_)
    return KeptEvent(
        key=event.key,
        outcome=APPLIED if state is EventState.APPLIED else Outcome(state, "why"),
        created_at=NOON,
        received_at=NOON,
        object_id=about,
        livemode=False,
        user_id=ADA,
    )


def test_all_that_events_may_be_about_is_named() -> None:
    """
    The customer, subscriptions, payments and invoices; unlinked ones, too.
    """
    term = a_term("sub_1", invoice="in_1")
    own = a_subscription(a_report("sub_1"), owner=ADA, term=term)
    account = an_account(ADA, customer=CUS_1).with_subscription(own)
    facts = AccountFacts(
        account=account,
        payments=[a_record(a_payment("ch_1"), owner=ADA)],
        periods=[term],
        unlinked=Unlinked(
            [a_record(a_payment("ch_2"))], [a_subscription(a_report("sub_2"))]
        ),
    )

    assert set(facts.objects()) == {
        CUS_1,
        *("sub_1", "sub_2", "ch_1", "ch_2", "in_1"),
    }
    assert named_invoices(account) == ["in_1"]


def test_a_user_is_told_what_is_surely_theirs() -> None:
    """
    Waiting events are included. Quarantined and unlinked ones may be another user's,
    and so may the jobs and events about them.
    """
    facts = AccountFacts(
        account=an_account(ADA),
        payments=[a_record(a_payment("ch_1"), owner=ADA)],
        unlinked=Unlinked([a_record(a_payment("ch_2"))]),
        jobs=[a_job("ch_1", JobKind.PAYMENT), a_job("ch_2", JobKind.PAYMENT)],
        events=[
            kept(f"{it.value}_{about}", it, about)
            for it in EventState
            for about in ("ch_1", "ch_2", None)
        ],
    )

    own = facts.for_the_user()

    assert own.unlinked == NOTHING_UNLINKED
    assert [it.key.subject for it in own.jobs] == ["ch_1"]
    assert {it.object_id for it in own.events} == {"ch_1"}
    told = {it.outcome.state for it in own.events}
    assert told == set(EventState) - {EventState.QUARANTINED}


def test_names_are_those_of_json() -> None:
    """
    Quoted, so that a longer name does not match; escaped, as Stripe escapes them.
    """
    assert names_in_bodies(an_account('ad"ä')) == [b'"ad\\"\\u00e4"']
    assert names_in_bodies(an_account(BOB, customer=CUS_1)) == [b'"bob"', b'"cus_1"']
