"""Keys at an address that answers, changes, and does not answer."""

import asyncio
import json
from typing import Any, Final

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm
from typing_extensions import override

from payments_adapters.jwt.fetched_keys import (
    WAITING_MAX,
    FetchedKeys,
    FetchListener,
)
from payments_adapters.jwt.key_sources import TooManyWait
from payments_adapters.jwt.key_url import FetchError
from payments_adapters.jwt.published_keys import PublishedKeys

pytestmark = pytest.mark.anyio

HOUR_S: Final = 3600.0


def document(*kids: str) -> bytes:
    """Return a fresh key for each of these names."""
    keys: list[dict[str, Any]] = []
    for kid in kids:
        public = ed25519.Ed25519PrivateKey.generate().public_key()
        keys.append({**OKPAlgorithm.to_jwk(public, as_dict=True), "kid": kid})
    return json.dumps({"keys": keys}).encode()


OLD: Final = document("old")


@attrs.define
class Heard(FetchListener):
    said: list[str] = attrs.field(factory=list)

    @override
    def replaced(self, name: str, published: PublishedKeys) -> None:
        self.said.append(f"{name}: {' '.join(published.keys.keys)}")

    @override
    def failed(self, name: str, reason: str, *, is_over: bool) -> None:
        self.said.append(f"{name}: {'over' if is_over else 'failed'}: {reason}")


@attrs.define
class Address:
    """What it answers now; `None` is no answer. The answer may be held back."""

    answer: bytes | None = OLD
    asked: int = 0
    now_s: float = 1_000.0
    waited: list[float] = attrs.field(factory=list)
    go: asyncio.Event = attrs.field(factory=asyncio.Event)
    heard: Heard = attrs.field(factory=Heard)

    def __attrs_post_init__(self) -> None:
        self.go.set()

    async def fetch(self) -> bytes:
        self.asked += 1
        await self.go.wait()
        if self.answer is None:
            raise FetchError("no answer")
        return self.answer

    def keys(self) -> FetchedKeys:
        return FetchedKeys("URL", self.fetch, self.heard, lambda: self.now_s, self.wait)

    async def wait(self, seconds: float) -> None:
        """Note a pause; end the reading at the third one."""
        self.waited.append(seconds)
        if len(self.waited) == 3:
            raise asyncio.CancelledError


def kids(keys: FetchedKeys) -> list[str] | None:
    return None if keys.current is None else list(keys.current.keys)


async def test_before_the_first_reading_there_are_none() -> None:
    """
    And after it those of the document.
    """
    address = Address()
    keys = address.keys()
    assert (kids(keys), keys.age_s) == (None, None)

    await keys.read()
    address.now_s += 5

    assert (kids(keys), keys.age_s) == (["old"], 5.0)
    assert address.heard.said == ["URL: old"]


async def test_t48_keys_overlap_and_one_that_left_is_retired_at_once() -> None:
    """
    The current set is a new object as soon as anything in it changed, and the same
    object while nothing did.
    """
    address = Address()
    keys = address.keys()
    await keys.read()
    first = keys.current
    await keys.read()
    assert keys.current is first

    old, new = json.loads(OLD)["keys"], json.loads(document("new"))["keys"]
    address.answer = json.dumps({"keys": [*old, *new]}).encode()
    await keys.read()
    assert kids(keys) == ["old", "new"]
    address.answer = json.dumps({"keys": new}).encode()
    await keys.read()
    assert kids(keys) == ["new"]


async def test_t30_tokens_have_keys_read_once_in_30_seconds() -> None:
    """
    However many there are; our own reading does not count, so a key published just
    after it is found.
    """
    address = Address()
    keys = address.keys()
    await keys.read()
    address.answer = document("new")

    assert await keys.refresh()
    assert kids(keys) == ["new"]
    for _ in range(1_000):
        assert not await keys.refresh()
    assert address.asked == 2

    address.now_s += 29.9
    assert not await keys.refresh()
    address.now_s += 0.1
    assert not await keys.refresh()
    assert address.asked == 3


async def test_all_who_ask_at_once_wait_for_one_reading() -> None:
    """
    Also those who ask before the first reading has ended; one caller that gives up does
    not end it.
    """
    address = Address()
    keys = address.keys()
    address.go.clear()
    asking = [asyncio.ensure_future(keys.refresh()) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    asking[0].cancel()
    own = asyncio.ensure_future(keys.read())
    await asyncio.sleep(0)
    address.go.set()

    assert await asyncio.gather(*asking[1:]) == [True] * (WAITING_MAX - 1)
    await own
    assert asking[0].cancelled()
    assert address.asked == 1


@pytest.mark.parametrize("is_our_own", [True, False])
async def test_t30_who_asks_while_many_wait_is_refused_at_once(
    *, is_our_own: bool
) -> None:
    """
    Also while our own reading is slow: tokens of an unknown key make no queue. A caller
    that gives up waiting makes room, and so does the end of the reading.
    """
    address = Address()
    keys = address.keys()
    address.go.clear()
    own = [asyncio.ensure_future(keys.read())] if is_our_own else []
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(keys.refresh()) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    for _ in range(1_000):
        with pytest.raises(TooManyWait):
            await keys.refresh()

    waiting[0].cancel()
    await asyncio.sleep(0)
    last = asyncio.ensure_future(keys.refresh())
    await asyncio.sleep(0)
    assert not last.done()
    address.go.set()
    assert await asyncio.gather(*waiting[1:], last, *own) == [
        *([True] * WAITING_MAX),
        *([None] * is_our_own),
    ]
    assert address.asked == 1
    address.now_s += 30.0
    assert not await keys.refresh()
    assert address.asked == 2


@pytest.mark.parametrize("answer", [None, b"<html>", b'{"keys": []}'])
async def test_while_they_cannot_be_read_the_last_ones_are_good_for_a_day(
    answer: bytes | None,
) -> None:
    """
    The outage is logged when it begins and when the keys are too old, and not in
    between. Then there are none, until they can be read again.
    """
    address = Address()
    keys = address.keys()
    await keys.read()
    address.answer = answer

    for _ in range(23):
        address.now_s += HOUR_S
        await keys.read()
        assert kids(keys) == ["old"]
    address.now_s += HOUR_S
    await keys.read()

    assert kids(keys) is None
    assert keys.failures_total == 24
    begun, over = address.heard.said[1:]
    assert begun.startswith("URL: failed: ")
    assert over == "URL: over: for 24 hours"

    address.answer = OLD
    assert await keys.refresh()
    assert (kids(keys), keys.age_s) == (["old"], 0.0)


async def test_a_failure_is_said_again_once_they_were_read_between() -> None:
    """
    Each outage once.
    """
    address = Address()
    keys = address.keys()
    for answer in (None, None, OLD, None, None):
        address.answer = answer
        await keys.read()

    failed = "URL: failed: no answer"
    assert address.heard.said == [failed, "URL: old", failed]


async def test_whatever_goes_wrong_it_is_read_again() -> None:
    """
    A bug of ours is a failure like others: the keys stay, and so does the task that
    reads.
    """
    address = Address()
    keys = address.keys()
    await keys.read()

    async def broken() -> bytes:
        raise RuntimeError(OLD)

    whole, keys._fetch = keys._fetch, broken
    await keys.read()
    assert kids(keys) == ["old"]
    assert address.heard.said[1:] == ["URL: failed: a bug: RuntimeError"]

    address.answer, keys._fetch = document("new"), whole
    await keys.read()
    assert kids(keys) == ["new"]


async def test_an_end_while_it_reads_leaves_nothing_behind() -> None:
    """
    The reading is cancelled before the loop ends.
    """
    address = Address()
    keys = address.keys()
    address.go.clear()
    async with keys.opened():
        asking = asyncio.ensure_future(keys.refresh())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert address.asked == 1


@pytest.mark.parametrize(
    ("answer", "waits_s"), [(OLD, 300.0), (None, 30.0)], ids=["read", "not read"]
)
async def test_they_are_read_at_their_times(
    answer: bytes | None, waits_s: float
) -> None:
    """
    Every five minutes, and every 30 s while they cannot be read.
    """
    address = Address(answer)
    keys = address.keys()
    with pytest.raises(asyncio.CancelledError):
        await keys.keep_reading()

    assert (address.waited, address.asked) == ([waits_s] * 3, 3)
