"""`payments doctor --start`: the requirements of a process's start."""

import pytest

from faults.doctor.deployment import Deployed
from faults.doctor.wrongs import WRONGS


@pytest.mark.parametrize(
    "id_", ["D01", "D11", "D20", "D25", "D26", "D28", "D56", "D60"]
)
def test_what_a_process_cannot_start_with_is_named(
    deployed: Deployed, id_: str
) -> None:
    """
    Stripe is not called, whatever it would answer.
    """
    asked = list[object]()
    deployed.sandbox.engine.watch = lambda request, _: asked.append(request)
    WRONGS[id_].do(deployed)

    answer = deployed.doctor("--start", "--json")

    assert answer.code == 7
    assert WRONGS[id_].words in answer.out
    assert {it["check"] for it in answer.json["items"]} <= {
        *("settings", "database", "schema", "mode", "erasure key"),
    }
    # It is not reported as our bug.
    assert "Traceback" not in answer.err
    assert asked == []


def test_a_process_can_start_while_the_database_only_reads(deployed: Deployed) -> None:
    """It is not ready until writes succeed again, and needs no restart for that."""
    WRONGS["D75"].do(deployed)
    answer = deployed.doctor("--start")
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_a_process_can_start_while_stripe_is_gone(deployed: Deployed) -> None:
    """`--start` ignores everything that does not prevent the start."""
    for id_ in ("D29", "D37", "D50"):
        WRONGS[id_].do(deployed)
    answer = deployed.doctor("--start")
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_a_worker_is_looked_at_by_what_a_worker_needs(deployed: Deployed) -> None:
    """It has no caller keys and no webhook secrets, and starts without them."""
    for name in [it for it in deployed.env if "_JWT_" in it or "WEBHOOK" in it]:
        del deployed.env[name]

    assert deployed.doctor("--start", "--worker").code == 0
    serving = deployed.doctor("--start")
    assert serving.code == 7
    assert "PAYMENTS_JWT_KEYS: missing" in serving.out
