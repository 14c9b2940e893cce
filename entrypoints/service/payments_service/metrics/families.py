"""Builds metric families from counts and measurements."""

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
    """A collector that must be measured first: the ops port does so at each scrape."""

    @abstractmethod
    async def measure(self) -> None:
        """Measure, for a bounded time; without an answer the value is unknown."""


def counter(
    name: str,
    text: str,
    labels: Sequence[str],
    counts: Mapping[str, float] | Mapping[tuple[str, str], float],
) -> CounterMetricFamily:
    """Return a counter for each value of its label, or each pair of two labels."""
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
    """Return a gauge for each value of its label."""
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
    """Return a histogram of the tally for each value of the labels."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, tally in tallies:
        family.add_metric(list(values), tally.buckets, tally.total)
    return family


def calls(
    counted: str, timed: str, what: str, label: str, tallies: CallTallies
) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
    """Return calls by outcome, and how long they took.

    Durations only for names that were called; each has many series.
    """
    counts = counter(
        counted,
        f"{what}, by outcome: `ok`, an error's code, `cancelled`, or `bug`.",
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
