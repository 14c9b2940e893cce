"""
Whether an object is what the installed Stripe SDK says it is.

1. The SDK's classes are the truth: no field and no kind is written down here.
2. A field that is unknown, absent though not Optional, or of another type is a problem.
3. So is a word that is not in the SDK's list, although it types `Literal[...] | str`.
4. An id may stand for an object, and `{id, object, deleted}` for one that is gone.
5. An annotation that cannot be resolved is an error here, never "anything goes".

Each annotation becomes a `Shape` once, so that hundreds of thousands of objects can be
checked. A problem is a path and a sentence, `.price.unit_amount: 'x' is not int`: each
level puts its own step in front, so an object without problems costs no path at all.
"""

import ast
import functools
import importlib
import inspect
import math
import re
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final, ForwardRef, Literal, get_args, get_origin

import stripe
import typing_extensions
from stripe._object_classes import OBJECT_CLASSES, V2_OBJECT_CLASSES
from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject

Problems = Sequence[str]
Check = Callable[[Any], Problems]
Class = Any  # a type, but mypy takes type[Any] for unhashable

WORDS_SHOWN_MAX: Final = 6
DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?")


def problems_of_object(value: Mapping[str, Any]) -> list[str]:
    """Return the problems of a Stripe object; its `object` names its type."""
    return [problem.removeprefix(".") for problem in _of_known_kind(value)]


@functools.cache
def class_of(kind: str) -> Class | None:
    """Return the SDK's class for a value of `object`, or None."""
    module, name = {**V2_OBJECT_CLASSES, **OBJECT_CLASSES}.get(kind, ("", ""))
    return getattr(importlib.import_module(module), name) if module else None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value may be: a check for each type of JSON that it may have."""

    title: str
    by_type: Mapping[type, Check]

    def problems(self, value: object) -> Problems:
        check = self.by_type.get(type(value))
        return self.mismatch(value) if check is None else check(value)

    def mismatch(self, value: object) -> Problems:
        return (f": {reprlib.repr(value)} is not {self.title}",)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a map with named fields holds."""

    title: str
    fields: Mapping[str, Shape]
    required: frozenset[str]


@dataclass(frozen=True, eq=False)
class Wire:
    """How single values travel: as JSON does it, or as a form's text."""

    leaves: Mapping[object, Shape]
    word: Callable[[Any], object]  # how a literal is written
    map_leaf: Shape  # what `str` means within metadata


# Shapes of single values.


def accept(_: object) -> Problems:
    return ()


def leaf(title: str, kind: type, passes: Callable[[Any], object]) -> Shape:
    shape = Shape(title, {kind: lambda it: () if passes(it) else shape.mismatch(it)})
    return shape


def words(allowed: Sequence[object]) -> Shape:
    shown = ", ".join(map(repr, allowed[:WORDS_SHOWN_MAX]))
    more = ", ..." if len(allowed) > WORDS_SHOWN_MAX else ""
    title = shown if len(allowed) == 1 else f"one of {shown}{more}"
    known = frozenset(allowed)
    kinds = {type(it) for it in allowed}
    return union([leaf(title, kind, known.__contains__) for kind in kinds])


NULL: Final = Shape("null", {type(None): accept})
STR: Final = Shape("str", {str: accept})
INT: Final = Shape("int", {int: accept})
BOOL: Final = Shape("bool", {bool: accept})
# JSON has no infinity, and a round number has no point.
FLOAT: Final = Shape(
    "float", {int: accept, **leaf("a finite float", float, math.isfinite).by_type}
)


# Shapes made of shapes.


def union(shapes: Sequence[Shape]) -> Shape:
    # "is not int" says enough where null would have done as well.
    titles = dict.fromkeys(shape.title for shape in shapes if shape is not NULL)
    title = " or ".join(titles)
    checks: dict[type, list[Check]] = {}
    for shape in shapes:
        for kind, check in shape.by_type.items():
            checks.setdefault(kind, []).append(check)
    return Shape(title, {kind: _any_of(each, title) for kind, each in checks.items()})


def _any_of(checks: Sequence[Check], title: str) -> Check:
    whole = Shape(title, {})

    def check(value: object) -> Problems:
        found = [one(value) for one in checks]
        if not all(found):
            return ()
        # The alternative with the fewest problems is the one that was meant.
        nearest = min(found, key=len)
        return whole.mismatch(value) if nearest[0].startswith(":") else nearest

    return checks[0] if len(checks) == 1 else check


def list_of(element: Shape) -> Shape:
    def check(values: list[Any]) -> Problems:
        return [
            f"[{index}]{problem}"
            for index, value in enumerate(values)
            for problem in element.problems(value)
        ]

    return Shape("a list", {list: check})


def map_of(element: Shape) -> Shape:
    def check(values: dict[Any, Any]) -> Problems:
        return [
            f".{name}{problem}"
            for name, value in values.items()
            for problem in (*STR.problems(name), *element.problems(value))
        ]

    return Shape("a map", {dict: check})


def record(layout: Callable[[], Layout]) -> Check:
    """Check a map with named fields, which are looked up when first needed."""

    def check(value: Mapping[str, Any]) -> Problems:
        known = layout()
        fields = known.fields
        found: list[str] = []
        for name, item in value.items():
            shape = fields.get(name)
            if shape is None:
                found.append(f".{name}: is not a field of {known.title}")
            elif problems := shape.problems(item):
                found.extend(f".{name}{problem}" for problem in problems)
        if not known.required <= value.keys():
            found.extend(_missing(known, value))
        return found

    return check


def _missing(layout: Layout, value: Mapping[str, Any]) -> Iterator[str]:
    is_stub = value.get("deleted") is True and "deleted" in layout.fields
    required = {"id", "object"} if is_stub else layout.required
    for name in sorted(required - value.keys()):
        yield f".{name}: is missing from {layout.title}"


def _of_kinds(title: str, choose: Callable[[str], Class | None]) -> Check:
    """Choose the class by `object`, so that the problems named are those of it."""
    kinds = Shape(title, {})

    def check(value: Mapping[str, Any]) -> Problems:
        kind = value.get("object")
        chosen = choose(kind) if type(kind) is str else None
        if chosen is None:
            return [f".object{problem}" for problem in kinds.mismatch(kind)]
        return _record_of(chosen, JSON).by_type[dict](value)

    return check


def _anything() -> Shape:
    by_type: dict[type, Check] = {}
    shape = Shape("JSON", by_type)
    for each in (NULL, STR, BOOL, FLOAT, list_of(shape), map_of(shape)):
        by_type.update(each.by_type)
    return shape


_of_known_kind: Final = _of_kinds("a kind that the SDK knows", class_of)
KNOWN: Final = Shape("an object", {dict: _of_known_kind})
Fields = dict[str, Any]
JSON: Final = Wire(
    leaves={
        type(None): NULL,
        str: STR,
        int: INT,
        bool: BOOL,
        float: FLOAT,
        Decimal: leaf("str of digits", str, DECIMAL.fullmatch),
        Any: _anything(),
    },
    word=lambda literal: literal,
    map_leaf=STR,
)


# Names: the SDK imports most of those that it annotates with for type checkers only.


class _CheckerImports(dict[str, object]):
    """The names that a module imports under TYPE_CHECKING, imported when needed."""

    def __init__(self, module: str) -> None:
        super().__init__()
        tree = ast.parse(inspect.getsource(sys.modules[module]))
        self._sources = {
            alias.asname or alias.name: (str(node.module), alias.name)
            for block in tree.body
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for node in block.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def __missing__(self, name: str) -> object:
        # A KeyError sends the interpreter on: to globals, built-ins, NameError.
        module, original = self._sources[name]
        self[name] = getattr(importlib.import_module(module), original)
        return self[name]


_checker_imports: Final = functools.cache(_CheckerImports)


def resolve(source: str, module: str) -> Any:
    """Evaluate an annotation of a module of the SDK's, or raise NameError."""
    names = vars(importlib.import_module(module))
    return eval(source, names, _checker_imports(module))  # noqa: S307  # the SDK's own


# Annotations to shapes.


def shape_of(annotation: Any, module: str, wire: Wire) -> Shape:
    """Return the shape of an annotation that stands in a module of the SDK's."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return shape_of(resolve(annotation, module), module, wire)
    if annotation in wire.leaves:
        return wire.leaves[annotation]
    build = _BUILDERS.get(get_origin(annotation) or annotation)
    if build is not None:
        return build(get_args(annotation), module, wire)
    if _has_fields(annotation):
        return _record_of(annotation, wire)
    raise TypeError(f"no shape for {annotation!r} of {module}")


def _alternatives(options: Iterable[Any], module: str) -> Iterator[Any]:
    for option in options:
        name = option.__forward_arg__ if isinstance(option, ForwardRef) else option
        known = resolve(name, module) if isinstance(name, str) else name
        if get_origin(known) in {typing.Union, types.UnionType}:
            yield from _alternatives(get_args(known), module)
        else:
            yield known


def _union(options: Sequence[Any], module: str, wire: Wire) -> Shape:
    known = list(_alternatives(options, module))
    lists = [get_args(option) for option in known if get_origin(option) is Literal]
    # `Literal["a", "b"] | str` only means that Stripe may add words; "" is no word.
    if any(type(word) is str and word for each in lists for word in each):
        known = [option for option in known if option is not str]
    kinds = {it.OBJECT_NAME: it for it in known if _has_kind(it)}
    if len(kinds) < 2:
        return union([shape_of(option, module, wire) for option in known])
    title = words(list(kinds)).title
    others = [shape_of(it, module, wire) for it in known if it not in kinds.values()]
    return union([*others, Shape("an object", {dict: _of_kinds(title, kinds.get)})])


def _has_kind(option: Any) -> bool:
    # `ListObject["Price"]`, which is no type, would lend the name of its class.
    return isinstance(option, type) and hasattr(option, "OBJECT_NAME")


def _wrapped(options: Sequence[Any], module: str, wire: Wire) -> Shape:
    return shape_of(options[0], module, wire)


def _literal(options: Sequence[Any], _: str, wire: Wire) -> Shape:
    return words([wire.word(option) for option in options])


def _list(options: Sequence[Any], module: str, wire: Wire) -> Shape:
    return list_of(shape_of(options[0], module, wire))


def _map(options: Sequence[Any], module: str, wire: Wire) -> Shape:
    element = options[-1]
    return map_of(wire.map_leaf if element is str else shape_of(element, module, wire))


def _pages(cls: Class) -> Callable[[Sequence[Any], str, Wire], Shape]:
    """Build a list in pages: the SDK leaves out `object`, and a search's `url`."""

    def build(options: Sequence[Any], module: str, wire: Wire) -> Shape:
        element = shape_of(options[0], module, wire) if options else KNOWN
        fields = {
            "object": words([cls.OBJECT_NAME]),
            "data": list_of(element),
            "has_more": BOOL,
            "url": STR,
        }
        required = frozenset(fields)
        if cls is stripe.SearchResultObject:
            # The last page has no next one, whatever the SDK says.
            fields["next_page"] = union([NULL, STR])
        layout = Layout(cls.__name__, fields, required)
        return Shape(cls.__name__, {dict: record(lambda: layout)})

    return build


_BUILDERS: Final[Mapping[object, Callable[[Sequence[Any], str, Wire], Shape]]] = {
    typing.Union: _union,
    types.UnionType: _union,
    typing_extensions.NotRequired: _wrapped,
    typing_extensions.Required: _wrapped,
    Literal: _literal,
    list: _list,
    dict: _map,
    UntypedStripeObject: _map,
    stripe.ListObject: _pages(stripe.ListObject),
    stripe.SearchResultObject: _pages(stripe.SearchResultObject),
}


# Classes to shapes.


def _has_fields(annotation: Any) -> bool:
    return typing_extensions.is_typeddict(annotation) or (
        isinstance(annotation, type) and issubclass(annotation, stripe.StripeObject)
    )


@functools.cache
def _record_of(cls: Class, wire: Wire) -> Shape:
    if cls in _BUILDERS:
        return _BUILDERS[cls]((), cls.__module__, wire)
    check = record(functools.partial(_layout, cls, wire))
    return Shape(
        cls.__qualname__,
        {dict: _data_of_event(check) if cls is stripe.Event.Data else check},
    )


@functools.cache
def _layout(cls: Class, wire: Wire) -> Layout:
    fields = {
        name: shape_of(annotation, module, wire)
        for name, annotation, module in _annotations(cls)
    }
    if typing_extensions.is_typeddict(cls):
        required = cls.__required_keys__ & fields.keys()
        return Layout(cls.__qualname__, fields, frozenset(required))
    if cls is stripe.Event.Data:
        fields["object"] = KNOWN
    needed = {name for name, it in fields.items() if type(None) not in it.by_type}
    return Layout(cls.__qualname__, fields, frozenset(needed))


def _annotations(cls: Class) -> Iterator[tuple[str, Any, str]]:
    """Yield name on the wire, annotation and module of each field of a class."""
    renamed = getattr(cls, "_field_remappings", {})
    for base in reversed(cls.__mro__):
        for name, annotation in inspect.get_annotations(base).items():
            if not _is_internal(name, annotation):
                yield renamed.get(name, name), annotation, base.__module__


def _is_internal(name: str, annotation: Any) -> bool:
    return (
        name.startswith("_")
        or name == "last_response"
        or get_origin(annotation) is ClassVar
        # The SDK's own settings of a call travel in headers.
        or RequestOptions.__annotations__.get(name) is annotation
    )


def _data_of_event(fields: Check) -> Check:
    """Check also that what changed are fields of the object that changed."""

    def check(value: Mapping[str, Any]) -> Problems:
        before, now = value.get("previous_attributes"), value.get("object")
        if not isinstance(before, dict) or not isinstance(now, dict):
            return fields(value)
        cls = class_of(str(now.get("object")))
        return [*fields(value), *(_strangers(before, cls) if cls else ())]

    return check


def _strangers(before: Mapping[str, Any], cls: Class) -> Iterator[str]:
    layout = _layout(cls, JSON)
    for name in sorted(before.keys() - layout.fields.keys()):
        yield f".previous_attributes.{name}: is not a field of {layout.title}"
