"""What limits refused is reported: counted, and logged once a minute."""

import structlog

from payments_core.identity import UserId
from payments_service.container import build_container
from payments_service.http.app import create_app
from payments_service.limit_reports import LimitReports
from payments_service.rare_warnings import WARN_EVERY_S, RareWarnings
from payments_service.rate_limits import RequestKind
from payments_service.settings import Settings
from support.service import World


def test_each_limit_and_each_lane_is_there_from_the_start() -> None:
    """
    An alert on growth misses the first increase of a series that did not exist. The
    lanes are those of the public port.
    """
    reports = LimitReports()
    assert reports.limited == {it.value: 0 for it in RequestKind}
    nowhere = World("postgresql://nobody@127.0.0.1:1/nothing")
    settings = Settings.from_env(nowhere.env(0, 0))
    lanes = create_app(build_container(settings))._lanes
    assert reports.shed == {it.name: 0 for it in lanes}
    assert len(lanes) == 4


def test_each_limit_is_counted_and_told_once_a_minute() -> None:
    """
    With the number that it stands for; many of one kind hide no other.
    """
    now = [0.0]
    reports = LimitReports(RareWarnings(lambda: now[0]))
    with structlog.testing.capture_logs() as lines:
        for second in range(int(WARN_EVERY_S) + 1):
            now[0] = float(second)
            reports.limit(RequestKind.CARD)
            reports.shed_one("webhooks")
            reports.refuse_declined(UserId("ada"))

    assert reports.limited["cards"] == reports.shed["webhooks"] == 61
    assert reports.limited["reads"] == 0
    assert reports.declines_refused_count == 61
    assert {it["log_level"] for it in lines} == {"warning"}
    told = [(it["event"], it["limit"], it["count"]) for it in lines]
    assert told == [
        ("requests limited", "cards", 1),
        ("requests shed", "webhooks", 1),
        ("operations refused after declines", "declines", 1),
        ("requests limited", "cards", 60),
        ("requests shed", "webhooks", 60),
        ("operations refused after declines", "declines", 60),
    ]
    assert [it["user_id"] for it in lines if "user_id" in it] == ["ada", "ada"]
