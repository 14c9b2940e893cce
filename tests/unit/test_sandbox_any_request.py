"""Whatever the sandbox is sent, it answers as Stripe does, and time still passes."""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import inspect

from payments_sandbox.engine import START, Engine
from payments_sandbox.errors import ApiError
from payments_sandbox.forms import parsed
from payments_sandbox.periods import DAY
from payments_sandbox.resources import ROUTES
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.routing import Route
from support.sandbox import Api, answered
from support.sdk_types import problems_of_object
from support.snapshots import snapshot_of


def a_world() -> Api:
    """Make a sandbox with something of everything, the same each time."""
    api = Api.begin()
    price, other = api.price()["id"], api.price(1_900)["id"]
    customer = api.customer()["id"]
    active = api.subscribe(customer, price)
    api.subscribe(customer, other, trial_period_days=14)
    api.post(
        f"subscriptions/{active['id']}",
        items=[{"id": active["items"]["data"][0]["id"], "quantity": 2}],
    )
    api.subscribe(api.customer("pm_card_chargeCustomerFail")["id"], price)
    disputing = api.customer("pm_card_createDispute")["id"]
    api.post("setup_intents", customer=disputing)
    api.subscribe(disputing, price)
    api.post("refunds", charge=api.get("charges")["data"][-1]["id"], amount=100)
    api.post("invoiceitems", customer=customer, amount=100, currency="eur")
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    api.post("customers", test_clock=clock)
    # An address that is not reachable: nothing is sent in process.
    api.post("webhook_endpoints", url="http://127.0.0.1:9/", enabled_events=["*"])
    api.engine.watch = lambda _, __: None
    return api


@functools.cache
def the_world() -> Callable[[], Engine]:
    """Return a factory of copies: to make the world takes longer than a request."""
    return snapshot_of(a_world().engine)


@functools.cache
def known_ids() -> tuple[str, ...]:
    objects = the_world()().world.objects
    return tuple(id_ for table in objects.values() for id_ in table)


MOMENTS: Final = [str(START + days * DAY) for days in (-1, 0, 1, 10, 31, 60, 800)]
WORDS: Final = [
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "pm_card_chargeDeclined",
    "tok_visa",
    "eur",
    "usd",
    "card",
    "https://example.com/",
    "created>1 AND -metadata['a']:'b'",
    "data.customer",
    "latest_invoice.payments",
]
anything = st.text(max_size=12) | st.sampled_from(["", "null", "0", "-1", "9" * 30])
ids = st.integers(0, 500).map(lambda at: known_ids()[at % len(known_ids())])


def leaves(kind: inspect.Type, path: str) -> Iterator[tuple[str, list[str] | None]]:
    """Name each place in a form, with the words it accepts; None if it takes text."""
    match kind:
        case inspect.UnionType():
            for it in kind.types:
                yield from leaves(it, path)
        case inspect.StructType():
            for field in kind.fields:
                name = field.encode_name
                yield from leaves(field.type, f"{path}[{name}]" if path else name)
        case inspect.VarTupleType():
            yield from leaves(kind.item_type, f"{path}[0]")
        case inspect.DictType():
            yield f"{path}[a]", None
        case inspect.LiteralType():
            yield path, [str(value) for value in kind.values]
        case inspect.BoolType():
            yield path, ["true", "false"]
        case inspect.IntType():
            yield path, [*MOMENTS, "0", "1", "2", "100", "99999999"]
        case _:
            yield path, None


@functools.cache
def places_of(shape: Any) -> Sequence[tuple[str, list[str] | None]]:
    """Return the places of a route's parameters; to inspect its type takes a while."""
    return tuple(leaves(inspect.type_info(shape), ""))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str]:
    """Draw a route, and parameters of which many are valid."""
    route = draw(st.sampled_from(ROUTES))
    path = re.sub(r"\{\w+\}", lambda _: quote(draw(ids), safe=""), route.path)
    places = places_of(route.shape)
    chosen = draw(st.lists(st.sampled_from(places), max_size=6))
    good = [
        (name, draw(st.sampled_from(words) if words else ids | st.sampled_from(WORDS)))
        for name, words in chosen
    ]
    bad = draw(st.lists(st.tuples(anything, anything), max_size=1))
    form = urlencode([*good, *bad])
    if route.method == "POST" and path.startswith("/v2/"):
        with contextlib.suppress(ApiError):
            form = json.dumps(parsed(form))
    return route.method, path, form


@given(st.lists(requests(), min_size=1, max_size=8))
def test_no_request_breaks_the_sandbox(asked: list[tuple[str, str, str]]) -> None:
    """Whatever is sent, in any order: there is an answer, and time still passes."""
    api = Api(the_world()())
    for method, path, form in asked:
        is_post = method == "POST"
        answered(
            api,
            method,
            path,
            query="" if is_post else form,
            body=form.encode() if is_post else b"",
        )
    api.advance("40 days")
    for event in api.engine.world.events.values():
        whole = json.loads(json.dumps(shown(api.engine.world, event)))
        assert problems_of_object(whole) == []


@given(
    st.sampled_from(ROUTES),
    st.text(max_size=20).filter(lambda it: "/" not in it),
    st.text(max_size=30) | st.just("expand[]=a.b.c"),
    st.binary(max_size=30) | st.text(max_size=30).map(str.encode),
    st.dictionaries(
        st.sampled_from(
            ["authorization", "content-type", "idempotency-key", "stripe-version"]
        ),
        st.text(max_size=20)
        | st.sampled_from(["Basic eDp5", "Basic é", "Bearer", "2024-09-30.acacia"]),
        max_size=2,
    ),
)
def test_any_text_is_answered(
    route: Route, id_: str, query: str, body: bytes, headers: dict[str, str]
) -> None:
    """In an address, a query, a body or a header: never worse than a refusal."""
    path = re.sub(r"\{\w+\}", lambda _: id_, route.path)
    answered(Api.begin(), route.method, path, query=query, body=body, headers=headers)


@given(st.text(max_size=60) | st.text("\\'\"abcemail:~<>-[] ", max_size=60))
@example('email:"' + "\\" * 100)
@example("created>" + "9" * 1_900)
@example("metadata['a']:'b' OR email~'x' created<5")
def test_any_query_is_searched_or_refused(query: str) -> None:
    """Quickly: a client's query must not keep the sandbox busy for ever."""
    form = urlencode({"query": query, "page": "9" * 5_000 if "9" in query else "0"})
    answered(Api.begin(), "GET", "/v1/customers/search", query=form)
