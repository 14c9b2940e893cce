"""Requests to a sandbox: the parameters of its calls, as they are drawn.

Spans of seconds replace times; a test counts them from its own time.
"""

from typing import Final

from hypothesis import strategies as st

from payments_sandbox.periods import DAY, HOUR

PRICES: Final = (
    (900, {"interval": "month"}),
    (2101, {"interval": "month"}),
    (301, {"interval": "day"}),
    (1500, {"interval": "week"}),
    (9999, {"interval": "year"}),
    (2500, {"interval": "month", "interval_count": 3}),
    (0, {"interval": "month"}),
)

CARDS: Final = st.sampled_from(
    [
        "pm_card_visa",
        "pm_card_visa",
        "pm_card_chargeCustomerFail",
        "pm_card_authenticationRequired",
        "pm_card_authenticationRequiredOnSetup",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "pm_card_createDispute",
        "pm_card_createDisputeInquiry",
        "pm_card_chargeDeclined",
        "pm_card_pendingRefund",
        "pm_card_radarBlock",
        "pm_card_refundFail",
    ]
)
# The index of an existing one: the newest first.
WHICH: Final = st.integers(0, 7)
BEHAVIORS: Final = st.sampled_from(
    [
        "allow_incomplete",
        "default_incomplete",
        "error_if_incomplete",
        "pending_if_incomplete",
    ]
)
PRORATIONS: Final = st.sampled_from(["always_invoice", "create_prorations", "none"])
DECLINES: Final = st.sampled_from(["insufficient_funds", "lost_card", None])
QUANTITIES: Final = st.sampled_from([1, 2, 3, 0])
PRICE: Final = st.integers(0, len(PRICES) - 1)
SPANS: Final = st.sampled_from(
    ["1", "1 hour", "1 day", "3 days", "9 days", "15 days", "1 month", "2 months"]
)
SOON: Final = st.sampled_from([1, HOUR, DAY, 3 * DAY + 5, 10 * DAY, 40 * DAY])
ITEM: Final = st.fixed_dictionaries(
    {
        "how": st.sampled_from(["quantity", "price", "add", "delete"]),
        "price": PRICE,
        "quantity": QUANTITIES,
    }
)
ITEM_CHANGE: Final = st.fixed_dictionaries(
    {"items": ITEM},
    optional={
        "payment_behavior": BEHAVIORS,
        "proration_behavior": PRORATIONS,
        "proration_date": st.fractions(0, 1),
    },
)
RESTART: Final = st.fixed_dictionaries(
    {},
    optional={
        "billing_cycle_anchor": st.just({"type": "now"}),
        "items": ITEM,
        "payment_behavior": BEHAVIORS,
        "proration_behavior": PRORATIONS,
        "trial_end": st.one_of(st.just("now"), SOON),
    },
)
PLANNED_END: Final = st.fixed_dictionaries(
    {},
    optional={
        "cancel_at": st.one_of(st.none(), SOON),
        "cancel_at_period_end": st.booleans(),
        "items": ITEM,
        "metadata": st.just({"plan": "b"}),
    },
)
PAUSE: Final = st.one_of(
    st.just(""),
    st.fixed_dictionaries(
        {"behavior": st.sampled_from(["keep_as_draft", "mark_uncollectible", "void"])},
        optional={"resumes_at": SOON},
    ),
)
ENDS: Final = st.sampled_from(
    [{}, {}, {}, {"cancel_at": 40 * DAY}, {"cancel_at_period_end": True}]
)
NEW: Final = st.fixed_dictionaries(
    {"price": PRICE, "quantity": QUANTITIES, "ends": ENDS},
    optional={
        "payment_behavior": BEHAVIORS,
        "payment_settings": st.just({"save_default_payment_method": "on_subscription"}),
        "trial_end": SOON,
        "trial_settings": st.sampled_from(["cancel", "create_invoice", "pause"]).map(
            lambda word: {"end_behavior": {"missing_payment_method": word}}
        ),
    },
)
