"""One request in, one answer out: key, version, idempotency, route, errors.

Rule 1: a bad request is refused as by Stripe, with type, code and parameter, and
        changes nothing; only chaos answers 500.
Rule 2: the first answer to an idempotency key, once the request was executed, is its
        answer for 24 hours: declines and 500s too, but not refusals of a bad request.
Rule 3: `Date` is the time to which the answer applies, so it is the virtual time.

Source: docs.stripe.com/api/idempotent_requests and docs.stripe.com/api/errors.
"""

import base64
import hashlib
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Final

import attrs
import msgspec

from payments_sandbox.api_versions import NEWEST, generation_of, render
from payments_sandbox.errors import ApiError, CardError, invalid
from payments_sandbox.expansion import expanded
from payments_sandbox.forms import Params, parsed, read
from payments_sandbox.periods import DAY
from payments_sandbox.permissions import require
from payments_sandbox.resources import ROUTES
from payments_sandbox.routing import Route, Router
from payments_sandbox.state import Cause, Clock, Object, World

BODY_BYTES_MAX: Final = 1024 * 1024
KEY_LENGTH_MAX: Final = 255
KEY_LIFE_S: Final = DAY
_STORED: Final = frozenset({200, 402, 500})
# Parameters that name the owner of the object, if the path does not.
_OWNERS: Final = ("customer", "subscription", "payment_intent", "charge", "invoice")


@attrs.frozen(kw_only=True)
class ApiRequest:
    """A request as received; header names in lower case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ApiResponse:
    status: int
    body: bytes
    headers: Mapping[str, str]


@attrs.frozen
class _Answered:
    """The stored answer of an idempotency key, with its request and time."""

    fingerprint: bytes
    request_id: str
    at: int
    response: ApiResponse


def _failed() -> ApiError:
    # A new error each time: one that is raised again accumulates traceback frames.
    return ApiError(
        500,
        "Sorry! Something went wrong on our end: the sandbox's chaos.",
        type_="api_error",
    )


@attrs.define
class Api:
    """Answers requests from a world; `api_key` may do everything."""

    world: World
    api_key: str
    # What each restricted key may do.
    restricted: dict[str, frozenset[str]] = attrs.field(init=False, factory=dict)
    _router: Router = attrs.field(init=False, factory=lambda: Router(ROUTES))
    _answered: dict[str, _Answered] = attrs.field(init=False, factory=dict)
    # The number of requests, from which their ids are made.
    asked: int = attrs.field(init=False, default=0)
    # Keys of requests whose answer is still held back.
    busy: set[str] = attrs.field(init=False, factory=set)

    def answer(self, request: ApiRequest, *, fails: str | None = None) -> ApiResponse:
        """Execute a request; `fails` is a 500 "before" or "after" the effect."""
        self.asked += 1
        request_id = f"req_{self.asked:014d}"
        version = request.headers.get("stripe-version") or NEWEST
        headers = {
            "Content-Type": "application/json",
            "Request-Id": request_id,
            "Stripe-Version": version,
        }
        try:
            self._authenticate(request)
            generation_of(version)
            key = self._key(request)
            if key and (stored := self._stored(key, request)):
                return stored
        except ApiError as error:
            return self._failed(error, headers)
        if key:
            headers["Idempotency-Key"] = key
        response = self._carried_out(request, request_id, version, headers, fails)
        if key and response.status in _STORED:
            self._answered[key] = _Answered(
                _fingerprint(request), request_id, self.world.clocks[None].now, response
            )
        return response

    def key_of(self, request: ApiRequest) -> str | None:
        """Return the idempotency key that counts: GET and DELETE need none."""
        return (
            request.headers.get("idempotency-key") if request.method == "POST" else None
        )

    def _key(self, request: ApiRequest) -> str | None:
        key = self.key_of(request)
        if key is not None and not 0 < len(key) <= KEY_LENGTH_MAX:
            raise invalid(f"An idempotency key has 1 to {KEY_LENGTH_MAX} characters.")
        return key

    def _authenticate(self, request: ApiRequest) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            given = _user_of(given)
        if not given:
            raise ApiError(
                401,
                "You did not provide an API key. You need to provide your API key in "
                "the Authorization header, using Bearer auth.",
            )
        if given == self.api_key:
            return
        if given not in self.restricted:
            raise ApiError(401, f"Invalid API Key provided: {given[:8]}****")
        require(self.restricted[given], request.method, request.path)

    def _stored(self, key: str, request: ApiRequest) -> ApiResponse | None:
        if key in self.busy:
            raise ApiError(
                409,
                "There is currently another in-progress request using this Idempotent "
                "Key. Please try again later.",
                type_="idempotency_error",
                code="idempotency_key_in_use",
            )
        found = self._answered.get(key)
        if found is None:
            return None
        if self.world.clocks[None].now - found.at >= KEY_LIFE_S:
            del self._answered[key]
            return None
        if found.fingerprint != _fingerprint(request):
            raise ApiError(
                400,
                "Keys for idempotent requests can only be used with the same "
                f"parameters they were first used with. Try a key other than "
                f"'{key[:100]}' if you meant to execute a different request.",
                type_="idempotency_error",
            )
        again = {"Idempotent-Replayed": "true", "Original-Request": found.request_id}
        return attrs.evolve(found.response, headers={**found.response.headers, **again})

    def _carried_out(
        self,
        request: ApiRequest,
        request_id: str,
        version: str,
        headers: dict[str, str],
        fails: str | None,
    ) -> ApiResponse:
        world = self.world
        try:
            route, ids = self._router.find(request.method, request.path)
            params = read(_form(request), route.shape)
            clock = _clock(world, route, ids, params)
            headers["Date"] = formatdate(clock.now, usegmt=True)
            if fails == "before":
                raise _failed()
            cause = Cause(request_id, request.headers.get("idempotency-key"))
            with world.on(clock), world.atomic(keeping=CardError):
                world.cause = cause
                it = render(world, route.run(world, params, *ids), version)
                it = expanded(world, it, params.expand, version)
                world.catch_up()
            if fails == "after":
                raise _failed()
        except ApiError as error:
            # The intent in a decline is rendered in the version, too.
            return self._failed(error, headers, version)
        return ApiResponse(status=200, body=msgspec.json.encode(it), headers=headers)

    def _failed(
        self, error: ApiError, headers: Mapping[str, str], version: str = NEWEST
    ) -> ApiResponse:
        date = {"Date": formatdate(self.world.clocks[None].now, usegmt=True)}
        return ApiResponse(
            status=error.status,
            body=msgspec.json.encode(render(self.world, error.body(), version)),
            headers={**date, **headers},
        )


def _form(request: ApiRequest) -> dict[str, Any]:
    if len(request.body) > BODY_BYTES_MAX:
        raise invalid(f"A request has up to {BODY_BYTES_MAX} bytes.")
    if request.method != "POST":
        return parsed(request.query)
    if request.query:
        raise invalid("A POST takes its parameters in the body.")
    if request.path.startswith("/v2/"):
        return _json(request.body)
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if request.body and not kind.startswith("application/x-www-form-urlencoded"):
        raise invalid("Invalid request: the body is not form-encoded.")
    try:
        return parsed(request.body.decode())
    except UnicodeDecodeError:
        raise invalid("Invalid request: the body is not UTF-8.") from None


def _json(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise invalid("Invalid request: the body is not a JSON object.") from None


def _user_of(basic: str) -> str:
    try:
        return base64.b64decode(basic).decode().partition(":")[0]
    except ValueError:
        return ""


def _fingerprint(request: ApiRequest) -> bytes:
    words = (request.method, request.path, request.query)
    return hashlib.sha256("\n".join(words).encode() + b"\n" + request.body).digest()


def _clock(world: World, route: Route, ids: tuple[str, ...], params: Params) -> Clock:
    """Return the clock of the customer whom the request is about."""
    about: Object | None = None
    if route.kind and ids:
        about = world.find(route.kind, ids[0])
    if about is not None and about.get("customer", about) is None:
        # It has no customer: the request names the future one.
        about = None
    for kind in _OWNERS:
        id_ = getattr(params, kind, None)
        if about is None and isinstance(id_, str):
            about = world.find(kind, id_)
    test_clock = getattr(params, "test_clock", None)
    if about is None and route.method == "POST" and isinstance(test_clock, str):
        about = world.find("test_helpers.test_clock", test_clock)
    if about is not None and about["object"] == "test_helpers.test_clock":
        # A test clock's own events use the sandbox's clock; what falls due on it does
        # not.
        return (
            world.clocks[about["id"]]
            if route.path == "/v1/customers"
            else world.clocks[None]
        )
    return world.clock_of(about)
