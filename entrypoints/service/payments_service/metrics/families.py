"""How a family is made of what was counted, or measured."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from payments_service.tallies import CallTallies, Tally


class Measured(Collector):
    """Shows what has to be asked for: the ops port measures it each time, before."""

    @abstractmethod
    async def measure(self) -> None:
        """Ask, for a bounded time; what is not answered is shown as unknown."""


def counter(
    name: str,
    text: str,
    labels: Sequence[str],
    counts: Mapping[str, float] | Mapping[tuple[str, str], float],
) -> CounterMetricFamily:
    """Return a counter of each value of its label, or of each pair of two labels."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric([values] if isinstance(values, str) else values, count)
    return family


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def gauges(
    name: str, text: str, label: str, shown: Mapping[str, float]
) -> GaugeMetricFamily:
    """Return a gauge of each value of its label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in shown.items():
        family.add_metric([value], number)
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
    counts = counter(
        counted,
        f"{what}, by what they came to: `ok`, an error's code, `cancelled`, or `bug`.",
        [label, "outcome"],
        {
            (name, outcome): count
            for name, tally in tallies.calls.items()
            for outcome, count in tally.outcomes.items()
        },
    )
    called = [
        ([name], tally.durations)
        for name, tally in tallies.calls.items()
        if tally.durations.count
    ]
    return counts, histogram(timed, f"{what}: how long they took.", [label], called)
