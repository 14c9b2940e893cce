"""Webhook endpoints of the sandbox: how many, their secrets and addresses."""

from typing import Any

import pytest

from payments_sandbox.errors import ApiError
from support.sandbox import Api, Refused
from support.sandbox_refusals import INVALID


def test_there_are_up_to_sixteen_webhook_endpoints(api: Api) -> None:
    """The next one is refused, until one is deleted."""
    params: dict[str, Any] = {"url": "https://example.com", "enabled_events": ["*"]}
    made = [api.post("webhook_endpoints", **params)["id"] for _ in range(16)]
    with pytest.raises(Refused) as refused:
        api.post("webhook_endpoints", **params)
    assert (refused.value.status, refused.value.type) == (400, INVALID)
    api.delete(f"webhook_endpoints/{made[0]}")
    assert api.post("webhook_endpoints", **params)["secret"].startswith("whsec_")


def test_the_secret_of_an_endpoint_is_said_once(api: Api) -> None:
    """When it is made, and never again."""
    made = api.post(
        "webhook_endpoints", url="https://example.com", enabled_events=["*"]
    )
    assert "secret" not in api.get(f"webhook_endpoints/{made['id']}")


@pytest.mark.parametrize(
    "url",
    [
        "nowhere",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http://127.0.0.1/a\nb",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(api: Api, url: str) -> None:
    """By the API, and by who adds an endpoint from outside: it would never answer."""
    with pytest.raises(Refused) as refused:
        api.post("webhook_endpoints", url=url, enabled_events=["*"])
    assert (refused.value.code, refused.value.param) == ("url_invalid", "url")
    with pytest.raises(ApiError, match="Invalid URL"):
        api.engine.add_endpoint(url, f"whsec_{'s' * 24}")
