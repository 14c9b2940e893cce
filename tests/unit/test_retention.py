"""How long each thing is stored, and by which clock."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import NOON
from payments_core.now import Now
from payments_core.retention import PurgeKind, Retention

NEVER = Retention(bodies=None, events=None, intents=None, jobs=None, revocations=None)
# A sandbox's time that was advanced.
LATER = Now(at=NOON + timedelta(days=1_000), system=NOON)


@pytest.mark.parametrize(
    "kind", [it for it in PurgeKind if it is not PurgeKind.HEARTBEATS]
)
def test_what_is_kept_for_good_is_never_old(kind: PurgeKind) -> None:
    """
    None means for good, for each kind separately.
    """
    assert NEVER.before(kind, LATER) is None


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        (PurgeKind.BODY_DAYS, 45),
        (PurgeKind.BODIES, 45),
        (PurgeKind.EVENTS, 400),
        (PurgeKind.INTENTS, 90),
        (PurgeKind.JOBS, 90),
    ],
)
def test_an_age_is_by_the_time_that_things_are_recorded_by(
    kind: PurgeKind, days: int
) -> None:
    """
    In `payments dev` that is the sandbox's time.
    """
    assert Retention().before(kind, LATER) == LATER.at - timedelta(days=days)


def test_a_token_expires_by_the_real_time() -> None:
    """
    Whatever a sandbox's clock says: otherwise a revoked token that is still valid would
    be accepted.
    """
    before = Retention().before(PurgeKind.REVOCATIONS, LATER)
    assert before == NOON - timedelta(days=30)


@pytest.mark.parametrize("retention", [NEVER, Retention()])
def test_f43_a_process_that_is_silent_for_a_day_was_killed(
    retention: Retention,
) -> None:
    """
    By the real time, and whatever the retention: clocks jump by hours, not by a day.
    """
    before = retention.before(PurgeKind.HEARTBEATS, LATER)
    assert before == NOON - timedelta(days=1)


@pytest.mark.parametrize("kind", [PurgeKind.BODY_DAYS, PurgeKind.BODIES])
@pytest.mark.parametrize(
    ("bodies", "events", "kept"),
    [(45, 400, 45), (400, 45, 45), (None, 45, 45), (45, None, 45)],
)
def test_no_body_outlives_its_event(
    kind: PurgeKind, bodies: int | None, events: int | None, kept: int
) -> None:
    """
    The shorter of the two times applies, if one is set.
    """
    days = {"bodies": bodies, "events": events}
    given = {name: timedelta(days=it) for name, it in days.items() if it is not None}
    retention = attrs.evolve(NEVER, **given)
    assert retention.before(kind, LATER) == LATER.at - timedelta(days=kept)
