"""The sandbox depends on nothing of ours; what it duplicates behaves the same."""

from datetime import UTC, datetime
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from payments_adapters.stripe import StripeSignatures, sign
from payments_core.months import months_after
from payments_sandbox.periods import MOMENT_MAX, boundary, moment
from payments_sandbox.signature import signed

SECRETS = st.lists(
    # Each as long and as random as Stripe's are.
    st.binary(max_size=8).map(lambda drawn: f"whsec_{sha256(drawn).hexdigest()}"),
    min_size=1,
    max_size=8,
)
MOMENTS = st.integers(0, MOMENT_MAX)


@given(st.binary(max_size=300), SECRETS, MOMENTS)
def test_its_signatures_verify_by_every_secret(
    body: bytes, secrets: list[str], at: int
) -> None:
    """
    One header, which the receiver with any of the secrets accepts; with one secret it
    is what our own signer writes.
    """
    now = datetime.fromtimestamp(at, UTC)

    header = signed(body, secrets, now)

    for secret in secrets:
        StripeSignatures([secret], lambda: now).verify(body, header)
    assert signed(body, secrets[:1], now) == sign(body, secret=secrets[0], at=now)


@given(MOMENTS, st.integers(-120, 120_000))
def test_its_months_are_those_of_the_domain(anchor: int, months: int) -> None:
    """
    The day of the anchor, clamped, in any month; and the same last date.
    """
    monthly = {"interval": "month", "interval_count": 1}

    found = boundary(anchor, monthly, months)

    assert moment(found) == months_after(moment(anchor), months).replace(microsecond=0)
