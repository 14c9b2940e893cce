"""How the sandbox reads requests: completely, or it refuses them with a reason."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_sandbox.errors import ApiError
from payments_sandbox.forms import encoded, parsed
from support.sandbox import Api, Refused, answered

# Encoded, and read


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=", {"a": None}),
        ("a", {"a": None}),
        ("a=1&a=2", {"a": "2"}),
        ("a=x%20y+z%26", {"a": "x y z&"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a[b]=1", {"a": {"b": "1"}}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("a[0][b]=1&a[1][b]=2", {"a": [{"b": "1"}, {"b": "2"}]}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("expand[]=customer", {"expand": ["customer"]}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
        ("metadata[0]=x", {"metadata": {"0": "x"}}),
        ("a[0][metadata][1]=x", {"a": [{"metadata": {"1": "x"}}]}),
        ("metadata=", {"metadata": None}),
        ("metadata[a]=", {"metadata": {"a": None}}),
    ],
)
def test_a_form_is_read_with_all_its_depth(text: str, form: Mapping[str, Any]) -> None:
    """Hashes, lists, lists by `[]`; an empty value is None; the last of two counts."""
    assert parsed(text) == form


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("=1", ""),
        ("a[b=1", "a[b"),
        ("a]=1", "a]"),
        ("[a]=1", "[a]"),
        ("a[b]c=1", "a[b]c"),
        ("a=1&a[b]=2", "a[b]"),
        ("a" + "[b]" * 8 + "=1", "a" + "[b]" * 8),
        ("&".join(f"a{number}=1" for number in range(1_001)), None),
        ("a=%FF", None),
    ],
)
def test_what_is_no_form_is_refused(text: str, param: str | None) -> None:
    """Unbalanced brackets, two kinds in one place, too deep, too many."""
    with pytest.raises(ApiError) as refused:
        parsed(text)
    assert refused.value.status == 400
    assert refused.value.fields["param"] == param


names = st.text("abcxyz_", min_size=1, max_size=6)
shapes = st.recursive(
    st.text(min_size=1, max_size=10),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(names, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(names, shapes, max_size=4))
@example({"metadata": {"0": "a", "1": "b"}})
@example({"items": [{"price": "price_1"}, {"price": "price_2", "quantity": "2"}]})
def test_what_is_encoded_is_read_back(form: Mapping[str, Any]) -> None:
    """Nothing is lost, added or moved between a client's hash and ours."""
    text = encoded(form)
    depth = max(name.count("[") for name, _ in [*parse_qsl(text), ("", "")])
    if depth < 8 and "metadata" not in str(form.keys() - {"metadata"}):
        assert parsed(text) == form


# Refused, with type, code and parameter


def refusal(api: Api, path: str, **params: Any) -> tuple[str | None, str | None]:
    """Return the code and the parameter of the refusal that a request must get."""
    with pytest.raises(Refused) as refused:
        api.post(path, **params)
    assert refused.value.status == 400
    assert refused.value.type == "invalid_request_error"
    assert refused.value.message
    return refused.value.code, refused.value.param


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("customers", {"shoe": "1"}, "shoe"),
        ("customers", {"address": {"planet": "x"}}, "address[planet]"),
        (
            "customers",
            {"invoice_settings": {"default_payment_method": "", "x": {"y": "z"}}},
            "invoice_settings[x]",
        ),
        (
            "subscriptions",
            {"customer": "c", "items": [{"price": "p"}, {"price": "p", "size": "1"}]},
            "items[1][size]",
        ),
        (
            "invoices/create_preview",
            {"subscription_details": {"items": [{"plan": "p"}]}},
            "subscription_details[items][0][plan]",
        ),
        ("products", {"name": "x", "expand": {"a": "b"}}, None),
    ],
)
def test_a_parameter_that_is_not_known_is_refused_at_any_depth(
    api: Api, path: str, params: Mapping[str, Any], param: str | None
) -> None:
    """A parameter unknown to Stripe is an error, which names it."""
    code, where = refusal(api, path, **params)
    if param is None:
        assert (code, where) == (None, "expand")
    else:
        assert (code, where) == ("parameter_unknown", param)


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("products", {}, "name"),
        ("subscriptions", {"customer": "c"}, "items"),
        ("subscriptions", {"customer": "c", "items": [{"quantity": 1}]}, None),
        ("prices", {"currency": "eur"}, "unit_amount"),
        (
            "prices",
            {"currency": "eur", "unit_amount": 1, "recurring": {"interval_count": 2}},
            "recurring[interval]",
        ),
        ("payment_methods", {"type": "card", "card": {"token": ""}}, "empty"),
        ("payment_methods/pm_card_visa/attach", {}, "customer"),
    ],
)
def test_a_parameter_that_is_missing_is_named(
    api: Api, path: str, params: Mapping[str, Any], param: str | None
) -> None:
    """`parameter_missing`, with its place; an empty one is not missing."""
    code, where = refusal(api, path, **params)
    if param == "empty":
        assert (code, where) == ("parameter_invalid_empty", "card[token]")
    else:
        assert code == "parameter_missing"
        assert where == (param or "items[0][price]")


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("products", {"name": ""}, "name"),
        ("products", {"name": "x", "active": ""}, "active"),
        ("subscriptions", {"customer": "", "items": [{"price": "p"}]}, "customer"),
        (
            "subscriptions",
            {"customer": "c", "items": [{"price": "p", "quantity": ""}]},
            "items[0][quantity]",
        ),
        ("customers", {"balance": ""}, "balance"),
        ("products", {"name": "x", "expand": [""]}, "expand[0]"),
        ("customers", {"invoice_settings": ""}, "invoice_settings"),
    ],
)
def test_what_cannot_be_unset_may_not_be_empty(
    api: Api, path: str, params: Mapping[str, Any], param: str
) -> None:
    """An empty value unsets; a value that cannot be unset is refused."""
    assert refusal(api, path, **params) == ("parameter_invalid_empty", param)


def test_an_empty_value_unsets(api: Api) -> None:
    """A text, an address, one key of metadata, or all of it."""
    product = api.post("products", name="Basic", description="The least.")
    path = f"products/{product['id']}"
    assert api.post(path, description="")["description"] is None

    customer = api.post(
        "customers", address={"city": "London"}, metadata={"a": "1", "b": "2"}
    )
    path = f"customers/{customer['id']}"
    changed = api.post(path, address="", metadata={"a": ""})
    assert changed["address"] is None
    assert changed["metadata"] == {"b": "2"}
    assert api.post(path, metadata="")["metadata"] == {}


def test_keys_of_metadata_are_added_and_replaced(api: Api) -> None:
    """The others stay; a key may be a number."""
    customer = api.post("customers", metadata={"a": "1", "0": "zero"})
    changed = api.post(f"customers/{customer['id']}", metadata={"a": "2", "1": "one"})
    assert changed["metadata"] == {"0": "zero", "1": "one", "a": "2"}


NO_INTEGERS: Final = (
    "5.0",
    "1e3",
    "0x10",
    "1_000",
    "+5",
    " 5",
    "5 ",
    "five",
    "null",
    "true",
    "NaN",
    "²",
    "٣",
    "9" * 19,
    "9" * 5_000,
    "-",
    "--5",
    "5\n",
)


@pytest.mark.parametrize("text", NO_INTEGERS)
def test_what_is_not_an_integer_is_refused(api: Api, text: str) -> None:
    """Digits, and a sign, and no other spelling of a number."""
    params = {"currency": "eur", "product_data": {"name": "x"}}
    expected = ("parameter_invalid_integer", "unit_amount")
    assert refusal(api, "prices", unit_amount=text, **params) == expected


@pytest.mark.parametrize(
    ("amount", "is_refused"),
    [
        ("0", False),
        ("007", False),
        ("99999999", False),
        ("-1", True),
        ("100000000", True),
        ("-0.5", True),
    ],
)
def test_an_integer_has_its_limits(api: Api, amount: str, *, is_refused: bool) -> None:
    """Stripe's amounts have eight digits, and are never negative."""
    params = {"currency": "eur", "product_data": {"name": "x"}}
    if is_refused:
        expected = ("parameter_invalid_integer", "unit_amount")
        assert refusal(api, "prices", unit_amount=amount, **params) == expected
    else:
        price = api.post("prices", unit_amount=amount, **params)
        assert price["unit_amount"] == int(amount)


@pytest.mark.parametrize("text", ["TRUE", "1", "0", "yes", "on", "null", "tru", "5"])
def test_what_is_not_a_boolean_is_refused(api: Api, text: str) -> None:
    """Stripe has no code for it, only the message and the parameter."""
    assert refusal(api, "products", name="x", active=text) == (None, "active")


@pytest.mark.parametrize("is_active", [True, False])
def test_a_boolean_is_true_or_false(is_active: bool) -> None:  # noqa: FBT001  # an example
    """Also in the spelling of Python and C#: v1 accepts both."""
    api = Api.begin()  # The SDK spells it in one way: no conformance here.
    for text in (str(is_active), str(is_active).lower()):
        assert api.post("products", name="x", active=text)["active"] is is_active


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        (
            "prices",
            {
                "currency": "eur",
                "unit_amount": 1,
                "product_data": {"name": "x"},
                "recurring": {"interval": "fortnight"},
            },
            "recurring[interval]",
        ),
        (
            "subscriptions",
            {
                "customer": "c",
                "items": [{"price": "p"}],
                "payment_behavior": "hope_for_the_best",
            },
            "payment_behavior",
        ),
        (
            "subscriptions",
            {"customer": "c", "items": [{"price": "p"}], "trial_end": "soon"},
            "trial_end",
        ),
        ("refunds", {"charge": "c", "reason": "remorse"}, "reason"),
        ("payment_methods", {"type": "shells", "card": {"token": "t"}}, "type"),
        ("prices", {"currency": "euro", "unit_amount": 1}, "currency"),
        ("prices", {"currency": "e1", "unit_amount": 1}, "currency"),
        ("invoiceitems", {"customer": "c", "amount": 1, "currency": "x"}, "currency"),
        (
            "payment_intents",
            {"amount": 1, "currency": "€€€"},
            "currency",
        ),
        ("customers", {"name": {"first": "Ada"}}, "name"),
        ("customers", {"name": ["Ada"]}, "name"),
        ("customers", {"address": "London"}, "address"),
        ("customers", {"metadata": "x"}, "metadata"),
        ("customers", {"metadata": {"a": {"b": "c"}}}, "metadata"),
        ("subscriptions", {"customer": "c", "items": "p"}, "items"),
        ("subscriptions", {"customer": "c", "items": {"price": "p"}}, "items"),
    ],
)
def test_a_word_or_a_kind_that_does_not_fit_is_refused(
    api: Api, path: str, params: Mapping[str, Any], param: str
) -> None:
    """With the parameter, and no code, because Stripe has none for it."""
    assert refusal(api, path, **params) == (None, param)


def test_a_text_has_its_limit(api: Api) -> None:
    """Five thousand characters; an id has fewer."""
    assert api.post("products", name="x" * 5_000)["name"]
    assert refusal(api, "products", name="x" * 5_001) == (None, "name")
    assert refusal(api, "products", name="x", id="x" * 256) == (None, "id")


@pytest.mark.parametrize(
    ("metadata", "is_refused"),
    [
        ({f"key{number}": "x" for number in range(50)}, False),
        ({f"key{number}": "x" for number in range(51)}, True),
        ({"k" * 40: "x"}, False),
        ({"k" * 41: "x"}, True),
        ({"k": "x" * 500}, False),
        ({"k": "x" * 501}, True),
        ({"é" * 40: "é" * 500}, False),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_metadata_has_its_limits(
    api: Api, metadata: Mapping[str, str], *, is_refused: bool, is_nested: bool
) -> None:
    """50 keys of 40 characters, with values of 500, at any depth."""
    name = "product_data[metadata]" if is_nested else "metadata"
    product = {"name": "x", **({"metadata": metadata} if is_nested else {})}
    params = {"currency": "eur", "unit_amount": 1, "product_data": product}
    if not is_nested:
        params["metadata"] = metadata
    if not is_refused:
        assert api.post("prices", **params)["id"]
        return
    code, param = refusal(api, "prices", **params)
    assert code is None
    assert param in {name, f"{name}[k]"}


def test_a_body_has_its_limit(api: Api) -> None:
    """A mebibyte; a larger body is not parsed for parameters."""
    assert answered(api, "POST", "/v1/products", body=b"a" * (1024 * 1024 + 1)) == 400


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"query": "name=x"}, 400),
        ({"body": b'{"name": "x"}', "content-type": "application/json"}, 400),
        ({"body": b"name=x", "content-type": "text/plain"}, 400),
        ({"body": b"name=\xff"}, 400),
        ({"body": b"name=%FF"}, 400),
        (
            {
                "body": b"name=x",
                "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            },
            200,
        ),
        ({"body": b"name=x"}, 200),
    ],
)
def test_a_post_is_a_form_in_its_body(
    api: Api, more: Mapping[str, Any], status: int
) -> None:
    """Not JSON, not in the address, not in another encoding."""
    headers = {name: more[name] for name in more if name == "content-type"}
    found = answered(
        api,
        "POST",
        "/v1/products",
        query=more.get("query", ""),
        body=more.get("body", b""),
        headers=headers,
    )
    assert found == status
