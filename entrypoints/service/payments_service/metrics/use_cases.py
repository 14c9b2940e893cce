"""Use cases, measured where they are wired, and nowhere by hand.

Rule 1: of each use case that is wired the class gets a subclass, and what is wired is
        an instance of that. It is a use case as before, by its type and in all that it
        has; only its call is measured, and is a span where traces are on.
Rule 2: an error is counted by its code, and goes on as it is.
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
    """Say whether a class is a thing that the service can do: one of the core's."""
    return cls.__module__.startswith(_PACKAGES) and any(
        "__call__" in vars(it) for it in cls.__mro__
    )


@attrs.frozen(eq=False)
class MeasuredUseCases:
    """Makes classes, and objects, whose calls are counted and timed.

    `traced` is `Spans.call`: what is measured is what it returns.
    """

    _traced: Callable[[str, Callable[..., Any]], Callable[..., Any]]
    calls: CallTallies = attrs.field(init=False, factory=CallTallies)
    _classes: dict[type, type] = attrs.field(init=False, factory=dict)

    def of(self, cls: type[_T]) -> type[_T]:
        """Return the class that is measured; itself if it is none of a use case."""
        if not is_use_case(cls):
            return cls
        known = self._classes.get(cls)
        if known is None:
            known = self._classes[cls] = self._measured(cls)
        return cast("type[_T]", known)

    def made_by(self, cls: type, provide: Callable[[], _T]) -> Callable[[], _T]:
        """Return what provides the same object of a class, measured."""
        # Known from now on: what was never called is shown as well.
        self.of(cls)
        return lambda: self.measured(provide())

    def measured(self, it: _T) -> _T:
        """Return the object itself: it is measured from now on."""
        if type(it) not in self._classes.values():
            cls = self.of(type(it))
            if cls is not type(it):
                # Their instances are laid out alike. A frozen class refuses what is
                # set in the usual way.
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
            # No room of its own: an instance of the class can become one of this.
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
            # Without a call: it is on the way of every webhook.
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
    """Each use case that this process has."""

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
