"""The key of a request to the sandbox, as a bearer's or as a user's name."""

import base64
import json

import pytest

from payments_sandbox.api import ApiRequest, ApiResponse
from support.sandbox import Api
from support.sandbox_refusals import INVALID


def ask(
    api: Api, method: str, path: str, body: str = "", **headers: str
) -> ApiResponse:
    """Send a request without defaults: no key unless it is given."""
    return api.engine.answer(
        ApiRequest(
            method=method,
            path=path,
            body=body.encode(),
            headers={name.replace("_", "-"): text for name, text in headers.items()},
        )
    )


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer sk_test_wrong", basic("sk_test_wrong:"), "Basic é", "x y"],
)
def test_who_has_no_key_is_asked_for_it(api: Api, authorization: str) -> None:
    """401 for every request, and the given key is not repeated."""
    for path in ("/v1/customers", "/v1/nothing"):
        answer = ask(api, "GET", path, authorization=authorization)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"]) == (401, INVALID)
        assert "sk_test_wrong" not in error["message"]


def test_the_key_may_be_a_bearers_or_a_users_name(api: Api) -> None:
    """As curl's `-u key:` sends it."""
    key = api.engine.api.api_key
    for authorization in (f"Bearer {key}", basic(f"{key}:"), basic(key)):
        answer = ask(api, "GET", "/v1/account", authorization=authorization)
        assert answer.status == 200
