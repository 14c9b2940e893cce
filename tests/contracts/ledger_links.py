"""What a ledger promises of link keys: of a keeper and a claim, one is saved."""

from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    a_payment,
    a_record,
    an_account,
    email_of,
)
from contracts.stores import SAVED, Stores, opened, users
from payments_core.changes import Changes, SaveResult
from payments_core.identity import CustomerId
from payments_core.linking import LinkKeys, link_keys
from payments_core.payment import Payment

CHANGED: Final = SaveResult.CHANGED
ADAS_EMAIL: Final = email_of(ADA).key
NAME: Final = f"email {ADAS_EMAIL}"
KEYS: Final = LinkKeys(email_keys=frozenset({ADAS_EMAIL}))


def keeper(id_: str, version: int) -> Changes:
    """Return the group that keeps a payment of Ada's e-mail unlinked."""
    payment = a_payment(id_, email=email_of(ADA))
    return Changes(
        key=id_, payments=(a_record(payment),), link_versions={NAME: version}
    )


def claimer(version: int, user: str = ADA) -> Changes:
    """Return the group that opens an account and claims Ada's e-mail for it."""
    return opened(an_account(user), link_versions={NAME: version})


class LedgerLinksContract:
    async def test_a_link_key_that_was_never_named_has_version_0(
        self, stores: Stores
    ) -> None:
        """
        It is compared like any other, and raised by one with each save.
        """
        found = await stores.load(link_keys=KEYS)
        assert found.link_versions.get(NAME, 0) == 0
        for version in range(3):
            assert await stores.save(keeper(f"ch_{version}", version)) == [SAVED]
            assert await stores.link_version(NAME, KEYS) == version + 1

    async def test_each_link_key_is_one_of_its_own(self, stores: Stores) -> None:
        """
        A user, a customer and an e-mail of one text are three keys.
        """
        payment = Payment(
            id=a_payment().id,
            metadata_user_id="x",
            customer_id=CustomerId("x"),
            email="x",
        )
        keys = link_keys([payment])
        names = dict.fromkeys(keys.names(), 0)
        group = Changes(key="it", payments=(a_record(payment),), link_versions=names)
        assert await stores.save(group) == [SAVED]

        assert len(names) == 3
        assert (await stores.load(link_keys=keys)).link_versions == dict.fromkeys(
            names, 1
        )
        assert not (await stores.load(link_keys=users("y"))).link_versions

    @pytest.mark.parametrize("version", [0, 1])
    async def test_who_keep_something_under_one_key_are_all_saved_and_raise_it_once(
        self, stores: Stores, version: int
    ) -> None:
        """
        They do not conflict; the key may be new or exist already.
        """
        for earlier in range(version):
            assert await stores.save(keeper("ch_0", earlier)) == [SAVED]
        groups = [keeper(f"ch_{number}", version) for number in range(1, 4)]
        assert await stores.save(*groups) == [SAVED] * 3

        assert await stores.link_version(NAME, KEYS) == version + 1
        found = (await stores.load(unlinked=KEYS)).unlinked.payments
        assert len(found) == version + 3

    @pytest.mark.parametrize("version", [0, 1])
    async def test_a_claim_is_never_saved_beside_a_keeper_of_its_key(
        self, stores: Stores, version: int
    ) -> None:
        """
        Whichever is first, the other must load and decide again.
        """
        for earlier in range(version):
            assert await stores.save(keeper("ch_0", earlier)) == [SAVED]
        words = await stores.save(claimer(version), keeper("ch_1", version))
        assert words == [SAVED, CHANGED]
        await stores.save(keeper("ch_2", version + 1))
        again = version + 2
        bob = attrs.evolve(opened(an_account(BOB)), link_versions={NAME: again})
        words = await stores.save(keeper("ch_3", again), keeper("ch_4", again), bob)
        assert words[2] is CHANGED
        assert words[0] is SAVED

        assert await stores.link_version(NAME, KEYS) == again + 1

    async def test_of_two_claims_of_one_key_one_is_saved(self, stores: Stores) -> None:
        """
        Even if neither takes anything that is unique.
        """
        words = await stores.save(claimer(0), claimer(0, BOB))
        assert words == [SAVED, CHANGED]

    async def test_who_kept_something_meanwhile_is_seen_by_a_claim(
        self, stores: Stores
    ) -> None:
        """
        And the other way round: each compares what the other raised.
        """
        assert await stores.save(keeper("ch_1", 0)) == [SAVED]
        assert await stores.save(claimer(0)) == [CHANGED]
        assert await stores.save(claimer(1)) == [SAVED]
        assert await stores.save(keeper("ch_2", 1)) == [CHANGED]

    async def test_keys_that_are_not_named_are_not_raised(self, stores: Stores) -> None:
        """
        A store raises the keys that it is given, and no others.
        """
        await stores.keep(
            an_account(customer=CUS_1),
            payments=[a_record(a_payment(customer=CUS_1), owner=ADA)],
        )
        keys = users(ADA) | LinkKeys(customer_ids=frozenset({CUS_1})) | KEYS

        assert not (await stores.load(link_keys=keys)).link_versions
