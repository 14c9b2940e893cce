"""Which tokens a cut-off ends, and whom a caller reaches."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_token, an_account, email_of
from payments_core.errors import AccountNotFound, ScopeRequired
from payments_core.revocation import ADMIN_SCOPE, Caller, TokenCutOff

SECOND = timedelta(seconds=1)
ADAS = Caller(attrs.evolve(a_token(), email=email_of(ADA)))
ADMIN = Caller(attrs.evolve(a_token(user="root"), scopes=frozenset({ADMIN_SCOPE})))


@pytest.mark.parametrize(
    ("user", "issued_after", "dead"),
    [
        (ADA, -SECOND, True),
        (ADA, 0 * SECOND, True),
        (ADA, SECOND, False),
        (BOB, -SECOND, False),
    ],
)
def test_a_cut_off_ends_a_users_tokens_of_up_to_its_very_second(
    user: str,
    issued_after: timedelta,
    dead: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Too many rather than one too few, and nobody else's.
    """
    token = a_token(user=user, issued_at=NOON + issued_after)

    assert TokenCutOff(user_id=ADA, at=NOON).kills(token) is dead


def test_a_caller_is_named_by_the_tokens_own_id_and_email() -> None:
    """
    In any spelling of the e-mail; a token without one names nobody by e-mail.
    """
    assert ADAS.names(ADA)
    assert ADAS.names(email_of("ADA"))
    assert not ADAS.names(BOB)
    assert not ADAS.names(email_of(BOB))
    assert not ADMIN.names(email_of("root"))


def test_a_caller_reaches_its_own_account_and_an_administrator_every_one() -> None:
    """
    Another's does not exist, and what is an administrator's needs the scope.
    """
    ADAS.require_reach(an_account(ADA))
    ADMIN.require_reach(an_account(BOB))
    ADMIN.require_admin()
    with pytest.raises(AccountNotFound):
        ADAS.require_reach(an_account(BOB))
    with pytest.raises(ScopeRequired):
        ADAS.require_admin()
