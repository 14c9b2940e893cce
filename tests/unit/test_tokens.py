"""Which tokens a revocation of all of a user's tokens covers."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_token, email_of
from payments_core.caller import ADMIN_SCOPE, Caller
from payments_core.tokens import UserTokenRevocation

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
    Too many rather than one too few, and none of another user.
    """
    token = a_token(user=user, issued_at=NOON + issued_after)

    assert UserTokenRevocation(user_id=ADA, at=NOON).covers(token) is dead
