"""From an error to its answer and its log line."""

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from payments_core.errors import KeysUnavailable, PaymentsError, StoreUnavailable
from payments_service.http.problems import of_error


@pytest.mark.parametrize(
    ("error", "logged"),
    [(StoreUnavailable(), ["unavailable"]), (KeysUnavailable("users"), [])],
)
def test_who_has_no_name_fills_no_log(error: PaymentsError, logged: list[str]) -> None:
    """
    Anybody may write a token of an unknown key; an outage of the keys is logged once.
    """
    connection: Any = SimpleNamespace(scope={})
    with capture_logs() as logs:
        answer = of_error(connection, error)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert [it["event"] for it in logs] == logged
