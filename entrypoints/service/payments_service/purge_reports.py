"""Rows deleted after their retention: counted."""

from collections import Counter

import attrs
from typing_extensions import override

from payments_core.jobs import PurgeListener
from payments_core.retention import PurgeKind


@attrs.define
class PurgeReports(PurgeListener):
    """Counts of one process, by kind."""

    counts: Counter[str] = attrs.field(init=False)

    @counts.default
    def _none_yet(self) -> Counter[str]:
        # An alert on growth misses the first value of a new series.
        return Counter(dict.fromkeys((it.value for it in PurgeKind), 0))

    @override
    def purged(self, kind: PurgeKind, count: int) -> None:
        self.counts[kind.value] += count
