"""Reading access: which user's, to what, and with which parameters."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_payment, a_token
from contracts.worlds import World, events_of
from payments_adapters.memory import MemoryAccountDirectory
from payments_core import Email
from payments_core.access import NO_ACCESS, GrantKind
from payments_core.caller import ADMIN_SCOPE, READ_SCOPE, Caller
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.errors import AccountNotFound, FeatureNotFound, InvalidValue
from payments_core.policy import Policy
from payments_core.use_cases import GetAuthorizedAccount, ReadAccess, ReadCatalogue

pytestmark = pytest.mark.anyio

SOLD: Final = Policy(
    catalogue=Catalogue.of(
        [CatalogueProduct(product=PREPAID, features=("reports",), days_after_end=9)]
    )
)


def access_in(world: World, policy: Policy) -> ReadAccess:
    reach = GetAuthorizedAccount(MemoryAccountDirectory(world.database), world.register)
    return ReadAccess(reach, world.clock, policy)


def caller(user: str = ADA, *scopes: str) -> Caller:
    return Caller(attrs.evolve(a_token(user=user), scopes=frozenset(scopes)))


async def paid() -> World:
    world = World()
    for user in (ADA, BOB):
        await world.register(user, Email.of(f"{user}@example.com"))
    await world.deliver(events_of([a_payment("ch_1", at=NOON, user=ADA)]))
    return world


async def test_access_is_what_the_status_says_it_is() -> None:
    """
    Until when, by which catalogue, and for which reason; the product's own days count.
    """
    world = await paid()
    date = world.account().payment_expire_date
    assert date is not None
    for policy, days, version in (
        (Policy(), 3, "none"),
        (SOLD, 9, SOLD.catalogue and SOLD.catalogue.version),
    ):
        found = await access_in(world, policy)(ADA, caller=caller())
        ends_at = date + timedelta(days=days)
        standing = world.account().standing(now=world.clock(), policy=policy)

        assert (found.user_id, found.catalogue) == (ADA, version)
        assert found.standing == standing
        assert found.entitled_until == ends_at
        assert found.access.products[PREPAID].until == ends_at


async def test_another_users_access_is_for_who_reads_all() -> None:
    """
    To any other caller the user does not exist, whatever is requested.
    """
    read = access_in(await paid(), SOLD)

    for scope in (ADMIN_SCOPE, READ_SCOPE):
        found = await read(ADA, caller=caller(BOB, scope))
        assert found.user_id == ADA
    for asked in (
        read(ADA, caller=caller(BOB)),
        read.to_feature(ADA, "reports", caller=caller(BOB)),
        read.to_feature(ADA, "none", caller=caller(BOB)),
    ):
        with pytest.raises(AccountNotFound):
            await asked


async def test_one_feature_is_asked_for() -> None:
    """
    A feature that the catalogue does not name is not found; an invalid text is refused.
    """
    read = access_in(await paid(), SOLD)
    whose, to = await read.to_feature(
        Email.of(f"{ADA}@example.com"), "reports", caller=caller()
    )

    assert (whose.user_id, to.granted, to.product) == (ADA, True, PREPAID)
    assert to.because is not None
    assert to.because.kind is GrantKind.PREPAID
    with pytest.raises(FeatureNotFound):
        await read.to_feature(ADA, "report", caller=caller())
    for text in ("", "a b", "é", "a" * 256):
        with pytest.raises(InvalidValue) as refused:
            await read.to_feature(ADA, text, caller=caller())
        assert refused.value.field == "feature"


async def test_without_a_catalogue_any_product_may_be_a_feature() -> None:
    """
    Which features exist is not known: there is no access to those that the user never
    had.
    """
    read = access_in(await paid(), Policy())

    assert (await read.to_feature(ADA, PREPAID, caller=caller()))[1].granted
    whose, to = await read.to_feature(ADA, "prod_x", caller=caller())
    assert (whose.user_id, to) == (ADA, NO_ACCESS)


def test_the_catalogue_is_the_policys() -> None:
    """
    Or an empty one, whose version is `none`.
    """
    assert ReadCatalogue(SOLD)() == (SOLD.catalogue, SOLD)
    none, _ = ReadCatalogue(Policy())()
    assert (none.version, dict(none.products)) == ("none", {})
