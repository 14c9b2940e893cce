"""Keys, and tokens that were revoked, as this process knows them."""

import math
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_core.use_cases import FollowRevocations
from payments_service.metrics import families
from payments_service.refreshing import Refreshing


class RevocationMetrics(Collector):
    """What this process knows about revoked tokens."""

    def __init__(self, known: FollowRevocations) -> None:
        self._known = known

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauge(
            "payments_revocations_entries",
            "Revocations in memory: of tokens, and of all tokens of a user.",
            self._known.entries_count,
        )
        # Not a number before the first full load.
        yield families.gauge(
            "payments_revocations_lease_age_seconds",
            "How long ago the poll that tokens are accepted by began; below 1.",
            self._known.lease_age_s,
        )
        yield CounterMetricFamily(
            "payments_revocations_polls_failed",
            "Polls for revocations without an answer.",
            value=self._known.failures_count,
        )
        yield families.gauge(
            "payments_revocations_over_cap",
            "1 while there are too many to cache: the database is queried every time.",
            float(self._known.is_over_cap),
        )


class KeyMetrics(Collector):
    """Keys and secrets that change while this process serves."""

    def __init__(self, refreshing: Refreshing) -> None:
        self._refreshing = refreshing

    @override
    def collect(self) -> Iterator[Metric]:
        files, fetched = self._refreshing.files, self._refreshing.fetched
        names = files.settings.rereadable
        yield families.gauges(
            "payments_setting_file_refused",
            "1 if the file of a setting changed and is invalid: the old one is used.",
            "setting",
            {name: float(name in files.refused) for name in names},
        )
        yield families.counter(
            "payments_setting_file_refusals",
            "How often the file of a setting became invalid.",
            ["setting"],
            {name: files.refusals[name] for name in names},
        )
        yield families.gauges(
            "payments_keys_age_seconds",
            "How long ago the keys at an address were read; NaN: never.",
            "setting",
            {it.name: math.nan if it.age_s is None else it.age_s for it in fetched},
        )
        yield families.counter(
            "payments_keys_failures",
            "How often the keys at an address could not be read.",
            ["setting"],
            {it.name: it.failures_total for it in fetched},
        )
