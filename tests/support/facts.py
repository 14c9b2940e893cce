"""Arbitrary facts about three users, two of their customers, and their objects."""

from datetime import UTC
from typing import Final

from hypothesis import strategies as st

from contracts.examples import ADA, BOB, CUS_1, CUS_2, a_report, a_term, email_of
from contracts.worlds import moments
from payments_core.by_hand import ByHand
from payments_core.events import CardChange, CardReported, EventKey
from payments_core.facts import (
    CardObserved,
    CloseDecided,
    CustomerBound,
    CustomerDeleted,
    LinkDecided,
    LinkRequested,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.subscription import SubscriptionStatus

EVE: Final = UserId("eve")

some_text = st.sampled_from([None, "", ADA, BOB, CUS_1, CUS_2, email_of(ADA).key])
any_text = some_text | st.text(max_size=5)
any_report = st.builds(
    Payment,
    id=st.sampled_from(["ch_1", "ch_2", ""]),
    state=st.sampled_from(PaymentState),
    dispute=st.sampled_from(DisputeState),
    amount=st.none()
    | st.builds(Money, st.integers(0, 3), st.sampled_from(["eur", "usd"])),
    refunded_minor=st.integers(0, 2**60),
    created_at=st.none() | moments | st.datetimes(timezones=st.just(UTC)),
    customer_id=any_text,
    metadata_user_id=any_text,
    email=any_text,
    invoice_id=any_text,
    failure_code=any_text,
)
customers = st.sampled_from([None, CUS_1, CUS_2])
any_observation = st.builds(
    SubscriptionObserved,
    report=st.builds(
        a_report,
        st.sampled_from(["sub_1", "sub_2", ""]),
        st.sampled_from(SubscriptionStatus),
        at=moments,
        ended_at=st.none() | moments,
        user=any_text,
        customer=st.sampled_from([CUS_1, CUS_2, CustomerId("")]),
    ),
    at=moments,
    sequence=st.none() | st.integers(0, 9),
)
any_period = st.builds(a_term, st.sampled_from(["sub_1", "sub_2"]), starts_at=moments)
any_fact_without_an_event = st.one_of(
    any_report.map(PaymentReported),
    st.builds(PaymentCorrected, any_report, st.integers(0, 9)),
    any_observation,
    any_period.map(PeriodPaid),
    st.builds(
        CardObserved,
        customer_id=st.sampled_from([CUS_1, CUS_2]),
        card=st.none(),
        sequence=st.integers(0, 9),
    ),
    st.builds(
        UserRegistered,
        user_id=st.sampled_from([ADA, BOB, EVE]),
        email=st.sampled_from([email_of(ADA), email_of(BOB), email_of(EVE)]),
        customer_id=customers,
    ),
    st.builds(
        CustomerBound,
        user_id=st.sampled_from([ADA, BOB, EVE]),
        customer_id=st.sampled_from([CUS_1, CUS_2]),
        existed=st.booleans(),
    ),
    st.sampled_from([ADA, BOB, EVE]).map(LinkRequested),
    st.sampled_from([CUS_1, CUS_2]).map(CustomerDeleted),
    st.builds(
        SubscriptionLinkDecided,
        gateway_id=st.sampled_from(["sub_1", "sub_2"]),
        user_id=st.sampled_from([ADA, BOB, None]),
        by_hand=st.just(ByHand(by="root", reason="seen")),
    ),
    st.builds(
        CloseDecided,
        key=st.sampled_from([EventKey("evt_1", "charge.succeeded")]),
        by_hand=st.just(ByHand(by="root", reason="seen")),
    ),
    st.builds(
        LinkDecided,
        payment_id=st.sampled_from([PaymentId("ch_1"), PaymentId("ch_2")]),
        user_id=st.sampled_from([ADA, BOB, None]),
        by_hand=st.just(ByHand(by="root", reason="seen")),
    ),
)
# Cards are reported only by events, each of which is recorded once.
any_fact = any_fact_without_an_event | st.builds(
    CardReported,
    customer_id=st.sampled_from([CUS_1, CUS_2]),
    change=st.sampled_from(CardChange),
    card_id=st.sampled_from([None, "pm_1", ""]),
    card=st.none(),
    reason=st.just("told"),
)
