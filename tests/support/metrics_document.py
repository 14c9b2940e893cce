"""The page of metrics that docs/metrics.md keeps: `make metrics` writes it anew."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from payments_service.container import build_container
from payments_service.ops_metrics import of_service, of_worker
from payments_service.settings import Settings
from support.service import World

KEPT: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
SERVING: Final = "serving"
WORKER: Final = "worker"
_NOWHERE: Final = World("postgresql://nobody@127.0.0.1:1/nothing")
# Labels of which a process knows some or all values from the start.
_LISTED: Final = frozenset(
    {"kind", "lane", "limit", "list", "outcome", "reason", "state"}
)
# The part above it is written by hand.
_TABLE: Final = "| name | type | labels | process | meaning |"


@attrs.frozen
class Family:
    """A family as on the page; `shown_by` are kinds of processes."""

    name: str
    type: str
    labels: Sequence[str]
    shown_by: Sequence[str]
    text: str
    # For a label of `_LISTED`, the values that are exported from the start.
    values: Mapping[str, Sequence[str]]


def shown_by_processes() -> dict[str, Sequence[Collector]]:
    """Return the families that each kind of process exports."""
    container = build_container(Settings.from_env(_NOWHERE.env(0, 0)))
    return {SERVING: of_service(container), WORKER: of_worker(container)}


def families() -> Sequence[Family]:
    """Return all families, by their names."""
    found = dict[str, Family]()
    for process, collectors in shown_by_processes().items():
        for metric in _collected(collectors):
            before = found.get(metric.name)
            shown_by = [*(before.shown_by if before else ()), process]
            found[metric.name] = Family(
                metric.name,
                metric.type,
                _labels_of(metric),
                shown_by,
                metric.documentation,
                _values_of(metric),
            )
    return [family for _, family in sorted(found.items())]


def _collected(collectors: Iterable[Collector]) -> Iterable[Metric]:
    for collector in collectors:
        yield from collector.collect()


def _labels_of(metric: Metric) -> Sequence[str]:
    # Also of a family that has no series yet.
    named: Any = getattr(metric, "_labelnames", ())
    return tuple(named)


def _values_of(metric: Metric) -> Mapping[str, Sequence[str]]:
    found = dict[str, dict[str, None]]()
    for sample in metric.samples:
        for label in sorted(_LISTED & sample.labels.keys()):
            found.setdefault(label, {})[sample.labels[label]] = None
    # One alone says nothing of the others.
    return {label: list(it) for label, it in found.items() if len(it) > 1}


def text() -> str:
    """Return the page: the part written by hand, and the tables."""
    rows = [_TABLE, "|---|---|---|---|---|", *(_row(it) for it in families()), ""]
    rows += ["## Values that are there from the start", ""]
    rows += ["| name | label | values |", "|---|---|---|"]
    rows += [
        f"| `{it.name}` | `{label}` | {', '.join(f'`{value}`' for value in values)} |"
        for it in families()
        for label, values in it.values.items()
    ]
    return KEPT.read_text().partition(_TABLE)[0] + "\n".join(rows) + "\n"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{name}`" for name in family.labels)
    shown_by = " and ".join(family.shown_by)
    return (
        f"| `{family.name}` | {family.type} | {labels} | {shown_by} | {family.text} |"
    )


if __name__ == "__main__":
    KEPT.write_text(text())
