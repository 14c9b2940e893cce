"""Spans around calls: of ports, of use cases, and of what begins a trace.

One proxy for any port: only coroutine functions are wrapped.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import attrs
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from payments_core.errors import Rejected, Untrusted
from payments_service.logs import TRACE_ID

Attributes = Mapping[str, str | int | bool]
# What a span says about the arguments of a call, and about its result.
Told = Callable[..., Attributes]
_NOTHING: Final[Attributes] = {}
_ROOT: Final = Context()


def _nothing(*_: object, **__: object) -> Attributes:
    return _NOTHING


@attrs.frozen
class Shown:
    """The names and attributes of the spans of an object's calls."""

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    always: Attributes = _NOTHING
    asked: Told = _nothing
    answered: Told = _nothing


def is_sampled(span: Span) -> bool:
    return span.get_span_context().trace_flags.sampled


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed: with the class of the error, never its message.

    A refusal is not a failure of ours.
    """
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, (Rejected, Untrusted)):
        span.set_status(Status(StatusCode.ERROR))


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Make a span current for a block, and end it with the block."""
    token = attach(set_span_in_context(span))
    try:
        yield span
    except BaseException as error:
        fail(span, error)
        raise
    finally:
        detach(token)
        span.end()


@contextmanager
def begun(span: Span) -> Iterator[Span]:
    """Make a root span current for a block, and set its trace id for logs."""
    named = TRACE_ID.set(trace_id_of(span))
    try:
        with within(span):
            yield span
    finally:
        TRACE_ID.reset(named)


def trace_id_of(span: Span) -> str:
    """Return the id of a sampled trace; otherwise "": it could not be found."""
    return f"{span.get_span_context().trace_id:032x}" if is_sampled(span) else ""


@contextmanager
def apart() -> Iterator[None]:
    """Start tasks in a block that belong to no trace."""
    token, named = attach(_ROOT), TRACE_ID.set("")
    try:
        yield
    finally:
        TRACE_ID.reset(named)
        detach(token)


def new_root(
    tracer: Tracer,
    name: str,
    attributes: Attributes = _NOTHING,
    *,
    start_ns: int | None = None,
) -> Span:
    """Return a span that begins a trace, for deferred work."""
    return tracer.start_span(
        name, _ROOT, SpanKind.CONSUMER, attributes, start_time=start_ns
    )


def linked_root(tracer: Tracer, name: str, spans: list[Span]) -> Span:
    """Return a span that begins a trace, linked both ways to other spans."""
    links = [Link(it.get_span_context()) for it in spans]
    made = tracer.start_span(name, _ROOT, SpanKind.CONSUMER, links=links)
    for it in spans:
        it.add_link(made.get_span_context())
    return made


class Traced:
    """A proxy of an object; a call of one of its coroutine functions is a span.

    Only within a sampled trace. An operation may continue after its request: then the
    trace does, too.
    """

    def __init__(self, it: Any, tracer: Tracer, shown: Shown) -> None:
        self._it, self._tracer, self._shown = it, tracer, shown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._it, name)
        if not inspect.iscoroutinefunction(found):
            return found
        title = f"{self._shown.name} {name}"
        traced = spanned(found, title, name, self._tracer, self._shown)
        # Cached for the next time.
        setattr(self, name, traced)
        return traced


def spanned(
    call: Callable[..., Awaitable[Any]],
    title: str,
    name: str,
    tracer: Tracer,
    shown: Shown,
) -> Callable[..., Awaitable[Any]]:
    """Return a coroutine function whose calls are spans with a given title."""

    @wraps(call)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        if not is_sampled(get_current_span()):
            return await call(*args, **kwargs)
        told = {**shown.always, **shown.asked(name, *args, **kwargs)}
        span = tracer.start_span(title, kind=shown.kind, attributes=told)
        with within(span):
            answer = await call(*args, **kwargs)
            span.set_attributes(dict(shown.answered(name, answer)))
            return answer

    return traced
