"""What every adapter of a port promises: one class per port, subclassed per adapter."""

import pytest

# Contracts are imported, not collected: without this their asserts say nothing.
pytest.register_assert_rewrite(
    "contracts.directories",
    "contracts.event_log",
    "contracts.gateway_cards",
    "contracts.gateway_changes",
    "contracts.gateway_faults",
    "contracts.gateway_sending",
    "contracts.gateway_subscriptions",
    "contracts.gateway_world",
    "contracts.ledger_guards",
    "contracts.ledger_jobs",
    "contracts.ledger_links",
    "contracts.ledger_loads",
    "contracts.ledger_races",
    "contracts.ledger_values",
    "contracts.payment_gateway",
    "contracts.stores",
    "contracts.token_store",
    "contracts.work_queue",
)
