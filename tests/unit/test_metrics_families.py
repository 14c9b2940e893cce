"""How families are made, and what is measured before they are exported."""

from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from typing_extensions import override

from payments_service.http.health import create_ops_app
from payments_service.metrics import families
from payments_service.metrics.families import Measured

pytestmark = pytest.mark.anyio


@attrs.define(eq=False)
class Looks(Measured):
    """Counts its measurements."""

    name: str
    count: int = 0

    @override
    async def measure(self) -> None:
        self.count += 1

    @override
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(self.name, "Looks.", value=self.count)


def samples(family: Metric) -> list[tuple[dict[str, str], float]]:
    return [(it.labels, it.value) for it in family.samples]


def test_a_counter_has_one_label_or_two() -> None:
    """
    The value of one label is a word, not its letters.
    """
    one = families.counter("c", "Text.", ["kind"], {"ok": 1, "no": 0})
    assert samples(one) == [({"kind": "ok"}, 1), ({"kind": "no"}, 0)]
    two = families.counter("c", "Text.", ["kind", "way"], {("ok", "up"): 2})
    assert samples(two) == [({"kind": "ok", "way": "up"}, 2)]


def test_a_gauge_has_no_label_or_one() -> None:
    """
    Each value of it is one sample.
    """
    assert samples(families.gauge("g", "Text.", 0.5)) == [({}, 0.5)]
    many = families.gauges("g", "Text.", "state", {"used": 1, "idle": 2})
    assert samples(many) == [({"state": "used"}, 1), ({"state": "idle"}, 2)]


async def test_all_that_has_to_be_measured_is_measured_for_each_scrape() -> None:
    """
    However many objects there are.
    """
    nobody: Any = None
    app: Any = create_ops_app(nobody, [Looks("one"), Looks("other")])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
        for number in (1, 2):
            text = (await client.get("/metrics")).text
            assert f"one {number}.0" in text
            assert f"other {number}.0" in text
