"""Warnings that others can cause are logged once a minute, each separately."""

import structlog

from payments_service.rare_warnings import WARN_EVERY_S, RareWarnings


def test_what_happened_and_what_it_is_about_are_told_apart() -> None:
    """
    Neither hides another; each is logged again after a minute, with its count.
    """
    now = [0.0]
    warnings = RareWarnings(lambda: now[0])
    series = [("shed", "reads"), ("shed", "feed"), ("limited", "reads")]
    with structlog.testing.capture_logs() as lines:
        for second in (0.0, 1.0, WARN_EVERY_S):
            now[0] = second
            for what, about in series:
                warnings.warn(what, about, limit=about)

    told = [(it["event"], it["limit"], it["count"]) for it in lines]
    assert told == [(*it, 1) for it in series] + [(*it, 2) for it in series]
    assert {it["log_level"] for it in lines} == {"warning"}
