"""Which deliveries are accepted, and which are not. Ids are the threat model's."""

import hmac
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st

from payments_adapters.stripe import StripeSignatures, sign
from payments_core.errors import BadSignature, InvalidValue
from support.stripe_bodies import a_secret

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_S: Final = int(NOON.timestamp())
SECRET: Final = a_secret("new")
OLD_SECRET: Final = a_secret("old")
BODY: Final = b'{"id": "evt_1"}'
BRIEF: Final = Path(__file__).parents[1] / "payloads" / "charge_succeeded.json"


def at(moment: datetime, *secrets: str) -> StripeSignatures:
    return StripeSignatures(secrets or (SECRET,), lambda: moment)


def holds(signatures: StripeSignatures, body: bytes, header: str) -> bool:
    try:
        signatures.verify(body, header)
    except BadSignature:
        return False
    return True


def v1(body: bytes = BODY, *, secret: str = SECRET, moment: datetime = NOON) -> str:
    return sign(body, secret=secret, at=moment).partition("v1=")[2]


def signed_text(timestamp: str) -> str:
    """Sign any text in place of the timestamp, as the secret's owner could."""
    mac = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + BODY, "sha256")
    return f"t={timestamp},v1={mac.hexdigest()}"


def test_a_signed_body_is_taken() -> None:
    """
    `verify` accepts what `sign` makes.
    """
    at(NOON).verify(BODY, sign(BODY, secret=SECRET, at=NOON))


def test_the_signature_is_the_one_that_stripe_documents() -> None:
    """
    HMAC-SHA256 of the timestamp, a dot and the body; in hexadecimal.
    """
    assert signed_text(str(NOON_S)) == sign(BODY, secret=SECRET, at=NOON)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "=",
        "t",
        "t=",
        "t,v1",
        "v1=,t=",
        "garbage",
        f"t={NOON_S}",
        f"t={NOON_S},v1",
        f"t={NOON_S},v1=",
        f"t={NOON_S},v1={'0' * 64}",
        f"t={NOON_S}.v1={v1()}",
        f"v1={v1()}",
        f"t={NOON_S}, v1={v1()}",
        f"t={NOON_S};v1={v1()}",
        f"t={NOON_S},v1={v1()}=",
        f"t={NOON_S},v1={v1().upper()}",
        f"t={NOON_S},v1={v1()[:-1]}",
    ],
)
def test_t01_a_header_that_signs_nothing_is_refused(header: str) -> None:
    """
    Missing, garbage, half a header or half a signature: the same answer for all.
    """
    with pytest.raises(BadSignature):
        at(NOON).verify(BODY, header)


@given(st.text(st.characters(codec="latin-1")) | st.text(st.sampled_from("tv01=,2 ")))
@example("t=1,v1=\xff")
def test_t01_no_header_is_an_error_of_any_other_kind(header: str) -> None:
    """
    Only `BadSignature` is raised, whatever the header.
    """
    with pytest.raises(BadSignature):
        at(NOON).verify(BODY, header)


def test_t01_a_header_over_two_kib_is_refused_and_one_of_two_kib_is_read() -> None:
    """
    Exactly at the limit.
    """
    header = sign(BODY, secret=SECRET, at=NOON)
    filler = ",x=" + "y" * (2048 - len(header) - 3)

    assert holds(at(NOON), BODY, header + filler)
    with pytest.raises(BadSignature, match="over 2048 bytes"):
        at(NOON).verify(BODY, header + filler + "y")


def test_t02_no_bit_of_a_signed_body_can_be_flipped() -> None:
    """
    Every single bit of the body counts.
    """
    body = BRIEF.read_bytes()
    signatures, header = at(NOON), sign(body, secret=SECRET, at=NOON)
    assert holds(signatures, body, header)

    forged = bytearray(body)
    for position in range(len(body) * 8):
        forged[position // 8] ^= 1 << position % 8
        assert not holds(signatures, bytes(forged), header)
        forged[position // 8] ^= 1 << position % 8


@pytest.mark.parametrize("changed", [BODY + b"\n", b" " + BODY, BODY[:-1], b""])
def test_t02_a_body_written_anew_is_refused(changed: bytes) -> None:
    """
    White space counts: the received bytes are verified.
    """
    with pytest.raises(BadSignature, match="no v1 signature matches"):
        at(NOON).verify(changed, sign(BODY, secret=SECRET, at=NOON))


@pytest.mark.parametrize(
    ("age_s", "taken"),
    [
        (-301, False),
        (-300, True),
        (-299, True),
        (0, True),
        (299, True),
        (300, True),
        (300.000001, False),
        (-300.000001, False),
        (301, False),
    ],
)
def test_t04_the_window_ends_at_300_seconds_on_both_sides(
    age_s: float, *, taken: bool
) -> None:
    """
    A captured delivery is useless after five minutes.
    """
    header = sign(BODY, secret=SECRET, at=NOON)

    assert holds(at(NOON + timedelta(seconds=age_s)), BODY, header) is taken


def test_t05_a_future_timestamp_is_refused() -> None:
    """
    A delivery cannot be signed now for an hour from now; the SDK would accept it.
    """
    header = sign(BODY, secret=SECRET, at=NOON + timedelta(hours=1))

    with pytest.raises(BadSignature, match="300 s off"):
        at(NOON).verify(BODY, header)


@pytest.mark.parametrize("order", ["fresh first", "signed first"])
def test_t06_two_timestamps_are_refused_in_both_orders(order: str) -> None:
    """
    One could be signed and the other one fresh.
    """
    old = NOON - timedelta(days=1)
    timestamps = [f"t={NOON_S}", f"t={int(old.timestamp())}"]
    if order == "signed first":
        timestamps.reverse()
    header = ",".join([*timestamps, f"v1={v1(moment=old)}"])

    with pytest.raises(BadSignature, match="exactly one timestamp"):
        at(NOON).verify(BODY, header)


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        f"+{NOON_S}",
        f"-{NOON_S}",
        f" {NOON_S}",
        f"{NOON_S} ",
        f"{NOON_S}\n",
        f"{NOON_S}.0",
        f"{NOON_S:_}",
        f"{NOON_S:x}",
        f"{NOON_S:013}",
        "".join(chr(0x660 + int(digit)) for digit in str(NOON_S)),
    ],
)
def test_t06_a_timestamp_is_one_to_twelve_digits(timestamp: str) -> None:
    """
    Signed or not, another spelling of the right time is not a timestamp.
    """
    with pytest.raises(BadSignature, match=r"timestamp|ASCII"):
        at(NOON).verify(BODY, signed_text(timestamp))


def test_t06_the_year_33658_is_refused_like_any_other_future() -> None:
    """
    The largest readable timestamp breaks nothing.
    """
    with pytest.raises(BadSignature, match="300 s off"):
        at(NOON).verify(BODY, signed_text("9" * 12))


@pytest.mark.parametrize("scheme", ["v0", "v2", "V1", "v1 ", " v1", "v10", ""])
def test_t07_another_scheme_does_not_count(scheme: str) -> None:
    """
    A right signature under a wrong name is ignored.
    """
    with pytest.raises(BadSignature, match="no v1 signature"):
        at(NOON).verify(BODY, f"t={NOON_S},{scheme}={v1()}")


def test_t07_other_schemes_beside_v1_do_no_harm() -> None:
    """
    Stripe sends a `v0` in test mode and may add schemes.
    """
    header = f"v0=junk,t={NOON_S},v9=,v1={v1()},v2={'0' * 64},x"

    at(NOON).verify(BODY, header)


@pytest.mark.parametrize("newest_first", [True, False])
def test_t08_during_a_roll_either_signature_will_do(*, newest_first: bool) -> None:
    """
    Stripe sends one `v1` for each active secret, in any order.
    """
    pair = [f"v1={v1()}", f"v1={v1(secret=OLD_SECRET)}"]
    header = ",".join([f"t={NOON_S}", *(pair if newest_first else pair[::-1])])

    for secrets in [(SECRET,), (OLD_SECRET,), (SECRET, OLD_SECRET)]:
        at(NOON, *secrets).verify(BODY, header)


def test_t08_eight_signatures_are_read_and_nine_are_not() -> None:
    """
    A sender of more is not rolling a secret.
    """
    junk = f",v1={'0' * 64}" * 7
    right = f",v1={v1()}"

    assert holds(at(NOON), BODY, f"t={NOON_S}{junk}{right}")
    with pytest.raises(BadSignature, match="more than 8"):
        at(NOON).verify(BODY, f"t={NOON_S}{right}{junk},v1=0")


def test_t08_twenty_thousand_signatures_are_refused_by_length() -> None:
    """
    They are not even split.
    """
    with pytest.raises(BadSignature, match="over 2048 bytes"):
        at(NOON).verify(BODY, f"t={NOON_S}" + f",v1={'0' * 64}" * 20_000)


@pytest.mark.parametrize(
    "wrong",
    [OLD_SECRET, SECRET + "k", SECRET[:-1], SECRET.upper(), "", "k" * 32],
)
def test_t09_another_endpoints_secret_is_refused(wrong: str) -> None:
    """
    The command line tool's, another endpoint's, the other mode's: all are refused.
    """
    with pytest.raises(BadSignature, match="no v1 signature matches"):
        at(NOON).verify(BODY, f"t={NOON_S},v1={v1(secret=wrong)}")


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        ("",),
        (SECRET, ""),
        ("whsec_" + "k" * 17,),
        ("sk_" + "k" * 32,),
        ("k" * 38,),
        (SECRET.upper(),),
        (SECRET + "\n",),
        (" " + SECRET,),
        (SECRET + "\xe9",),
        (SECRET + "\ud800",),
        tuple(map(a_secret, "abcdefghi")),
        (SECRET, SECRET),
        (OLD_SECRET, SECRET, OLD_SECRET),
        # A text in place of a list: its letters are not secrets.
        SECRET,
    ],
)
def test_t09_a_configuration_without_good_secrets_is_refused(
    secrets: tuple[str, ...],
) -> None:
    """
    It is refused at the start, by name, without showing the secret.
    """
    with pytest.raises(InvalidValue) as refusal:
        StripeSignatures(secrets, lambda: NOON)

    assert refusal.value.field == "webhook_secrets"
    assert SECRET[6:] not in str(refusal.value)
    assert "kkk" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * 32, "different characters"),
        ("0" * 64, "different characters"),
        ("abcab" * 5, "different characters"),
        ("changeme" * 4, "repeated text"),
        ("0123456789abcdef" * 2, "repeated text"),
        (SECRET[6:24] * 2 + SECRET[6:10], "repeated text"),
        ("abcdefghijklmnopqrstuvwxyz", "is a sequence"),
        ("0123456789ABCDEFGHIJ", "is a sequence"),
        ("aaabbbcccdddeeefffggghhhiii", "is a sequence"),
    ],
)
def test_t09_a_secret_that_can_be_guessed_is_refused(text: str, reason: str) -> None:
    """
    A placeholder of the right form is not a secret: anybody could sign with it.
    """
    with pytest.raises(InvalidValue, match=reason) as refusal:
        StripeSignatures((SECRET, f"whsec_{text}"), lambda: NOON)

    assert refusal.value.field == "webhook_secrets"
    assert text not in str(refusal.value)


def test_t09_eight_secrets_of_24_characters_are_taken() -> None:
    """
    Exactly at the limits.
    """
    shortest = SECRET[:24]
    others = map(a_secret, "abcdefg")

    at(NOON, *others, shortest).verify(BODY, sign(BODY, secret=shortest, at=NOON))


@pytest.mark.parametrize("tolerance_s", [0, -1])
def test_a_window_of_any_age_cannot_be_configured(tolerance_s: int) -> None:
    """
    In the SDK zero turns the check off; here it is refused.
    """
    with pytest.raises(InvalidValue, match="tolerance_s"):
        StripeSignatures((SECRET,), lambda: NOON, tolerance_s=tolerance_s)


def test_t10_a_retired_secret_is_refused_and_an_overlapping_one_is_not() -> None:
    """
    A secret counts as long as it is in the list.
    """
    header = sign(BODY, secret=OLD_SECRET, at=NOON)

    assert holds(at(NOON, SECRET, OLD_SECRET), BODY, header)
    assert not holds(at(NOON, SECRET), BODY, header)


def test_t10_it_is_known_which_secrets_verify() -> None:
    """
    By their places: a secret that no longer verifies anything can be removed. While a
    secret is rolled Stripe signs with both.
    """
    signatures = at(NOON, SECRET, OLD_SECRET)
    assert list(signatures.verified_counts) == [0, 0]
    new = sign(BODY, secret=SECRET, at=NOON)
    old = sign(BODY, secret=OLD_SECRET, at=NOON)
    for header in (new, new, old, f"{new},v1={v1(secret=OLD_SECRET)}"):
        assert holds(signatures, BODY, header)
    # The same signature twice is one delivery.
    assert holds(signatures, BODY, f"{new},v1={v1()}")
    assert list(signatures.verified_counts) == [4, 2]

    assert not holds(signatures, BODY, sign(BODY, secret=a_secret("third"), at=NOON))
    assert list(signatures.verified_counts) == [4, 2]
    signatures.replace([SECRET])
    assert list(signatures.verified_counts) == [4]


def test_t11_every_pair_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Two secrets and three signatures are six comparisons, whichever matches.
    """
    compared = []
    compare = hmac.compare_digest

    def counting(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    at(NOON, SECRET, OLD_SECRET).verify(BODY, f"t={NOON_S},v1={v1()},v1=0,v1=1")

    assert len(compared) == 6
    assert all(isinstance(side, bytes) for pair in compared for side in pair)


@pytest.mark.parametrize("letter", [chr(code) for code in range(0x80, 0x100)])
def test_t12_a_signature_that_is_not_ascii_is_refused(letter: str) -> None:
    """
    The SDK raises a TypeError here, before it knows the sender.
    """
    with pytest.raises(BadSignature, match="not ASCII"):
        at(NOON).verify(BODY, f"t={NOON_S},v1={v1()[:-1]}{letter}")


def test_t13_bytes_that_are_not_utf_8_are_verified_as_bytes() -> None:
    """
    The signature is over bytes: it is valid or not, whatever they spell.
    """
    body = b'{"id": "\xff"}'

    assert holds(at(NOON), body, sign(body, secret=SECRET, at=NOON))
    assert not holds(at(NOON), body, sign(BODY, secret=SECRET, at=NOON))


def test_a_reason_never_repeats_the_input() -> None:
    """
    A stranger's input does not get into our logs.
    """
    canary = "canary"
    for header in [canary, f"t={canary}", f"t={NOON_S},v1={canary}", f"{canary}\xff"]:
        with pytest.raises(BadSignature) as refusal:
            at(NOON).verify(canary.encode(), header)
        assert canary not in f"{refusal.value!r} {refusal.value.__context__!r}"


def test_secrets_do_not_print() -> None:
    """
    Neither the text nor its beginning is in what a log would show.
    """
    assert "whsec" not in repr(at(NOON))
    assert SECRET[6:] not in repr(at(NOON))


secrets = st.text("abcdefghkmnp", max_size=5).map(a_secret)


@given(
    body=st.binary(max_size=300),
    age_s=st.integers(-400, 400) | st.sampled_from([-301, -300, 300, 301]),
    others=st.sets(secrets, max_size=7),
    author=secrets,
    known=st.booleans(),
    flipped=st.none() | st.integers(min_value=0),
)
def test_p15_verification_is_exactly_secret_window_and_body(  # noqa: PLR0913  # one for each side of the equivalence
    *,
    body: bytes,
    age_s: int,
    others: set[str],
    author: str,
    known: bool,
    flipped: int | None,
) -> None:
    """
    It succeeds if and only if a known secret signed exactly this body in the window.
    """
    ring = others | {author if known else SECRET}
    header = sign(body, secret=author, at=NOON)
    delivered = bytearray(body)
    if flipped is not None and body:
        position = flipped % (len(body) * 8)
        delivered[position // 8] ^= 1 << position % 8

    expected = author in ring and abs(age_s) <= 300 and bytes(delivered) == body
    now = NOON + timedelta(seconds=age_s)
    assert holds(at(now, *ring), bytes(delivered), header) is expected


@given(body=st.text(max_size=300), age_s=st.integers(0, 290), known=st.booleans())
def test_p15_we_agree_with_the_sdk_on_the_sdks_own_headers(
    *, body: str, age_s: int, known: bool
) -> None:
    """
    In the window, both give the same result for a header that the SDK made.
    """
    now = datetime.fromtimestamp(math.floor(time.time()), UTC)
    header = stripe.WebhookSignature.generate_signature_header(
        body, SECRET if known else OLD_SECRET, int(now.timestamp()) - age_s
    )
    try:
        sdk = stripe.WebhookSignature.verify_header(body, header, SECRET, 300)
    except stripe.SignatureVerificationError:
        sdk = False

    assert holds(at(now), body.encode(), header) is sdk is known


@given(body=st.text(max_size=300))
def test_p15_the_sdk_takes_what_we_sign(body: str) -> None:
    """
    The sandbox's deliveries verify in any client of Stripe.
    """
    header = sign(body.encode(), secret=SECRET, at=datetime.now(UTC))

    assert stripe.WebhookSignature.verify_header(body, header, SECRET, 300)
