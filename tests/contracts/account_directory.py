"""What every account directory promises.

Subclass, give `directory` and `open_unit_of_work` over one empty store, and run.
"""

import pytest

from contracts.examples import ADA, BOB, CUS_1, NOON, an_account, email_of, unversioned
from contracts.keeping import ADA_KEYS, FULL_ACCOUNT, kept, read_account
from payments_core.identity import Email
from payments_core.ports import AccountDirectory, OpenUnitOfWork


class AccountDirectoryContract:
    async def test_nobody_is_found_in_an_empty_store(
        self, directory: AccountDirectory
    ) -> None:
        """
        Neither by id nor by e-mail; that is no error.
        """
        assert await directory.find(ADA) is None
        assert await directory.find(email_of(ADA)) is None

    async def test_an_account_is_found_by_id_exactly_as_kept(
        self, directory: AccountDirectory, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        All of it, its version included; another's id finds nothing.
        """
        await kept(open_unit_of_work, FULL_ACCOUNT)
        account = await directory.find(ADA)

        assert account is not None
        assert unversioned(account) == FULL_ACCOUNT
        assert account.version == 1
        assert await directory.find(BOB) is None

    @pytest.mark.parametrize("text", ["ada@exämple.org", "ADA@EXÄMPLE.ORG."])
    async def test_an_account_is_found_by_the_key_of_its_email(
        self,
        directory: AccountDirectory,
        open_unit_of_work: OpenUnitOfWork,
        text: str,
    ) -> None:
        """
        Another spelling of the same e-mail finds the same account.
        """
        await kept(open_unit_of_work, an_account(), an_account(BOB))
        account = await directory.find(Email.of(text))

        assert account is not None
        assert account.user_id == ADA

    async def test_after_renaming_only_the_new_email_finds_it(
        self, directory: AccountDirectory, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The old e-mail is nobody's; the id stays.
        """
        await kept(open_unit_of_work, an_account(customer=CUS_1))
        ada = await read_account(open_unit_of_work)
        await kept(open_unit_of_work, ada.renamed(email_of("countess")))

        assert await directory.find(email_of(ADA)) is None
        renamed = await directory.find(email_of("countess"))
        assert renamed == await directory.find(ADA)
        assert renamed is not None
        assert renamed.version == 2

    async def test_what_is_not_committed_is_not_seen_and_not_waited_for(
        self, directory: AccountDirectory, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Readers see the last commit, while a writer holds the account.
        """
        await kept(open_unit_of_work, an_account())

        async with open_unit_of_work() as work:
            (ada,) = await work.accounts(ADA_KEYS)
            await work.keep(accounts=[ada.renamed(email_of("countess"))], at=NOON)
            seen = await directory.find(ADA)
        assert seen == ada
        assert await directory.find(ADA) == ada
