"""The sandbox for tests: called in process, and checked against the SDK's own types."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs

from payments_sandbox import Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from payments_sandbox.api_versions import NEWEST
from payments_sandbox.engine import Engine
from payments_sandbox.forms import encoded, parsed
from payments_sandbox.resources.endpoints import shown
from support.sdk_requests import problems_of_request
from support.sdk_types import problems_of_object

OK = 200
STATUSES: Final = {OK, 400, 401, 402, 404, 409, 429}


class Refused(Exception):  # noqa: N818  # an answer
    """An error of the API: its status and its fields."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.type = error["type"]
        self.code = error.get("code")
        self.param = error.get("param")
        self.decline_code = error.get("decline_code")
        self.message = error["message"]


def problems_of_answer(method: str, path: str, answer: Mapping[str, Any]) -> list[str]:
    """Return the problems of a successful answer of the API."""
    if not path.startswith("/v2/"):
        return problems_of_object(answer)
    if method == "DELETE":
        # Only the id of a deleted object.
        return [] if answer.keys() == {"id", "object"} else [f"{answer}: more"]
    # A list has no other content than its objects.
    found = [answer] if "object" in answer else answer["data"]
    return [problem for it in found for problem in problems_of_object(it)]


@attrs.define
class Conformance:
    """Watches a sandbox: requests and answers must conform to the SDK's types.

    A refused request should be refused; it is not checked.
    """

    problems: list[str] = attrs.field(factory=list)
    checked: int = 0

    def __call__(self, request: ApiRequest, response: ApiResponse) -> None:
        if response.status != OK or not self._is_newest(request):
            return
        where = f"{request.method} {request.path}"
        # Requests to v2 are JSON, not forms.
        if not request.path.startswith("/v2/"):
            params = parsed(
                request.body.decode() if request.method == "POST" else request.query
            )
            self._note(
                where, problems_of_request(request.method, request.path, _text(params))
            )
        answer = json.loads(response.body)
        self._note(where, problems_of_answer(request.method, request.path, answer))

    @staticmethod
    def _is_newest(request: ApiRequest) -> bool:
        return request.headers.get("stripe-version", NEWEST) == NEWEST

    def check_events(self, engine: Engine) -> None:
        """Check every event and its object."""
        for event in engine.world.events.values():
            whole = json.loads(json.dumps(shown(engine.world, event)))
            self._note(event.type, problems_of_object(whole))

    def _note(self, where: str, problems: list[str]) -> None:
        self.checked += 1
        self.problems += [f"{where}: {problem}" for problem in problems]


def _text(params: Any) -> Any:
    """Return a form with the empty texts that it came with."""
    if isinstance(params, dict):
        return {name: _text(value) for name, value in params.items()}
    if isinstance(params, list):
        return [_text(value) for value in params]
    return "" if params is None else params


@attrs.define
class Api:
    """Calls a sandbox in process, as a client would; answers are plain JSON."""

    engine: Engine
    conformance: Conformance = attrs.field(factory=Conformance)

    @classmethod
    def begin(cls, seed: int = 0, **settings: Any) -> "Api":
        api = cls(Engine(seed=seed, **settings))
        api.engine.watch = api.conformance
        return api

    def raw(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> ApiResponse:
        form = encoded(params or {})
        is_post = method == "POST"
        return self.engine.answer(
            ApiRequest(
                method=method,
                path=f"/v1/{path}",
                query="" if is_post else form,
                body=form.encode() if is_post else b"",
                headers={
                    "authorization": f"Bearer {self.engine.api.api_key}",
                    **{name.replace("_", "-"): text for name, text in headers.items()},
                },
            )
        )

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> Any:
        """Return the answer.

        Raises:
            Refused: it is an error.
        """
        response = self.raw(method, path, params, **headers)
        answer = json.loads(response.body)
        if response.status != OK:
            raise Refused(response.status, answer["error"])
        return answer

    def post(self, path: str, **params: Any) -> Any:
        return self.call("POST", path, params)

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params)

    def delete(self, path: str, **params: Any) -> Any:
        return self.call("DELETE", path, params)

    def advance(self, until: str | int) -> int:
        return asyncio.run(self.engine.advance(until))

    @property
    def now(self) -> int:
        return self.engine.now

    def types(self, since: int = 0) -> list[str]:
        """Return the types of all events, from the `since`th on."""
        return [event.type for event in self.engine.world.events.values()][since:]

    # The start of most tests

    def price(self, unit_amount: int = 900, **recurring: Any) -> Any:
        return self.post(
            "prices",
            currency="eur",
            unit_amount=unit_amount,
            recurring={"interval": "month", **recurring},
            product_data={"name": f"Plan {unit_amount}"},
        )

    def customer(self, card: str | None = "pm_card_visa", **params: Any) -> Any:
        """Create a customer whose default payment method is this card."""
        customer = self.post("customers", **params)
        if card is None:
            return customer
        self.give_card(customer["id"], card)
        return self.get(f"customers/{customer['id']}")

    def give_card(self, customer_id: str, card: str) -> str:
        """Attach a card and make it the default; return its id."""
        method = self.post(f"payment_methods/{card}/attach", customer=customer_id)
        self.post(
            f"customers/{customer_id}",
            invoice_settings={"default_payment_method": method["id"]},
        )
        return str(method["id"])

    def subscribe(self, customer_id: str, price_id: str, **params: Any) -> Any:
        return self.post(
            "subscriptions",
            customer=customer_id,
            items=[{"price": price_id}],
            **params,
        )


def answered(  # noqa: PLR0913  # a request's parts by name
    api: Api,
    method: str,
    path: str,
    *,
    query: str = "",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> int:
    """Send a request, check that the answer is Stripe's, and return its status."""
    key = {"authorization": f"Bearer {api.engine.api.api_key}"}
    response = api.engine.answer(
        ApiRequest(
            method=method,
            path=path,
            query=query,
            body=body,
            headers={**key, **(headers or {})},
        )
    )
    answer = json.loads(response.body)
    assert response.status in STATUSES
    assert response.headers["Request-Id"].startswith("req_")
    if response.status != OK:
        assert answer.keys() == {"error"}
        assert answer["error"]["type"].endswith("_error")
        assert answer["error"]["message"]
    else:
        assert problems_of_answer(method, path, answer) == []
    return response.status


@contextmanager
def conforming(**settings: Any) -> Iterator[Sandbox]:
    """Lend a sandbox over HTTP; at the end, all its answers must conform."""
    conformance = Conformance()
    with Sandbox(**settings) as sandbox:
        sandbox.engine.watch = conformance
        yield sandbox
    conformance.check_events(sandbox.engine)
    assert conformance.problems == []
