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
    "contracts.keeping",
    "contracts.looking_up",
    "contracts.payment_gateway",
    "contracts.taking_turns",
    "contracts.token_store",
    "contracts.unit_of_work",
)
