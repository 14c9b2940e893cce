"""Keys, and tokens that were revoked, as this process knows them."""

import math
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_core.use_cases import FollowRevocations
from payments_service.refreshing import Refreshing


class RevocationMetrics(Collector):
    """What this process knows of revoked tokens."""

    def __init__(self, known: FollowRevocations) -> None:
        self._known = known

    @override
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "payments_revocations_entries",
            "Revocations in memory: of tokens, and of all tokens of a user.",
            value=self._known.entries_count,
        )
        # Not a number before the first full load.
        yield GaugeMetricFamily(
            "payments_revocations_lease_age_seconds",
            "How long ago the poll began by which tokens are accepted; below 1.",
            value=self._known.lease_age_s,
        )
        yield CounterMetricFamily(
            "payments_revocations_polls_failed",
            "Polls for revocations without an answer.",
            value=self._known.failures_count,
        )
        yield GaugeMetricFamily(
            "payments_revocations_over_cap",
            "1 while there are too many to keep: the database is asked every time.",
            value=float(self._known.is_over_cap),
        )


class KeyMetrics(Collector):
    """Keys and secrets that change while this process serves."""

    def __init__(self, refreshing: Refreshing) -> None:
        self._refreshing = refreshing

    @override
    def collect(self) -> Iterator[Metric]:
        files = self._refreshing.files
        refused = GaugeMetricFamily(
            "payments_setting_file_refused",
            "1 if the file of a setting changed and cannot be used: the old one is.",
            labels=["setting"],
        )
        refusals = CounterMetricFamily(
            "payments_setting_file_refusals",
            "How often the file of a setting became one that cannot be used.",
            labels=["setting"],
        )
        for name in files.settings.rereadable:
            refused.add_metric([name], float(name in files.refused))
            refusals.add_metric([name], files.refusals[name])
        yield refused
        yield refusals
        age = GaugeMetricFamily(
            "payments_keys_age_seconds",
            "How long ago the keys at an address were read; NaN: never.",
            labels=["setting"],
        )
        failures = CounterMetricFamily(
            "payments_keys_failures",
            "How often the keys at an address could not be read.",
            labels=["setting"],
        )
        for keys in self._refreshing.fetched:
            age_s = keys.age_s
            age.add_metric([keys.name], math.nan if age_s is None else age_s)
            failures.add_metric([keys.name], keys.failures_total)
        yield age
        yield failures
