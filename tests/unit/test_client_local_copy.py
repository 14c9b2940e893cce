"""A local copy: an entitled user stays so while the service is down, and no longer."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from payments_client import (
    Catalogue,
    CatalogueProduct,
    Change,
    FeatureAccess,
    FeedPage,
    Grant,
    LocalCopy,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Problem,
    Refused,
    Unavailable,
    local_copy,
)
from payments_client.local_copy import (
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    EMPTY_EVERY_S,
    MAX_AGE_S,
    REFILL_EVERY_S,
    SAVED_EVERY_S,
    WARNED_MAX,
)

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR: Final = 3600.0
BEFORE: Final = Catalogue(
    version="v1", products=[CatalogueProduct(product="pro", features=["reports"])]
)
AFTER: Final = Catalogue(
    version="v2",
    products=[CatalogueProduct(product="pro", features=["reports", "api"])],
)


@attrs.define
class Service:
    """A feed as the service has it: a list, and how far each reader was served."""

    now: float = NOON.timestamp()
    changes: list[Change] = attrs.field(factory=list)
    catalogue_now: Catalogue = BEFORE
    # What a page says instead, if set.
    told_version: str | None = None
    page: int = 1_000
    error: Exception | None = None
    asked: list[tuple[str | None, bool]] = attrs.field(factory=list)
    waits: list[int] = attrs.field(factory=list)
    catalogues: int = 0
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def give(self, user: str, hours: float, version: int | None = None) -> Change:
        """Give a user the product from now on for this long."""
        known = [it.version for it in self.changes if it.user_id == user]
        until = datetime.fromtimestamp(self.now + hours * HOUR, UTC)
        change = Change(
            position=len(self.changes) + 1,
            user_id=user,
            version=version or max(known, default=0) + 1,
            at=datetime.fromtimestamp(self.now, UTC),
            payment_status="paid",
            entitled_until=until,
            grants=[Grant(product="pro", until=until)],
        )
        self.changes.append(change)
        self.changed.set()
        return change

    async def feed(
        self, after: str | None, *, latest: bool, limit: int, wait_s: int
    ) -> FeedPage:
        self.asked.append((after, latest))
        self.waits.append(wait_s)
        if self.error is not None:
            raise self.error
        place = int(after or 0)
        if place > len(self.changes):
            raise Refused(410, Problem("position_not_given"))
        if wait_s and place == len(self.changes):
            self.changed.clear()
            await self.changed.wait()
            if self.error is not None:
                raise self.error
        last = {it.user_id: it.position for it in self.changes}
        wanted = [
            it
            for it in self.changes[place:]
            if not latest or last[it.user_id] == it.position
        ]
        page = wanted[: min(limit, self.page)]
        is_last = len(page) == len(wanted)
        place = len(self.changes) if is_last else page[-1].position
        return FeedPage(
            changes=page,
            next=str(place),
            has_more=not is_last,
            catalogue=self.told_version or self.catalogue_now.version,
        )

    async def catalogue(self) -> Catalogue:
        self.catalogues += 1
        if self.error is not None:
            raise self.error
        return self.catalogue_now

    async def feature(self, user: str, name: str) -> FeatureAccess:
        if self.error is not None:
            raise self.error
        for it in reversed(self.changes):
            if it.user_id == user:
                ends = it.grants[0].until.timestamp()
                return FeatureAccess(feature=name, granted=self.now < ends)
        raise NotFound(404, Problem("account_not_found"))

    def copy(self, **more: Any) -> LocalCopy:
        return LocalCopy(self, clock=lambda: self.now, **more)


async def soon(holds: Callable[[], bool]) -> None:
    """Let others go on until something holds.

    Raises:
        AssertionError: it never does.
    """
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never holds")


async def filled(service: Service, **more: Any) -> LocalCopy:
    copy = service.copy(**more)
    await copy.update()
    return copy


async def test_a_copy_is_filled_page_by_page_and_then_follows() -> None:
    """
    With each user's last change first, then with later ones.
    """
    service = Service(page=2)
    for user in ("ada", "bob", "cyd", "ada", "dan"):
        service.give(user, 1)
    copy = await filled(service)
    assert len(copy) == 4
    assert [it for it, _ in service.asked] == [None, "3"]
    assert all(latest for _, latest in service.asked)
    assert copy.allows("ada", "reports")
    assert not copy.allows("ada", "api")
    assert not copy.allows("eve", "reports")

    service.give("eve", 1)
    assert not copy.allows("eve", "reports")
    await copy.update()
    assert copy.allows("eve", "reports")
    assert service.asked[-1] == ("5", False)


async def test_a_dead_service_denies_nobody_and_grants_nothing_more() -> None:
    """
    For an hour, and for a day; each until its own date. Then nothing is granted.
    """
    service = Service()
    service.give("short", 0.5)
    service.give("long", 1000)
    copy = await filled(service)
    began = service.now
    service.error = Unavailable("down")
    with pytest.raises(Unavailable):
        await copy.update()

    for after_s, short, long in (
        (0.0, True, True),
        (0.5 * HOUR - 1, True, True),
        (0.5 * HOUR, False, True),
        (HOUR, False, True),
        (MAX_AGE_S, False, True),
        (MAX_AGE_S + 1, False, False),
    ):
        service.now = began + after_s
        assert copy.allows("short", "reports") is short, after_s
        assert copy.allows("long", "reports") is long, after_s
        assert copy.age_s == after_s
        assert copy.is_usable is (after_s <= MAX_AGE_S)

    service.error = None
    await copy.update()
    assert copy.age_s == 0
    assert copy.allows("long", "reports")


async def test_nothing_is_known_before_the_first_answer() -> None:
    """
    It reports that, and grants nothing.
    """
    copy = Service().copy()
    assert copy.age_s == float("inf")
    assert not copy.is_usable
    assert not copy.allows("ada", "reports")
    assert len(copy) == 0


async def test_who_is_not_known_is_asked_of_the_service() -> None:
    """
    Only for unknown users: what is in memory is answered from there.
    """
    service = Service()
    service.give("ada", 1)
    copy = await filled(service)
    service.give("eve", 1)
    assert not copy.allows("eve", "reports")
    assert await copy.check("eve", "reports")
    assert not await copy.check("nobody", "reports")

    service.error = Unavailable("down")
    assert await copy.check("ada", "reports")
    assert not await copy.check("ada", "api")
    with pytest.raises(Unavailable):
        await copy.check("eve", "reports")
    service.now += MAX_AGE_S + 1
    with pytest.raises(Unavailable):
        await copy.check("ada", "reports")
    with pytest.raises(Unavailable):
        await service.copy().check("ada", "reports")
    service.error = NotAllowed(403, Problem("scope_required"))
    with pytest.raises(NotAllowed):
        await copy.check("eve", "reports")


@pytest.mark.parametrize("code", ["not_found", "", "gone_elsewhere"])
async def test_a_404_of_no_user_is_no_answer(code: str) -> None:
    """
    For example of a wrong address: it denies nobody silently.
    """
    service = Service()
    copy = await filled(service)
    service.error = NotFound(404, Problem(code))
    with pytest.raises(NotFound):
        await copy.check("ada", "reports")
    service.error = NotFound(404, Problem("feature_not_found"))
    assert not await copy.check("ada", "reports")


async def test_no_user_has_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """
    Nothing is requested for an empty text; what is not text is an error of the caller.
    """
    service = Service()
    copy = await filled(service)
    service.error = Unavailable("down")
    for user in ("", ".", ".."):
        assert not copy.allows(user, "reports")
        assert not await copy.check(user, "reports")
    wrong: Any
    for wrong in (None, 7, b"ada"):
        with pytest.raises(TypeError, match="user_id"):
            copy.allows(wrong, "reports")
        with pytest.raises(TypeError, match="user_id"):
            await copy.check(wrong, "reports")
    assert not caplog.records


async def test_a_feature_that_nothing_gives_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    Its name may be a typo. Names that come from users are not remembered for ever.
    """
    service = Service()
    service.give("ada", 1)
    copy = await filled(service)
    for _ in range(2):
        assert copy.allows("ada", "reports")
        assert not copy.allows("eve", "reports")
        assert not copy.allows("ada", "reportz")
        assert not await copy.check("ada", "reportz")
    [told] = [it.getMessage() for it in caplog.records]
    assert told == "catalogue v1… names no feature 'reportz'"

    assert not await copy.check("eve", "reportx")
    assert "reportx" in caplog.text
    for number in range(2 * WARNED_MAX):
        assert not copy.allows("ada", f"of a user {number}")
    assert len(caplog.records) == WARNED_MAX


async def test_without_a_catalogue_any_feature_may_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    Each product is a feature, and which ones exist is not known.
    """
    service = Service(catalogue_now=Catalogue(version="none"))
    copy = await filled(service)
    assert not copy.allows("ada", "reports")
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"wait_s": 31}, "wait_s"),
        ({"wait_s": -1}, "wait_s"),
        ({"max_age_s": 25}, "max_age_s"),
        ({"max_age_s": 59}, "max_age_s"),
        ({"max_age_s": float("nan")}, "max_age_s"),
        ({"wait_s": 0, "max_age_s": 0}, "max_age_s"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(
    settings: dict[str, Any], parameter: str
) -> None:
    """
    The service accepts no longer wait; a copy is not too old between two answers.
    """
    with pytest.raises(ValueError, match=f"^{parameter} is "):
        Service().copy(**settings)
    Service().copy(wait_s=30, max_age_s=70)


async def test_a_page_that_names_another_catalogue_has_all_read_anew() -> None:
    """
    A new feature reaches users of the product at once; an erased user is forgotten.
    """
    service = Service()
    service.give("gone", 9)
    service.give("ada", 9)
    copy = await filled(service)
    service.now += REFILL_EVERY_S
    service.changes[0] = service.changes[1]
    service.catalogue_now = AFTER

    await copy.update()

    assert copy.allows("ada", "api")
    assert not copy.allows("gone", "reports")
    assert service.catalogues == 2
    await copy.update()
    assert service.catalogues == 2


async def test_a_rollout_does_not_read_everything_again_and_again() -> None:
    """
    Pages of one process name the new catalogue, and another process still has the old
    one.
    """
    service = Service()
    service.give("ada", 9)
    copy = await filled(service)
    service.told_version = "v2"
    for _ in range(3):
        await copy.update()
    assert service.catalogues == 1
    service.now += REFILL_EVERY_S
    asked = len(service.asked)
    await copy.update()
    # The catalogue is still the old one: no row is read again.
    assert (service.catalogues, len(service.asked)) == (2, asked + 1)


async def test_an_older_row_changes_nothing() -> None:
    """
    It arrives late, or again.
    """
    service = Service()
    service.give("ada", 9, version=5)
    copy = await filled(service)
    service.give("ada", -1, version=4)
    service.give("ada", -1, version=5)
    await copy.update()
    assert copy.allows("ada", "reports")
    service.give("ada", -1, version=6)
    await copy.update()
    assert not copy.allows("ada", "reports")


async def test_it_is_not_up_to_date_before_the_last_page() -> None:
    """
    Its age is that of its content, not of the last answer.
    """
    service = Service(page=1)
    copy = await filled(service)
    service.now += 10
    service.give("ada", 1)
    service.give("bob", 1)
    await copy.update()
    assert copy.allows("ada", "reports")
    assert copy.age_s == 10
    await copy.update()
    assert copy.age_s == 0


async def test_it_follows_by_itself() -> None:
    """
    A change is applied as soon as the feed returns it; closing the copy ends its task.
    """
    service = Service()
    service.give("ada", 1)
    async with service.copy() as copy:
        assert copy.allows("ada", "reports")
        service.give("bob", 1)
        await soon(lambda: copy.allows("bob", "reports"))
    assert copy._following is not None
    assert copy._following.cancelled()


async def test_what_was_read_anew_meanwhile_is_not_gone_back_on() -> None:
    """
    A page that waited while another call read everything again is older: it moves no
    position, so no change is skipped.
    """
    service = Service()
    service.give("ada", 1)
    copy = service.copy()
    await copy.update()
    waiting = asyncio.create_task(copy.update(wait_s=9))
    await soon(lambda: 9 in service.waits)
    service.now += REFILL_EVERY_S
    service.catalogue_now = AFTER
    await copy.update()
    assert copy.allows("ada", "api")

    service.give("ada", 0)
    await waiting
    await copy.update()

    assert not copy.allows("ada", "reports")


async def test_a_start_that_is_given_up_leaves_nothing_running() -> None:
    """
    Its `async with` never began, so nothing else would end it.
    """
    service = Service(error=Unavailable("down"))
    copy = service.copy()
    starting = asyncio.create_task(copy.__aenter__())
    await soon(lambda: bool(service.catalogues or service.asked or copy._following))
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert copy._following is not None
    await asyncio.gather(copy._following, return_exceptions=True)
    assert copy._following.cancelled()


async def test_after_errors_it_goes_on_where_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    After longer and longer waits, with jitter, and reported once; a bug does not end it
    either.
    """
    service, slept = Service(), list[float]()
    errors = [Unavailable("down")] * 9 + [ZeroDivisionError(), None]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        service.error = errors.pop(0) if errors else None
        await asyncio.sleep(0)

    caplog.set_level(logging.INFO, "payments_client")
    service.give("ada", 1)
    async with service.copy(sleep=sleep) as copy:
        service.error = errors.pop(0)
        service.give("bob", 1)
        await soon(lambda: copy.allows("bob", "reports"))
    longest = [min(BACK_OFF_FIRST_S * 2**it, BACK_OFF_MAX_S) for it in range(10)]
    waits = slept[: len(longest)]
    for wait_s, most in zip(waits, longest, strict=True):
        assert most / 2 <= wait_s <= most
    told = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert len(told) == 1
    assert ("1", False) in service.asked


async def test_an_application_starts_without_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    And has its copy as soon as the service answers.
    """
    monkeypatch.setattr(local_copy, "READY_WITHIN_S", 0.0)
    service = Service(error=Unavailable("down"))
    service.give("ada", 1)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    async with service.copy(sleep=sleep) as copy:
        assert not copy.allows("ada", "reports")
        service.error = None
        await soon(lambda: copy.allows("ada", "reports"))


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (NotAuthenticated, 401, "token_expired"),
        (NotAllowed, 403, "scope_required"),
        (NotFound, 404, "not_found"),
    ],
)
async def test_a_refusal_is_not_waited_for(
    kind: type[Refused],
    status: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    It is reported once, as it was answered, and the feed is requested again
    nevertheless.
    """
    monkeypatch.setattr(local_copy, "READY_WITHIN_S", 1e9)
    service = Service(error=kind(status, Problem(code)))
    service.give("ada", 1)
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    async with asyncio.timeout(5), service.copy(sleep=sleep) as copy:
        assert not copy.allows("ada", "reports")
        await soon(lambda: len(slept) >= 3)
        [told] = caplog.records
        assert told.levelno == logging.ERROR
        assert told.exc_info is None
        assert f"the service refuses the feed, HTTP {status}: {code}" in caplog.text
        service.error = None
        await soon(lambda: copy.allows("ada", "reports"))


async def test_a_refusal_after_other_errors_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    The token was wrong all the time: the errors before must not hide that.
    """
    service, slept = Service(error=Unavailable("down")), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        service.error = NotAllowed(403, Problem("scope_required"))
        await asyncio.sleep(0)

    async with asyncio.timeout(5), service.copy(sleep=sleep):
        await soon(lambda: len(slept) >= 3)
    levels = [it.levelno for it in caplog.records]
    assert levels == [logging.WARNING, logging.ERROR]


async def test_after_an_error_nothing_is_waited_for() -> None:
    """
    What was missed arrives at once, and so does the news that the service answers.
    """
    service, slept = Service(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        service.error = None
        await asyncio.sleep(0)

    async with service.copy(sleep=sleep, wait_s=20):
        await soon(lambda: service.waits == [0, 20])
        service.error = Unavailable("down")
        service.changed.set()
        await soon(lambda: len(service.waits) == 4)
    assert service.waits == [0, 20, 0, 20]
    assert len(slept) == 1


async def test_empty_pages_are_not_asked_for_without_a_pause() -> None:
    """
    A proxy may answer at once instead of waiting.
    """
    service, slept = Service(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            # No more requests.
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async with service.copy(sleep=sleep, wait_s=0):
        await soon(lambda: len(slept) == 3)
    assert slept == [EMPTY_EVERY_S] * 3


async def test_a_feed_that_is_another_one_is_read_anew() -> None:
    """
    The database was restored: then smaller versions count.
    """
    service = Service()
    for _ in range(3):
        service.give("ada", 9)
    copy = await filled(service)
    del service.changes[1:]
    service.give("bob", 9)
    service.changes[0] = attrs.evolve(service, changes=[]).give("ada", -1, version=1)

    await copy.update()

    assert not copy.allows("ada", "reports")
    assert copy.allows("bob", "reports")
    service.error = Refused(400, Problem("invalid_value"))
    with pytest.raises(Refused):
        await copy.update()


async def test_a_feed_without_an_end_is_none() -> None:
    """
    It is requested again later, and not in an endless loop.
    """

    class Endless(Service):
        @override
        async def feed(self, after: str | None, **_: Any) -> FeedPage:
            self.asked.append((after, True))
            return FeedPage(changes=[], next="1", has_more=True)

    endless = Endless()
    with pytest.raises(Unavailable):
        await endless.copy().update()
    assert len(endless.asked) == 2


async def test_what_was_known_is_kept_in_a_file(tmp_path: Path) -> None:
    """
    For a start while the service is down; with its own age, and from its own place.
    """
    path, service = tmp_path / "copy.json", Service()
    service.give("ada", 1000)
    service.give("short", 1)
    async with service.copy(path=path) as copy:
        assert copy.allows("ada", "reports")
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208  # not blocking, says ruff
    began, service.now = service.now, service.now + HOUR
    service.error = Unavailable("down")

    async with service.copy(path=path, sleep=forever) as again:
        assert again.age_s == HOUR
        assert again.allows("ada", "reports")
        assert not again.allows("short", "reports")
        service.now = began + MAX_AGE_S + 1
        assert not again.allows("ada", "reports")

    service.error = None
    service.give("bob", 1)
    service.waits.clear()
    async with service.copy(path=path) as third:
        await soon(lambda: third.allows("bob", "reports"))
    # Its age is not the file's for as long as a wait lasts.
    assert service.waits[0] == 0
    assert not [it for it in service.asked if it == (None, False)]
    assert ("2", False) in service.asked


async def forever(_: float) -> None:
    await asyncio.Event().wait()


async def test_a_file_is_written_now_and_then(tmp_path: Path) -> None:
    """
    Not with each change, and not only at the end.
    """
    path, service = tmp_path / "copy.json", Service()
    async with service.copy(path=path) as copy:
        began = await written(copy, None)
        first = path.read_bytes()
        service.give("ada", 1)
        await soon(lambda: copy.allows("ada", "reports"))
        assert path.read_bytes() == first
        service.now += SAVED_EVERY_S
        service.give("bob", 1)
        await written(copy, began)
        assert b"bob" in path.read_bytes()


async def written(copy: LocalCopy, before: object) -> object:
    """Wait until a new file is written; return it."""
    await soon(lambda: copy._writing is not before)
    assert copy._writing is not None
    await asyncio.wait({copy._writing})
    return copy._writing


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, '{"format": 1}', None, "later", "of a time to come"],
    ids=range(8),
)
async def test_a_file_of_no_use_is_as_none(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It is reported, unless the file does not exist; and the copy is no younger because
    of it.
    """
    path, service = tmp_path / "copy.json", Service()
    service.give("ada", 1000)
    async with service.copy(path=path):
        pass
    kept = json.loads(path.read_text())
    match text:
        case None:
            path.unlink()
        case "later":
            path.write_text(json.dumps({**kept, "format": 2}))
        case "of a time to come":
            path.write_text(json.dumps({**kept, "heard_at": service.now + 9e9}))
        case _:
            path.write_text(text)
    service.error = Unavailable("down")
    caplog.clear()
    copy = service.copy(path=path)
    await copy._load()

    is_kept = text == "of a time to come"
    assert copy.allows("ada", "reports") is is_kept
    assert bool(caplog.records) is (text is not None and not is_kept)
    service.now += MAX_AGE_S + 1
    assert not copy.allows("ada", "reports")


async def test_a_file_that_cannot_be_written_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It is reported, and the copy continues.
    """
    service = Service()
    service.give("ada", 1)
    async with service.copy(path=tmp_path / "none" / "copy.json") as copy:
        await written(copy, None)
        service.give("bob", 1)
        await soon(lambda: copy.allows("bob", "reports"))
    assert "cannot be written" in caplog.text


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("give"), st.sampled_from(["ada", "bob"]), st.integers(-1, 40)
        ),
        st.tuples(st.just("pass"), st.floats(0, 20), st.none()),
        st.tuples(st.just("update"), st.none(), st.none()),
        st.tuples(st.just("down"), st.booleans(), st.none()),
    ),
    max_size=30,
)


@given(steps)
async def test_a_copy_is_as_its_model(made: Sequence[tuple[str, Any, Any]]) -> None:
    """
    Whatever is granted, lost and late: the last page holds, until its date and for a
    day after the last answer of the service.
    """
    service, copy, known = Service(), None, dict[str, float]()
    heard_at = float("-inf")
    copy = service.copy()
    for step, first, second in made:
        match step:
            case "give":
                service.give(first, second)
            case "pass":
                service.now += first * HOUR
            case "down":
                service.error = Unavailable("down") if first else None
            case "update" if service.error is not None:
                with pytest.raises(Unavailable):
                    await copy.update()
            case _:
                await copy.update()
                heard_at = service.now
                known = {
                    it.user_id: it.grants[0].until.timestamp() for it in service.changes
                }
        for user in ("ada", "bob"):
            expected = (
                service.now < known.get(user, 0.0)
                and service.now - heard_at <= MAX_AGE_S
            )
            assert copy.allows(user, "reports") is expected


def test_the_day_is_stated() -> None:
    """
    A copy is trusted for a day, unless an application says otherwise.
    """
    assert timedelta(days=1).total_seconds() == MAX_AGE_S
