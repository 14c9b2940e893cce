"""Use cases, measured where they are wired, and nowhere else.

Rule 1: each wired use case gets a subclass, and an instance of that is wired. It is the
        same use case, by type and attributes; only its call is measured, and is a span
        if traces are on.
Rule 2: an error is counted by its code, and raised unchanged.
"""

import functools
import inspect
from bisect import bisect_left
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final, TypeVar, cast

import attrs
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_service.metrics import families
from payments_service.tallies import OK, CallTallies, CallTally, outcome_of

_T = TypeVar("_T")
_PACKAGES: Final = ("payments_core.jobs.", "payments_core.use_cases.")


def is_use_case(cls: type) -> bool:
    """Return whether a class is a use case of the core."""
    return cls.__module__.startswith(_PACKAGES) and any(
        "__call__" in vars(it) for it in cls.__mro__
    )


@attrs.frozen(eq=False)
class MeasuredUseCases:
    """Makes classes, and objects, whose calls are counted and timed.

    `traced` is `Spans.call`: its result is measured.
    """

    _traced: Callable[[str, Callable[..., Any]], Callable[..., Any]]
    calls: CallTallies = attrs.field(init=False, factory=CallTallies)
    _classes: dict[type, type] = attrs.field(init=False, factory=dict)

    def of(self, cls: type[_T]) -> type[_T]:
        """Return the measured class; the class itself if it is not a use case."""
        if not is_use_case(cls):
            return cls
        known = self._classes.get(cls)
        if known is None:
            known = self._classes[cls] = self._measured(cls)
        return cast("type[_T]", known)

    def made_by(self, cls: type, provide: Callable[[], _T]) -> Callable[[], _T]:
        """Return a provider of the same object of a class, measured."""
        # Registered now, so that a use case that was never called is shown, too.
        self.of(cls)
        return lambda: self.measured(provide())

    def measured(self, it: _T) -> _T:
        """Return the object itself, measured from now on."""
        if type(it) not in self._classes.values():
            cls = self.of(type(it))
            if cls is not type(it):
                # Both classes have the same layout. A frozen class refuses the usual
                # assignment.
                object.__setattr__(it, "__class__", cls)
        return it

    def _measured(self, cls: type) -> type:
        call = self._traced(cls.__name__, cast("Any", cls).__call__)
        measuring = _async_call if inspect.iscoroutinefunction(call) else _plain_call
        names = {
            "__call__": measuring(call, self.calls.of(cls.__name__)),
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            # No slots of its own: an instance of the class can become one of this.
            "__slots__": (),
        }
        return type(cls.__name__, (cls,), names)


def _async_call(call: Callable[..., Any], tally: CallTally) -> Callable[..., Any]:
    durations, outcomes = tally.durations, tally.outcomes

    @functools.wraps(call)
    async def measured(self: object, *given: Any, **named: Any) -> Any:
        began, outcome = perf_counter(), OK
        try:
            return await call(self, *given, **named)
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            # Inlined, because it runs for every webhook.
            took = perf_counter() - began
            durations.counts[bisect_left(durations.bounds, took)] += 1
            durations.total += took
            outcomes[outcome] += 1

    return measured


def _plain_call(call: Callable[..., Any], tally: CallTally) -> Callable[..., Any]:
    @functools.wraps(call)
    def measured(self: object, *given: Any, **named: Any) -> Any:
        began, outcome = perf_counter(), OK
        try:
            return call(self, *given, **named)
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            tally.durations.add(perf_counter() - began)
            tally.outcomes[outcome] += 1

    return measured


class UseCaseMetrics(Collector):
    """The use cases of this process."""

    def __init__(self, calls: CallTallies) -> None:
        self._calls = calls

    @override
    def collect(self) -> Iterator[Metric]:
        yield from families.calls(
            "payments_use_case_calls",
            "payments_use_case_duration_seconds",
            "Calls of use cases",
            "use_case",
            self._calls,
        )
