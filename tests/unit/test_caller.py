"""Who a caller is, and which accounts it may access."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import ADA, BOB, a_token, email_of
from payments_core.caller import ADMIN_SCOPE, READ_SCOPE, Caller
from payments_core.errors import AccountNotFound, ScopeRequired

SECOND = timedelta(seconds=1)
ADAS = Caller(attrs.evolve(a_token(), email=email_of(ADA)))
READER = Caller(attrs.evolve(a_token(user="desk"), scopes=frozenset({READ_SCOPE})))
SHOP = Caller(attrs.evolve(a_token(), is_service=True))
ADMIN = Caller(attrs.evolve(a_token(user="root"), scopes=frozenset({ADMIN_SCOPE})))


def test_a_caller_is_named_by_the_tokens_own_id_and_email() -> None:
    """
    In any spelling of the e-mail; a token without an e-mail has none.
    """
    assert ADAS.names(ADA)
    assert ADAS.names(email_of("ADA"))
    assert not ADAS.names(BOB)
    assert not ADAS.names(email_of(BOB))
    assert not ADMIN.names(email_of("root"))


def test_a_caller_reaches_its_own_account_and_an_administrator_every_one() -> None:
    """
    Another's account does not exist to it, and an administrator's action needs the
    scope.
    """
    ADAS.require_access(ADA)
    ADMIN.require_access(BOB)
    ADMIN.require_admin()
    with pytest.raises(AccountNotFound):
        ADAS.require_access(BOB)
    with pytest.raises(ScopeRequired):
        ADAS.require_admin()


def test_a_reader_reaches_every_account_to_read_it() -> None:
    """
    And only its own to change it; an administrator may read what it may change.
    """
    READER.require_access(BOB, reading=True)
    ADMIN.require_access(BOB, reading=True)
    with pytest.raises(AccountNotFound):
        READER.require_access(BOB)
    with pytest.raises(AccountNotFound):
        ADAS.require_access(BOB, reading=True)
    with pytest.raises(ScopeRequired):
        READER.require_admin()


def test_a_service_is_no_user() -> None:
    """
    Nothing of the user with the same id is its own, and it has only its scopes.
    """
    assert not SHOP.names(ADA)
    assert not SHOP.is_user(ADA)
    for reading in (True, False):
        with pytest.raises(AccountNotFound):
            SHOP.require_access(ADA, reading=reading)
    reads = Caller(attrs.evolve(SHOP.token, scopes=frozenset({READ_SCOPE})))
    reads.require_access(ADA, reading=True)
    with pytest.raises(AccountNotFound):
        reads.require_access(ADA)


def test_a_caller_holds_the_tokens_of_its_own_kind() -> None:
    """
    A user that user's tokens, a service that service's.
    """
    assert ADAS.holds(ADAS.token)
    assert SHOP.holds(SHOP.token)
    assert not ADAS.holds(SHOP.token)
    assert not SHOP.holds(ADAS.token)
    assert not ADAS.holds(READER.token)
