"""The fake for applications has the real classes' methods, and their errors."""

import inspect
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from payments_client import (
    LocalCopy,
    NotFound,
    PassRefused,
    PassVerifier,
    PaymentsClient,
    Unavailable,
)
from payments_client.testing import A_YEAR, PASS_TTL_S, FakePayments, sandbox_clock

pytestmark = pytest.mark.anyio

# What an application does not call: copies and verifiers do.
INNER: Final = {"catalogue", "feed", "keys"}


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("real", [PaymentsClient, LocalCopy, PassVerifier])
def test_it_has_the_methods_of_the_real_ones(real: type) -> None:
    """
    With the same parameters.
    """
    for name, it in inspect.getmembers(real, inspect.isfunction):
        if not name.startswith("_") and name not in INNER:
            fake = getattr(FakePayments, name)
            assert inspect.signature(fake) == inspect.signature(it), name
    for name, it in inspect.getmembers(real):
        if isinstance(it, property):
            assert isinstance(getattr(FakePayments, name), property), name


async def test_what_is_granted_is_there_until_its_end() -> None:
    """
    By each of its methods, and nothing else is granted.
    """
    clock = Time()
    fake = FakePayments(clock=clock)
    until = datetime.fromtimestamp(clock.now + 60, UTC)
    fake.grant("ada", "reports", until=until)
    token = fake.access_pass("ada")

    assert fake.allows("ada", "reports")
    assert not fake.allows("ada", "api")
    assert await fake.check("ada", "reports")
    assert (await fake.feature("ada", "reports")).until == until
    assert (await fake.access("ada")).entitled_until == until
    assert (await fake.verify(token)).allows("reports", now=clock.now)
    assert (await fake.payment_status("ada")).payment_status == "paid"
    clock.now += 60
    assert not fake.allows("ada", "reports")
    assert not (await fake.feature("ada", "reports")).granted
    assert not (await fake.sync("ada")).entitled
    assert fake.synced == ["ada"]
    clock.now += PASS_TTL_S
    with pytest.raises(PassRefused):
        await fake.verify(token)


async def test_what_is_revoked_is_gone() -> None:
    """
    At once; without a revocation it would have lasted for a year.
    """
    clock = Time()
    fake = FakePayments(clock=clock)
    fake.grant("ada", "reports")
    clock.now += A_YEAR.total_seconds() - 1
    assert fake.allows("ada", "reports")
    fake.revoke("ada", "reports", status="refunded")
    assert not fake.allows("ada", "reports")
    assert (await fake.payment_status("ada")).payment_status == "refunded"


async def test_it_refuses_as_the_service_does() -> None:
    """
    Unknown users, features that a user does not have; and everything when it is down.
    """
    fake: Any = FakePayments(["reports"])
    fake.register("ada")
    with pytest.raises(NotFound) as refused:
        await fake.feature("ada", "typo")
    assert refused.value.code == "feature_not_found"
    assert [it.feature for it in (await fake.access("ada")).features] == ["reports"]
    for ask in (fake.payment_status, fake.access, fake.sync):
        with pytest.raises(NotFound):
            await ask("eve")
    assert not await fake.check("eve", "reports")

    fake.is_down = True
    for ask in (fake.payment_status, fake.access, fake.sync):
        with pytest.raises(Unavailable):
            await ask("ada")
    with pytest.raises(Unavailable):
        await fake.check("eve", "reports")
    assert not await fake.check("ada", "reports")
    async with fake as entered:
        await entered.update()
        assert (entered.age_s, entered.is_usable, len(entered)) == (0, True, 1)
    await fake.close()


async def test_no_user_has_nothing() -> None:
    """
    As with a copy: an empty text, and what is not text.
    """
    fake: Any = FakePayments()
    fake.is_down = True
    assert not fake.allows("", "reports")
    assert not await fake.check("", "reports")
    with pytest.raises(TypeError, match="user_id"):
        fake.allows(None, "reports")
    with pytest.raises(TypeError, match="user_id"):
        await fake.check(None, "reports")


def test_the_clock_of_a_sandbox_is_followed(tmp_path: Path) -> None:
    """
    It never runs past the second that it is in; without its file, or with half of it,
    it stops.
    """
    path = tmp_path / "sandbox-clock"
    with pytest.raises(FileNotFoundError):
        sandbox_clock(path)
    path.write_text("1800000000")
    clock = sandbox_clock(path)
    assert 1_800_000_000 <= clock() < 1_800_000_001
    path.write_text("1900000000\n")
    os.utime(path, (0, 0))
    advanced = clock()
    assert 1_900_000_000 < advanced < 1_900_000_001
    path.write_text("")
    assert clock() == advanced
    path.unlink()
    assert clock() == advanced
