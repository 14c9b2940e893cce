"""The sandbox's controls over HTTP: who may use them, and what they refuse."""

from typing import Any

import httpx
from litestar import Litestar

from payments_sandbox import Sandbox
from support.plain_http import TLS
from support.sandbox_http import CUSTOMERS, bearer, create


def test_every_control_needs_the_key(sandbox: Sandbox, client: httpx.Client) -> None:
    """
    Without the key nothing can be read or changed, at any address; with it, every
    address answers.
    """
    control = sandbox.app._control
    assert isinstance(control, Litestar)
    asked = [
        (method, route.path)
        for route in control.routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"
    ]
    assert ("POST", "/_sandbox/reset") in asked
    assert len(asked) >= 10
    create(client, "before")
    before = sandbox.state()

    with httpx.Client(base_url=sandbox.url, verify=TLS) as nobody:
        for method, path in asked:
            for headers in (
                {},
                bearer("sk_test_wrong"),
                {"Authorization": f"Basic {sandbox.api_key}"},
                {"Authorization": sandbox.api_key},
            ):
                answer = nobody.request(method, path, json={}, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert sandbox.api_key not in answer.text
    assert sandbox.state() == before
    for method, path in asked:
        answer = client.request(method, path, json={})
        assert answer.status_code in (200, 400), (method, path)


def test_a_control_refuses_what_it_does_not_know(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    A mistake is a 400 or 404 with a sentence, and has no effect.
    """
    before = sandbox.state()
    for path, body in (
        ("advance", {"until": "1 fortnight"}),
        ("advance", {"until": sandbox.engine.now - 1}),
        ("advance", {"until": True}),
        ("chaos", {"rates": {"slow": 1.5}}),
        ("chaos", {"rates": {"earthquake": 1}}),
        ("chaos", {"plans": [{"fault": "slow", "times": 0}]}),
        ("chaos", {"clam": True}),
        ("trigger", {"type": "moon.landed", "user": "ada"}),
        ("authenticate", {"intent": "pi_nothing"}),
        ("card", {"payment_method": "pm_nothing"}),
        ("roll-secret", {"endpoint": "we_nothing"}),
    ):
        answer = client.post(f"/_sandbox/{path}", json=body)
        assert answer.status_code in (400, 404), (path, body, answer.text)
        assert answer.json()["error"]["message"]
    assert client.get("/_sandbox/nothing").status_code == 404
    assert client.get("/").status_code == 404
    assert sandbox.state() == before


def test_the_controls_do_what_the_sandbox_does(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    Time, triggers, cards, chaos and the log, over HTTP.
    """

    def control(path: str, **body: Any) -> Any:
        answer = client.post(f"/_sandbox/{path}", json=body)
        return answer.raise_for_status().json()

    happened = control("trigger", type="customer.subscription.created", user="ada")
    assert "invoice.paid" in happened["events"]
    now = sandbox.engine.now
    assert control("advance", until="1 day") == {"now": now + 86_400}
    [card] = sandbox.objects("payment_method")
    control("card", payment_method=card["id"], declines="lost_card")
    control("advance", until="2 months")
    assert sandbox.objects("charge")[-1]["failure_code"] == "card_declined"
    planned = control("chaos", plans=[{"fault": "rate_limited", "matches": "GET *"}])
    assert planned["planned"] == 1
    assert client.get(CUSTOMERS).status_code == 429
    log = client.get("/_sandbox/events", params={"kind": "charge.failed"}).json()
    assert {it["type"] for it in log} == {"charge.failed"}
    assert control("reset")["objects"] == {}
    assert sandbox.objects("charge") == []
