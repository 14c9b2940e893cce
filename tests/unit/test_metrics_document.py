"""docs/metrics.md lists the exported families, and no others."""

import re
from collections.abc import Sequence
from typing import Final

import pytest

from payments_adapters.rate_limited_gateway.circuit_breaker import BreakerState
from payments_core.drift import DriftKind
from support.metrics_document import KEPT, families, text

WORDS_OF_PEOPLE: Final = {"email", "user", "user_id", "customer", "customer_id", "id"}


def test_the_page_is_the_one_that_is_made() -> None:
    """
    `make metrics` writes it.
    """
    assert KEPT.read_text() == text()


@pytest.mark.parametrize("family", families(), ids=lambda it: it.name)
def test_t79_no_label_is_for_what_names_somebody(family: object) -> None:
    """
    And each family has a description, under a name of ours or of the library.
    """
    labels: Sequence[str] = getattr(family, "labels", ())
    name, meaning = getattr(family, "name", ""), getattr(family, "text", "")
    assert WORDS_OF_PEOPLE.isdisjoint(labels)
    assert re.fullmatch(r"(payments|process|python_gc)_[a-z_]+", name)
    assert meaning


def test_labels_of_few_values_are_listed() -> None:
    """
    As a process exports them before it has done anything: the states that it watches.
    """
    listed = {
        (it.name, label): it.values[label] for it in families() for label in it.values
    }

    assert listed["payments_gateway_breaker", "state"] == [
        it.value for it in BreakerState
    ]
    assert set(listed["payments_drifts", "kind"]) == {it.value for it in DriftKind}
    page = KEPT.read_text()
    for (name, label), values in listed.items():
        assert f"| `{name}` | `{label}` | `{values[0]}`" in page
