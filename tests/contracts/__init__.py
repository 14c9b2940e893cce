"""What every adapter of a port promises: one class per port, subclassed per adapter."""

import pytest

# Contracts are imported, not collected: without this their asserts say nothing.
pytest.register_assert_rewrite(
    "contracts.account_directory",
    "contracts.event_log",
    "contracts.gateway_cards",
    "contracts.gateway_changes",
    "contracts.gateway_faults",
    "contracts.gateway_sending",
    "contracts.gateway_subscriptions",
    "contracts.gateway_world",
    "contracts.intents_in_turn",
    "contracts.intents_kept",
    "contracts.jobs_kept",
    "contracts.jobs_settled",
    "contracts.keeping",
    "contracts.looking_up",
    "contracts.payment_gateway",
    "contracts.subscriptions_found",
    "contracts.subscriptions_in_turn",
    "contracts.subscriptions_kept",
    "contracts.taking_turns",
    "contracts.token_store",
    "contracts.unit_of_work",
)
