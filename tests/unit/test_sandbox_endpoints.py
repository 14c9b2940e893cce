"""Where the sandbox sends events: how many, their types, secrets and addresses."""

import json
from typing import Any, Final, get_args

import pytest
from stripe.params import WebhookEndpointCreateParams

from payments_sandbox.api import ApiRequest
from payments_sandbox.errors import ApiError
from payments_sandbox.event_types import EVENT_TYPES
from support.sandbox import Api, Refused
from support.sandbox_refusals import INVALID
from support.sdk_types import problems_of_object

DESTINATIONS: Final = "/v2/core/event_destinations"
URL: Final = "https://example.com"


def asked(
    api: Api, method: str, path: str, key: str | None = None, **body: Any
) -> tuple[int, Any]:
    """Send a JSON request as v2 takes it; return the status and the answer."""
    response = api.engine.answer(
        ApiRequest(
            method=method,
            path=path,
            query=body.pop("query", ""),
            body=json.dumps(body).encode() if method == "POST" else b"",
            headers={
                "authorization": f"Bearer {key or api.engine.api_key}",
                "content-type": "application/json",
            },
        )
    )
    return response.status, json.loads(response.body)


def a_destination(**more: Any) -> dict[str, Any]:
    return {
        "name": "ours",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": ["v1.customer.created"],
        "webhook_endpoint": {"url": URL},
        **more,
    }


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
    """By the API, and for an endpoint added from outside: it would never answer."""
    with pytest.raises(Refused) as refused:
        api.post("webhook_endpoints", url=url, enabled_events=["*"])
    assert (refused.value.code, refused.value.param) == ("url_invalid", "url")
    with pytest.raises(ApiError, match="Invalid URL"):
        api.engine.add_endpoint(url, f"whsec_{'s' * 24}")


def test_the_types_that_may_be_enabled_are_the_sdks() -> None:
    """No more, and no fewer."""
    hint = WebhookEndpointCreateParams.__annotations__["enabled_events"]
    [literal] = get_args(hint)
    assert EVENT_TYPES | {"*"} == set(get_args(literal))


@pytest.mark.parametrize("method", ["create", "update"])
def test_a_type_that_is_none_is_refused(api: Api, method: str) -> None:
    """And named by its place."""
    made = api.post("webhook_endpoints", url=URL, enabled_events=["*"])
    path = "webhook_endpoints" + (f"/{made['id']}" if method == "update" else "")
    more = {"url": URL} if method == "create" else {}
    with pytest.raises(Refused) as refused:
        api.post(path, enabled_events=["invoice.paid", "invoice.pied"], **more)
    assert (refused.value.status, refused.value.param) == (400, "enabled_events[1]")


def test_an_event_destination_lives_as_stripes_do(api: Api) -> None:
    """
    Made with its secret if the secret is included, changed, disabled and enabled,
    deleted.
    """
    include = ["webhook_endpoint.signing_secret", "webhook_endpoint.url"]
    _, bare = asked(api, "POST", DESTINATIONS, **a_destination())
    status, made = asked(api, "POST", DESTINATIONS, **a_destination(include=include))
    assert (status, problems_of_object(made)) == (200, [])
    assert bare["webhook_endpoint"] == {"signing_secret": None, "url": None}
    assert made["webhook_endpoint"]["signing_secret"].startswith("whsec_")
    assert made["webhook_endpoint"]["url"] == URL

    one = f"{DESTINATIONS}/{made['id']}"
    _, changed = asked(
        api, "POST", one, enabled_events=["v1.invoice.paid"], metadata={"a": "b"}
    )
    assert changed["enabled_events"] == ["v1.invoice.paid"]
    assert changed["metadata"] == {"a": "b"}
    assert asked(api, "POST", f"{one}/disable")[1]["status"] == "disabled"
    assert asked(api, "POST", f"{one}/enable")[1]["status"] == "enabled"
    _, shown = asked(api, "GET", one)
    assert shown["webhook_endpoint"] == {"signing_secret": None, "url": None}
    assert asked(api, "DELETE", one)[1]["id"] == made["id"]
    assert asked(api, "GET", one)[0] == 404


def test_event_destinations_are_listed_in_pages(api: Api) -> None:
    """
    Each page names the next one; endpoints and destinations share the sixteen.
    """
    api.post("webhook_endpoints", url=URL, enabled_events=["*"])
    made = [asked(api, "POST", DESTINATIONS, **a_destination()) for _ in range(16)]
    assert [status for status, _ in made] == [200] * 15 + [400]

    query = "limit=10&include[0]=webhook_endpoint.url"
    _, first = asked(api, "GET", DESTINATIONS, query=query)
    path, _, query = first["next_page_url"].partition("?")
    _, second = asked(api, "GET", path, query=query)
    listed = [it["id"] for it in [*first["data"], *second["data"]]]
    assert listed == [it["id"] for _, it in made[:15]][::-1]
    assert {it["webhook_endpoint"]["url"] for it in second["data"]} == {URL}
    assert second["next_page_url"] is None


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"event_payload": "snapshot"}, "event_payload"),
        ({"enabled_events": ["customer.created"]}, "enabled_events[0]"),
        ({"enabled_events": []}, "enabled_events"),
        ({"webhook_endpoint": {"url": "nowhere"}}, "url"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_destination_that_cannot_be_is_refused(
    api: Api, wrong: dict[str, Any], param: str
) -> None:
    """With the parameter."""
    status, answer = asked(api, "POST", DESTINATIONS, **a_destination(**wrong))
    assert (status, answer["error"]["param"]) == (400, param)


def test_a_restricted_key_may_do_what_it_says(api: Api) -> None:
    """
    A key with write access can read; everything else is a 403 that names the missing
    permission, and does not count as a request.
    """
    entries = list[Any]()
    api.engine.record = entries.append
    key = api.engine.restricted_key("customer_write", "event_read")

    def status(method: str, path: str, **body: Any) -> int:
        return asked(api, method, path, key, **body)[0]

    assert status("GET", "/v1/customers") == status("GET", "/v1/events") == 200
    assert status("DELETE", "/v1/customers/cus_none") == 404
    assert status("GET", "/v1/charges") == status("GET", "/v1/webhook_endpoints") == 403
    refused, answer = asked(api, "POST", DESTINATIONS, key, **a_destination())
    assert (refused, answer["error"]["type"]) == (403, INVALID)
    assert "'rak_webhook_write'" in answer["error"]["message"]
    assert [it.path for it in entries] == ["/v1/customers/cus_none"]
    with pytest.raises(ValueError, match="customers_write"):
        api.engine.restricted_key("customers_write")
