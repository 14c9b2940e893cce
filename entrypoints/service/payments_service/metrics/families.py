"""How a family is made of what was counted, or measured."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from payments_service.tallies import CallTallies, Tally


class Measured(Collector):
    """Shows what has to be asked for: the ops port measures it each time, before."""

    @abstractmethod
    async def measure(self) -> None:
        """Ask, for a bounded time; what is not answered is shown as unknown."""


def counter(
    name: str, text: str, label: str, counts: Mapping[str, float]
) -> CounterMetricFamily:
    """Return a counter with one label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    tallies: Iterable[tuple[Sequence[str], Tally]],
) -> HistogramMetricFamily:
    """Return a histogram of what was tallied for each value of the labels."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, tally in tallies:
        family.add_metric(list(values), tally.buckets, tally.total)
    return family


def calls(
    counted: str, timed: str, what: str, label: str, tallies: CallTallies
) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
    """Return calls by what they came to, and how long they took.

    How long: of those names that were called; each has many series.
    """
    counts = CounterMetricFamily(
        counted,
        f"{what}, by what they came to: `ok`, an error's code, `cancelled`, or `bug`.",
        labels=[label, "outcome"],
    )
    for name, tally in tallies.calls.items():
        for outcome, count in tally.outcomes.items():
            counts.add_metric([name, outcome], count)
    called = [
        ([name], tally.durations)
        for name, tally in tallies.calls.items()
        if tally.durations.count
    ]
    return counts, histogram(timed, f"{what}: how long they took.", [label], called)
