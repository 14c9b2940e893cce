"""Access passes: for which users, with what content, and by which clock."""

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import jwt
import pytest

from contracts.examples import ADA, BOB, NOON, a_payment, a_token
from contracts.worlds import World, events_of
from payments_adapters.jwt import PassKeys, PassSigning, add_pass_key
from payments_adapters.memory import MemoryAccountDirectory
from payments_core import Email
from payments_core.access_pass import AccessPass
from payments_core.caller import ADMIN_SCOPE, READ_SCOPE, Caller
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.errors import AccountNotFound, PassesNotOffered
from payments_core.policy import Policy
from payments_core.use_cases import (
    GetAuthorizedAccount,
    IssueAccessPass,
    ReadAccess,
    ReadPassKeys,
)

pytestmark = pytest.mark.anyio

SOLD: Final = Policy(
    catalogue=Catalogue.of(
        [
            CatalogueProduct(product=PREPAID, features=("reports",), days_after_end=9),
            CatalogueProduct(product="prod_other", features=("api",)),
        ]
    )
)
# The real time: with a sandbox, another time than the one that decides.
REAL: Final = datetime(2031, 1, 1, tzinfo=UTC)
LIFETIME: Final = timedelta(minutes=5)


def caller(user: str = ADA, *scopes: str) -> Caller:
    return Caller(attrs.evolve(a_token(user=user), scopes=frozenset(scopes)))


def issuing_in(
    world: World, *, keys: str | None = None, now: datetime | None = None
) -> IssueAccessPass:
    reach = GetAuthorizedAccount(MemoryAccountDirectory(world.database), world.register)
    text = keys or add_pass_key("k1")
    signer = PassSigning(PassKeys.from_jwks(text), "payments")
    access = ReadAccess(reach, world.clock, SOLD)
    real = now or world.clock()
    return IssueAccessPass(access, signer, lambda: real, LIFETIME)


async def paid() -> World:
    world = World()
    for user in (ADA, BOB):
        await world.register(user, Email.of(f"{user}@example.com"))
    await world.deliver(events_of([a_payment("ch_1", at=NOON, user=ADA)]))
    return world


def ends_at(world: World) -> datetime:
    date = world.account().payment_expire_date
    assert date is not None
    return date + timedelta(days=9)


async def test_a_pass_says_what_access_says() -> None:
    """
    What the user has no access to is not in it.
    """
    world = await paid()
    now = world.clock()

    signed = await issuing_in(world)(ADA, caller=caller())

    assert signed.content == AccessPass(
        user_id=ADA,
        issued_at=now,
        expires_at=now + LIFETIME,
        entitled_until=ends_at(world),
        features={"reports": ends_at(world)},
    )
    claims = jwt.decode(signed.text, options={"verify_signature": False})
    assert claims["features"] == {"reports": int(ends_at(world).timestamp())}


async def test_a_pass_of_who_never_paid_grants_nothing() -> None:
    content = (await issuing_in(await paid())(BOB, caller=caller(BOB))).content

    assert (content.entitled_until, content.features) == (None, {})


async def test_what_has_ended_is_in_no_pass() -> None:
    world = await paid()
    world.clock.now = ends_at(world)

    content = (await issuing_in(world)(ADA, caller=caller())).content

    assert content.features == {}


async def test_a_pass_ends_by_the_real_time() -> None:
    """
    A verifier has no other time; the rest of an access is the same by both clocks.
    """
    world = await paid()
    left = ends_at(world) - world.clock()

    content = (await issuing_in(world, now=REAL)(ADA, caller=caller())).content

    assert (content.issued_at, content.expires_at) == (REAL, REAL + LIFETIME)
    assert content.entitled_until == REAL + left
    assert content.features == {"reports": REAL + left}


async def test_a_pass_is_for_the_user_and_for_administrators() -> None:
    """
    A caller that only reads cannot have a pass of another user: it could use that pass.
    """
    issue = issuing_in(await paid())

    assert (await issue(ADA, caller=caller(BOB, ADMIN_SCOPE))).content.user_id == ADA
    for other in (caller(BOB), caller(BOB, READ_SCOPE)):
        with pytest.raises(AccountNotFound):
            await issue(ADA, caller=other)


async def test_without_keys_no_pass_is_issued() -> None:
    """
    The owner is checked first: no other caller learns whether the user exists.
    """
    issue = attrs.evolve(issuing_in(await paid()), signer=PassSigning(None, "payments"))

    with pytest.raises(PassesNotOffered):
        await issue(ADA, caller=caller())
    with pytest.raises(AccountNotFound):
        await issue(ADA, caller=caller(BOB))


def test_the_keys_are_read_by_anybody() -> None:
    signer = PassSigning(PassKeys.from_jwks(add_pass_key("k1")), "payments")

    assert ReadPassKeys(signer)() == signer.published
