"""Requests in Stripe's encoding: `items[0][price]=price_1&expand[]=latest_invoice`.

Rule 1: an unknown parameter is refused, at any depth: never ignored.
Rule 2: an empty value unsets: it is read as None, and refused for parameters that
        cannot be unset.
Rule 3: everything has a limit.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import inspect

from payments_sandbox.currencies import CURRENCIES
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.periods import MOMENT_MAX

FIELDS_MAX: Final = 1_000
DEPTH_MAX: Final = 8
METADATA_KEYS_MAX: Final = 50
METADATA_KEY_LENGTH_MAX: Final = 40
METADATA_VALUE_LENGTH_MAX: Final = 500
AMOUNT_MAX: Final = 99_999_999

UNSET: Final = msgspec.UNSET
Unset = msgspec.UnsetType
Amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=5_000)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Currency = Annotated[str, msgspec.Meta(pattern=rf"\A(?i:{CURRENCIES})\Z")]
# None unsets all of it; None for a key unsets that key.
Metadata = dict[str, str | None] | Unset | None


class Nested(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A hash inside a request."""


class Params(Nested, kw_only=True, frozen=True):
    """The parameters of a request; every request accepts `expand`."""

    expand: tuple[str, ...] = ()


class Range(Nested, kw_only=True, frozen=True):
    gt: Seconds | None = None
    gte: Seconds | None = None
    lt: Seconds | None = None
    lte: Seconds | None = None


class Listing(Params, kw_only=True, frozen=True):
    """The parameters of every list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    starting_after: Id | None = None
    ending_before: Id | None = None


class Dated(Listing, kw_only=True, frozen=True):
    created: Seconds | Range | None = None


_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY: Final = re.compile(r"\[([^\[\]]*)\]")
_INDEX: Final = re.compile(r"[0-9]{1,9}")
# "5.0" and "1e3" are not integers
# (github.com/beam-community/stripity-stripe/issues/626).
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
# "1" and "0" are not booleans (github.com/cartalyst/stripe/issues/218); both spellings
# are (github.com/stripe/stripe-dotnet/pull/3104).
_BOOLEANS: Final[Mapping[str, bool]] = MappingProxyType(
    {"True": True, "true": True, "False": False, "false": False}
)


def parsed(text: str) -> dict[str, Any]:
    """Parse an encoded query or body into its nested form.

    Raises:
        ApiError: it cannot be parsed.
    """
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise invalid("The request's parameters cannot be read.") from error
    root: dict[str, Any] = {}
    for name, value in pairs:
        _place(root, name, value or None)
    return _nested(root)


def _place(root: dict[str, Any], name: str, value: str | None) -> None:
    found = _NAME.fullmatch(name)
    keys = [found[1], *_KEY.findall(found[2])] if found else []
    if not keys or len(keys) > DEPTH_MAX:
        raise invalid(f"Invalid parameter name: {name[:100]}", name[:100])
    at = root
    for key in keys[:-1]:
        at = at.setdefault(key or str(len(at)), {})
        if not isinstance(at, dict):
            raise invalid(f"Invalid object: {name[:100]}", name[:100])
    # `expand[]` appends: each value gets the next number.
    at[keys[-1] or str(len(at))] = value


def _lists(value: Any) -> Any:  # JSON is anything
    """Turn hashes whose keys are 0, 1, 2, … into lists."""
    if not isinstance(value, dict):
        return value
    inner = _nested(value)
    if inner and all(map(_INDEX.fullmatch, inner)):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def _nested(hash_: dict[str, Any]) -> dict[str, Any]:
    # The keys of metadata are the client's, whatever their form.
    return {
        name: value if name == "metadata" else _lists(value)
        for name, value in hash_.items()
    }


def encoded(params: Mapping[str, Any]) -> str:
    """Encode nested parameters as a client does: the inverse of `parsed`."""
    return urlencode(list(_pairs(params)))


def _pairs(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        key = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, Mapping):
            yield from _pairs(value, key)
        elif isinstance(value, list | tuple):
            yield from _pairs({str(at): it for at, it in enumerate(value)}, key)
        elif isinstance(value, bool):
            yield key, str(value).lower()
        else:
            yield key, "" if value is None else str(value)


_Shape = TypeVar("_Shape", bound=Params)
_WHERE: Final = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]+)`")


def read(form: dict[str, Any], shape: type[_Shape]) -> _Shape:
    """Convert a form to its shape.

    Raises:
        ApiError: a parameter is invalid; with its name, the code and the reason.
    """
    _check_metadata(form)
    try:
        return msgspec.convert(_typed(form, _kind_of(shape)), shape)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), form) from None


@functools.cache
def _kind_of(shape: type[Params]) -> inspect.Type:
    return inspect.type_info(shape)


def _typed(value: Any, kind: inspect.Type) -> Any:  # JSON is anything
    """Convert text to an integer or a boolean if the shape has one."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    if isinstance(value, str):
        return _single(value, kinds)
    for it in kinds:
        if isinstance(it, inspect.StructType) and isinstance(value, dict):
            fields = {field.encode_name: field.type for field in it.fields}
            return {
                name: _typed(item, fields[name]) if name in fields else item
                for name, item in value.items()
            }
        if isinstance(it, inspect.VarTupleType) and isinstance(value, list):
            return [_typed(item, it.item_type) for item in value]
    return value


def _single(text: str, kinds: Iterable[inspect.Type]) -> str | int | bool:
    for kind in kinds:
        if isinstance(kind, inspect.IntType) and _INTEGER.fullmatch(text):
            return int(text)
        if isinstance(kind, inspect.BoolType) and text in _BOOLEANS:
            return _BOOLEANS[text]
    return text


def _bracketed(path: str) -> str:
    """Convert `.items[0].price` into `items[0][price]`."""
    head, *rest = re.findall(r"[^.\[\]]+", path) or [""]
    return str(head) + "".join(f"[{name}]" for name in rest)


def _refusal(message: str, form: dict[str, Any]) -> ApiError:
    found = _WHERE.fullmatch(message)
    path, reason = (found["path"] or "", found["reason"]) if found else ("", message)
    named = _QUOTED.search(reason)
    if "unknown field" in reason and named:
        param = _bracketed(f"{path}.{named[1]}")
        return invalid(
            f"Received unknown parameter: {param}", param, "parameter_unknown"
        )
    if "missing required" in reason and named:
        param = _bracketed(f"{path}.{named[1]}")
        return invalid(f"Missing required param: {param}.", param, "parameter_missing")
    param = _bracketed(path)
    value = _value_at(form, path)
    if value is None:
        return invalid(
            f"You passed an empty string for '{param}', which cannot be unset.",
            param,
            "parameter_invalid_empty",
        )
    return _of_value(reason, param, value)


def _of_value(reason: str, param: str, value: object) -> ApiError:
    shown = str(value)[:100] if isinstance(value, str) else "an object"
    if "length" in reason:
        return invalid(
            f"Invalid string: {param}: {reason}", param, _length_code(reason)
        )
    if "<=" in reason or ">=" in reason:
        return invalid(f"Invalid {param}: {reason}", param, "parameter_invalid_integer")
    if "`int" in reason and "enum" not in reason:
        return invalid(f"Invalid integer: {shown}", param, "parameter_invalid_integer")
    if "`bool" in reason:
        return invalid(f"Invalid boolean: {shown}", param)
    if "regex" in reason and param.endswith("currency"):
        return invalid(
            f"Invalid currency: {shown}. Stripe currently supports these currencies: "
            f"{CURRENCIES.replace('|', ', ')}",
            param,
        )
    return invalid(f"Invalid {param}: {shown}", param)


def _length_code(reason: str) -> str | None:
    # Stripe's list of codes has none for a text that is too long.
    return "parameter_invalid_empty" if ">=" in reason else None


def _value_at(form: Any, path: str) -> Any:  # JSON is anything
    for name in re.findall(r"[^.\[\]]+", path):
        if isinstance(form, list) and name.isdigit():
            form = form[int(name)]
        elif isinstance(form, dict):
            # The library writes a key of a map as `[...]`.
            form = form.get(name, "" if name == "..." else None)
        else:
            return form
    return form


def _check_metadata(form: Any, path: str = "") -> None:  # JSON is anything
    """Refuse metadata beyond its limits, at any depth."""
    if isinstance(form, list):
        form = {str(number): item for number, item in enumerate(form)}
    if not isinstance(form, dict):
        return
    for name, value in form.items():
        param = f"{path}[{name}]" if path else name
        if name != "metadata":
            _check_metadata(value, param)
        elif isinstance(value, dict):
            _check_limits(value, param)


def _check_limits(metadata: Mapping[str, Any], param: str) -> None:
    if len(metadata) > METADATA_KEYS_MAX:
        raise invalid(f"Metadata can have up to {METADATA_KEYS_MAX} keys.", param)
    for key, value in metadata.items():
        if len(key) > METADATA_KEY_LENGTH_MAX:
            raise invalid(
                f"Metadata keys can have up to {METADATA_KEY_LENGTH_MAX} characters.",
                param,
            )
        if isinstance(value, str) and len(value) > METADATA_VALUE_LENGTH_MAX:
            raise invalid(
                f"Metadata values have up to {METADATA_VALUE_LENGTH_MAX} characters.",
                f"{param}[{key}]",
            )


def merged(old: dict[str, str], given: Metadata) -> dict[str, str]:
    """Return metadata after a request: keys are added, replaced, or unset."""
    if given is UNSET:
        return old
    if given is None:
        return {}
    both = {**old, **given}
    return {key: value for key, value in both.items() if value is not None}


def given(**fields: Any) -> dict[str, Any]:
    """Return the parameters in the request; None for one that it unsets."""
    return {name: value for name, value in fields.items() if value is not UNSET}
