"""What must be found, and what a group changes."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    NOON,
    SUB_1,
    a_payment,
    an_account,
    email_of,
    key_of,
)
from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup
from payments_core.entitlement import PaymentSummary
from payments_core.intent import IntentId
from payments_core.linking import LinkKeys
from payments_core.payment import Payment, PaymentId, PaymentState

FULL = Lookup(
    keys=LinkKeys(frozenset({ADA})),
    payments=frozenset({CH_1}),
    subscriptions=frozenset({SUB_1}),
    events=frozenset({key_of("evt_1")}),
    histories=frozenset({ADA}),
    whole_histories=frozenset({ADA}),
    periods_of=frozenset({"sub_1"}),
    unlinked=LinkKeys(customer_ids=frozenset({CUS_1})),
    link_keys=LinkKeys(email_keys=frozenset({"ada@example.org"})),
    intents=frozenset({IntentId("int_1")}),
    idempotency_keys=frozenset({"a-key"}),
    open_intents=frozenset({ADA}),
    customers=frozenset({CUS_1}),
)
NAMES = [field.name for field in attrs.fields(Lookup)]


@pytest.mark.parametrize("name", NAMES)
def test_two_lookups_together_find_what_each_of_them_finds(name: str) -> None:
    """
    Nothing of either lookup is left out.
    """
    assert getattr(FULL, name)
    only = Lookup(**{name: getattr(FULL, name)})

    assert only | Lookup() == Lookup() | only == only
    assert only | FULL == FULL | only == FULL


def test_two_lookups_of_one_kind_are_joined() -> None:
    """
    Both keys, both payments.
    """
    one = Lookup(keys=LinkKeys(frozenset({ADA})), payments=frozenset({CH_1}))
    two = Lookup(
        keys=LinkKeys(frozenset({BOB})), payments=frozenset({PaymentId("ch_2")})
    )

    assert (one | two).keys.user_ids == {ADA, BOB}
    assert (one | two).payments == {"ch_1", "ch_2"}


DAY = timedelta(days=1)


def after_paying(*payments: Payment) -> PaymentAccount:
    return an_account().with_summary(PaymentSummary.replay(payments, ()))


UNPAID = an_account()
FAILED = after_paying(a_payment(state=PaymentState.FAILED))
PAID = after_paying(a_payment())
LONGER = after_paying(a_payment(at=NOON + DAY))
RENAMED = PAID.renamed(email_of("eve"), at=NOON)


@pytest.mark.parametrize(
    ("before", "after", "changes_account", "changes_verdict"),
    [
        (None, None, False, False),
        (PAID, PAID, False, False),
        (None, UNPAID, True, True),
        (PAID, RENAMED, True, False),
        (UNPAID, FAILED, True, True),
        (PAID, LONGER, True, True),
    ],
    ids=["no account", "as it was", "new", "renamed", "status", "date"],
)
def test_a_verdict_changes_with_the_status_or_the_date_only(
    before: PaymentAccount | None,
    after: PaymentAccount | None,
    changes_account: bool,  # noqa: FBT001  # a column
    changes_verdict: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A new account has a verdict that was not known; another name does not change it.
    """
    changes = Changes(key="user ada", before=before, after=after)

    assert changes.changes_account is changes_account
    assert (changes.logged(NOON) is not None) is changes_verdict
