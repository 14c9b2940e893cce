import base64
import hmac
import itertools
import json
import secrets
import traceback
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_adapters.jwt import IssuersVerifier, JwtVerifier, KeySet
from payments_adapters.jwt.key_sources import HeldKeys, TooManyWait
from payments_adapters.jwt.remembered_tokens import REMEMBERED_BYTES_MAX
from payments_core.errors import InvalidToken, KeysUnavailable
from payments_core.identity import Email
from payments_core.ports import Clock

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_S: Final = int(NOW.timestamp())
ISSUER: Final = "https://users.example"
AUDIENCE: Final = "payments"
SECRET: Final = secrets.token_bytes(32)
OTHER_SECRET: Final = secrets.token_bytes(32)
ABSENT: Final = object()
HEADER: Final = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}
CLAIMS: Final = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "user_1",
    "jti": "jti_1",
    "iat": NOW_S,
    "exp": NOW_S + 300,
}


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def jwks_of(secrets_: Mapping[str, bytes]) -> str:
    oct_ = {"kty": "oct", "alg": "HS256"}
    keys = [{**oct_, "kid": kid, "k": b64(it)} for kid, it in secrets_.items()]
    return json.dumps({"keys": keys})


KEYS: Final = KeySet.from_jwks(jwks_of({"k1": SECRET}))


def a_verifier(clock: Clock = lambda: NOW, keys: KeySet = KEYS) -> JwtVerifier:
    return JwtVerifier(keys, ISSUER, AUDIENCE, clock, timedelta(minutes=15))


def signed(header: bytes, payload: bytes, secret: bytes = SECRET) -> str:
    """Sign anything: the tests need what a library would refuse to make."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    members = {**base, **changes}
    kept = {name: value for name, value in members.items() if value is not ABSENT}
    return json.dumps(kept).encode()


def a_token(*, typ: object = "at+jwt", **claims: Any) -> str:
    return signed(changed(HEADER, {"typ": typ}), changed(CLAIMS, claims))


def is_accepted(text: str, verifier: JwtVerifier | None = None) -> bool:
    # A new one each time, unless given: no result comes from memory.
    try:
        (verifier or a_verifier()).verify(text)
    except InvalidToken:
        return False
    return True


def test_a_good_token_tells_who_comes() -> None:
    """
    Everything that we rely on is in the token, in our types; other claims are ignored.
    """
    text = a_token(
        email=" Ann@Example.org", scope="a  payments:admin", nbf=NOW_S, name="Ann"
    )

    token = a_verifier().verify(text)

    assert (token.issuer, token.jti, token.user_id) == (ISSUER, "jti_1", "user_1")
    assert token.issued_at == NOW
    assert token.expires_at == NOW + timedelta(minutes=5)
    assert token.issued_at.tzinfo is token.expires_at.tzinfo is UTC
    assert token.email == Email.of("Ann@Example.org")
    assert token.scopes == {"a", "payments:admin"}


@pytest.mark.parametrize(
    "payload",
    [b"null", b"[]", b"1", b"{", b"\xff", b"[" * 6000, b'{"a":' * 1200]
    + [changed(CLAIMS, {})[:-1] + tail for tail in (b',"sub":"user_2"}', b"}}")]
    + [changed(CLAIMS, {})[:-1] + b',"x":' + x for x in (b"NaN}", b"-Infinity}")]
    + [changed(CLAIMS, {})[:-1] + b',"x":{"a":1,"a":2}}']
    + [changed(CLAIMS, {})[:-1] + b',"x":' + b"9" * 5000 + b"}"]
    + [changed(CLAIMS, {}).decode().encode("utf-16")],
)
def test_t33_claims_are_one_clear_json_object(payload: bytes) -> None:
    """
    Signed or not: a name twice, NaN, other encodings and depth are refused.
    """
    assert not is_accepted(signed(changed(HEADER, {}), payload))


@pytest.mark.parametrize(
    "exp",
    [
        *(ABSENT, None, True, str(NOW_S + 300), float(NOW_S + 300), [NOW_S + 300]),
        *(float("nan"), float("inf"), 10**11, 10**4000, -1, 4_102_444_801),
    ],
)
def test_t33_expiry_is_a_time_in_whole_seconds(exp: object) -> None:
    """
    A missing, spelled, fractional or infinite expiry is invalid.
    """
    assert not is_accepted(a_token(exp=exp))
    assert not is_accepted(a_token(iat=exp))
    assert exp is ABSENT or not is_accepted(a_token(nbf=exp))


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"exp": NOW_S - 29, "iat": NOW_S - 100}, True),
        ({"exp": NOW_S - 30, "iat": NOW_S - 100}, False),
        ({"exp": NOW_S - 31, "iat": NOW_S - 100}, False),
        ({"exp": NOW_S + 900}, True),
        ({"exp": NOW_S + 901}, False),
        ({"exp": NOW_S + 1}, True),
        ({"exp": NOW_S}, False),
        ({"exp": NOW_S - 1}, False),
    ],
)
def test_t33_a_token_lives_as_long_as_it_may(
    claims: dict[str, int], *, accepted: bool
) -> None:
    """
    Thirty seconds after its expiry is the end, and no issuer gives more than the cap.
    """
    assert is_accepted(a_token(**claims)) == accepted


def test_t33_without_a_cap_on_age_no_token_outlives_the_century() -> None:
    """
    However generous the settings, a time beyond the calendar is refused.
    """
    verifier = JwtVerifier(KEYS, ISSUER, AUDIENCE, lambda: NOW, timedelta.max)

    assert is_accepted(a_token(exp=4_102_444_800), verifier)
    assert not is_accepted(a_token(exp=4_102_444_801), verifier)
    assert not is_accepted(a_token(exp=10**13), verifier)


@pytest.mark.parametrize(
    ("ahead_s", "accepted"), [(-1, True), (29, True), (30, True), (31, False)]
)
def test_t34_t40_a_token_of_the_future_is_refused(
    ahead_s: int, *, accepted: bool
) -> None:
    """
    Half a minute of difference between two clocks is accepted, more is not.
    """
    assert is_accepted(a_token(nbf=NOW_S + ahead_s)) == accepted
    assert is_accepted(a_token(iat=NOW_S + ahead_s)) == accepted


def test_t40_f43_a_clock_set_back_refuses_tokens_already_seen() -> None:
    """
    A token that was good is refused if our clock says it was not issued yet.
    """
    times = iter([NOW, NOW - timedelta(hours=2), NOW])
    verifier = a_verifier(lambda: next(times))

    assert is_accepted(a_token(), verifier)
    assert not is_accepted(a_token(), verifier)
    assert is_accepted(a_token(), verifier)


@pytest.mark.parametrize(
    "claims",
    [{"iss": value} for value in (ABSENT, None, "", f"{ISSUER}/", ISSUER[:-1])]
    + [{"iss": value} for value in (ISSUER.upper(), [ISSUER], {ISSUER: 1}, 1)]
    + [{"aud": value} for value in (ABSENT, None, "", "payment", "payments2")]
    + [{"aud": value} for value in ([], ["x"], [AUDIENCE, 1], [[AUDIENCE]])]
    + [{"aud": value} for value in ({AUDIENCE: 1}, "Payments", 1, [None, AUDIENCE])],
)
def test_t35_issuer_and_audience_are_exact(claims: dict[str, object]) -> None:
    """
    A prefix, another case, another type or none at all is another party.
    """
    assert not is_accepted(a_token(**claims))


@pytest.mark.parametrize("aud", [[AUDIENCE], ["x", AUDIENCE], [AUDIENCE, AUDIENCE]])
def test_t35_we_may_be_one_audience_of_several(aud: list[str]) -> None:
    """
    A list of strings with our name in it is for us too (RFC 7519, 4.1.3).
    """
    assert is_accepted(a_token(aud=aud))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "JWT", "jwt", ABSENT])
def test_t36_an_access_token_says_so_or_nothing(typ: object) -> None:
    """
    "JWT" and a missing type are accepted: not every issuer follows RFC 9068.
    """
    assert is_accepted(a_token(typ=typ))


@pytest.mark.parametrize(
    "typ",
    [
        *("logout+jwt", "id_token", "application/at+jwt", "JWT ", ""),
        *(None, 1, True, ["JWT"], {"JWT": 1}),
    ],
)
def test_t36_a_token_of_another_type_is_refused(typ: object) -> None:
    """
    A logout token is signed with the same key and is no access token.
    """
    assert not is_accepted(a_token(typ=typ))


@pytest.mark.parametrize(
    ("verified", "email"),
    [
        (ABSENT, "ann@a.example"),
        (True, "ann@a.example"),
        (False, None),
        (None, None),
        ("true", None),
        (1, None),
        ([True], None),
        ({}, None),
    ],
)
def test_t69_an_email_that_is_not_verified_says_nothing(
    verified: object, email: str | None
) -> None:
    """
    Only true, or no such claim from our own issuer, makes an e-mail the user's.
    """
    token = a_verifier().verify(a_token(email="ann@a.example", email_verified=verified))
    assert (token.email and token.email.key) == email


_NO_IDS: Final = [ABSENT, None, "", 1, True, ["a"], "a b", "a\n", "é", "\ud800", "a\0"]


@pytest.mark.parametrize(
    "claims",
    [{"jti": value} for value in (*_NO_IDS, "a" * 129, "a" * 5000, "a/b")]
    + [{"sub": value} for value in (*_NO_IDS, "a" * 129, "a@b", "a/b", ".", "..")]
    + [{"email": value} for value in ("", "ann", 1, True, ["a@b"], "a@b\0", "\ud800@b")]
    + [{"scope": value} for value in (None, 1, ["payments:admin"], {"a": 1}, True)],
)
def test_t37_ids_and_scopes_are_strictly_typed(claims: dict[str, object]) -> None:
    """
    An empty, long or odd id is invalid; it could not be revoked or found again.
    """
    assert not is_accepted(a_token(**claims))


def test_t37_only_a_space_separates_scopes() -> None:
    """
    Another kind of white space does not make a second scope.
    """
    token = a_verifier().verify(a_token(scope="a\u00a0payments:admin\tb"))

    assert token.scopes == {"a\u00a0payments:admin\tb"}


@pytest.mark.parametrize("before", ["", " ", "\t", "Bearer ", "\ufeff", "="])
@pytest.mark.parametrize("after", ["", " ", "\n", "\r\n", "=", "==", "\0", "."])
def test_t39_a_token_has_one_spelling(before: str, after: str) -> None:
    """
    Padding and white space around a good token make it invalid.
    """
    assert is_accepted(before + a_token() + after) == (not before and not after)


def test_t39_unused_bits_and_padding_inside_make_no_second_spelling() -> None:
    """
    The last letter of a part has spare bits: only zeros are accepted there.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = a_token()
    spellings = [good[:-1] + letter for letter in letters]

    assert [text for text in spellings if is_accepted(text)] == [good]
    assert not is_accepted(good.replace(".", "=.", 1))
    assert not is_accepted(good.replace(".", "==.", 1))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "A.A.A", "YQ.YQ.YQ"),
        *("\ud800", "\ud800.a.b", "\0", "é.é.é", "٣.٣.٣", "a\x7f.b.c", "a.b.c\n"),
        *("a" * 100_000, "a." * 50_000, "." * 100_000, "null", "{}", "%61.b.c"),
        *("Bearer", "Basic dTpw"),
    ],
)
def test_t49_what_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    """
    Nonsense of any length and alphabet is one error, with a reason of our own.
    """
    with pytest.raises(InvalidToken) as refusal:
        a_verifier().verify(text)

    assert refusal.value.reason.isascii()
    assert len(refusal.value.reason) < 80


def test_t49_a_token_has_a_greatest_length() -> None:
    """
    A signed token of 8 KiB is read, and not one letter more.
    """
    padded = itertools.product(range(5700, 6000), ("JWT", ABSENT))
    texts = [a_token(x="x" * length, typ=typ) for length, typ in padded]
    verdicts = {len(text): is_accepted(text) for text in texts}

    assert max(length for length, accepted in verdicts.items() if accepted) == 8192
    assert min(length for length, accepted in verdicts.items() if not accepted) > 8192


def test_a_refusal_repeats_nothing_of_the_token() -> None:
    """
    A log of refusals has no e-mail, id or token.
    """
    odd = ({"sub": "canary a"}, {"email": "canary"}, {"jti": "canary/"})
    texts = [a_token(**claims) for claims in odd]
    texts.append(signed(changed(HEADER, {}), b'{"sub": "canary", "sub": "canary"}'))
    for text in texts:
        with pytest.raises(InvalidToken) as refusal:
            a_verifier().verify(text)

        assert "canary" not in "".join(traceback.format_exception(refusal.value))


def test_a_remembered_token_still_expires() -> None:
    """
    Memory saves the cost of the signature; the clock is always checked.
    """
    times = iter([NOW, NOW + timedelta(seconds=39), NOW + timedelta(seconds=40)])
    verifier = a_verifier(lambda: next(times))
    text = a_token(exp=NOW_S + 10)

    assert is_accepted(text, verifier)
    assert is_accepted(text, verifier)
    assert not is_accepted(text, verifier)


def test_a_token_is_remembered_for_a_minute() -> None:
    """
    After sixty seconds the signature is checked again, with the keys of that time.
    """
    times = iter(NOW + timedelta(seconds=after_s) for after_s in (0, 59, 60))
    keys = dict(KEYS.keys)
    verifier = a_verifier(lambda: next(times), KeySet(keys))

    assert is_accepted(a_token(), verifier)
    keys.clear()
    assert is_accepted(a_token(), verifier)
    assert not is_accepted(a_token(), verifier)


def test_memory_has_a_limit_and_keeps_no_refusals() -> None:
    """
    Neither many tokens nor many forgeries make the verifier grow; the oldest goes.
    """
    verifier = a_verifier()
    token = verifier.verify(a_token())
    for _ in range(10):
        assert not is_accepted(f"{a_token(x=secrets.token_hex())}A", verifier)
    kept = verifier._remembered
    assert len(kept) == 1

    texts = [f"{number:0>8192}" for number in range(1_000)]
    for text in texts:
        kept.keep(text, token, KEYS, NOW, NOW + timedelta(minutes=1))
        assert kept.size <= REMEMBERED_BYTES_MAX

    assert 800 < len(kept) < 900
    assert kept.size + 10_000 > REMEMBERED_BYTES_MAX
    assert [kept.find(text, NOW, KEYS) is not None for text in texts] == [
        at >= 1_000 - len(kept) for at in range(1_000)
    ]


def test_memory_is_counted_as_it_is() -> None:
    """
    What a token costs apart from its text is not more than what is counted for it.
    """
    many = " ".join(f"s{number:03}" for number in range(400))
    for scope in ("a", many):
        verifier = a_verifier()
        texts = [
            a_token(jti=f"jti_{number:0>120}", scope=scope) for number in range(200)
        ]
        verifier.verify(a_token(scope=scope))
        before = verifier._remembered.size
        tracemalloc.start()
        try:
            for text in texts:
                # As HTTP does: each time another string.
                verifier.verify(text.encode().decode())
            took, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert took <= verifier._remembered.size - before


def test_what_was_verified_twice_is_kept_once() -> None:
    """
    A token that comes again after its minute replaces itself.
    """
    times = (NOW + timedelta(seconds=61 * turn) for turn in itertools.count())
    verifier = a_verifier(lambda: next(times))
    text = a_token(exp=NOW_S + 900)
    verifier.verify(text)
    size = verifier._remembered.size
    verifier.verify(text)

    assert (len(verifier._remembered), verifier._remembered.size) == (1, size)


@pytest.mark.parametrize("kid", ["k1", "k2"])
def test_t48_a_key_that_is_retired_opens_nothing_from_then_on(kid: str) -> None:
    """
    Also no token that was verified with it a moment before; a token of a key that stays
    is verified again, and accepted.
    """
    both = jwks_of({"k1": SECRET, "k2": OTHER_SECRET})
    held = HeldKeys(KeySet.from_jwks(both))
    verifier = JwtVerifier(held, ISSUER, AUDIENCE, lambda: NOW, timedelta(minutes=15))
    texts = {
        "k1": a_token(),
        "k2": signed(changed(HEADER, {"kid": "k2"}), changed(CLAIMS, {}), OTHER_SECRET),
    }
    assert all(is_accepted(text, verifier) for text in texts.values())

    left = {"k1": SECRET} if kid == "k2" else {"k2": OTHER_SECRET}
    held.current = KeySet.from_jwks(jwks_of(left))

    assert {it: is_accepted(text, verifier) for it, text in texts.items()} == {
        it: it != kid for it in texts
    }
    assert verifier.recall(texts[kid]) is None


def test_without_keys_nothing_is_known_of_a_token() -> None:
    """
    It is neither accepted nor refused, unless it is not a token; also if it was
    accepted before.
    """
    held = HeldKeys(KEYS)
    verifier = JwtVerifier(held, ISSUER, AUDIENCE, lambda: NOW, timedelta(minutes=15))
    verifier.verify(a_token())
    held.current = None

    for text in (
        a_token(),
        a_token(exp=0),
        signed(changed(HEADER, {"kid": "x"}), b"{}"),
    ):
        with pytest.raises(KeysUnavailable) as refusal:
            verifier.verify(text)
        assert refusal.value.issuer == ISSUER
    assert not is_accepted("a.b.c", verifier)
    assert not is_accepted(a_token(typ="logout+jwt"), verifier)


@attrs.frozen
class Besieged:
    """Keys for which too many requests wait already."""

    current: KeySet | None = KEYS

    async def refresh(self) -> bool:
        raise TooManyWait


@pytest.mark.anyio
async def test_t30_while_too_many_wait_for_keys_it_is_not_said_that_there_is_none() -> (
    None
):
    """
    A key may have been published: the caller must retry, and is not called unknown.
    """
    verifier = JwtVerifier(
        Besieged(), ISSUER, AUDIENCE, lambda: NOW, timedelta(minutes=15)
    )
    with pytest.raises(KeysUnavailable) as refusal:
        await IssuersVerifier([verifier]).refresh_keys(ISSUER)
    assert refusal.value.issuer == ISSUER
    assert not await verifier.refresh_keys("another")


@pytest.mark.parametrize(
    ("header", "asks"),
    [
        ({"kid": "k9"}, True),
        ({"kid": "k9", "alg": "none"}, True),
        ({"kid": 9}, False),
        ({"kid": ABSENT}, False),
        ({"kid": "k9", "jku": "https://evil.example/keys"}, False),
        ({"kid": "k1", "alg": "RS256"}, False),
    ],
)
def test_t30_t31_only_an_unknown_key_may_have_keys_read(
    header: dict[str, object], *, asks: bool
) -> None:
    """
    The refusal names the issuer from the settings, and nothing from the token.
    """
    with pytest.raises(InvalidToken) as refusal:
        a_verifier().verify(signed(changed(HEADER, header), changed(CLAIMS, {})))

    assert refusal.value.unknown_key_of == (ISSUER if asks else None)


# P16: valid and invalid values of each member. The reference model is this table and
# the four lines of `is_sound`.
_Values = tuple[object, ...]
_EVER: Final[_Values] = (None, True, 1.5, float("nan"), 10**400, [], {}, ["a"], {"": 1})
_FINE: Final[Mapping[str, _Values]] = {
    "alg": ("HS256",),
    "kid": ("k1",),
    "typ": ("at+jwt", "JWT", "At+Jwt", ABSENT),
    "crit": (ABSENT,),
    "iss": (ISSUER,),
    "aud": (AUDIENCE, [AUDIENCE], ["x", AUDIENCE]),
    "sub": ("user_1", "a" * 128, "a:b|c~d+e=f-g.h"),
    "jti": ("jti_1", "a" * 128, "a.b_c:d~e-f"),
    "iat": (NOW_S, NOW_S - 1000, NOW_S + 30, NOW_S + 31, 0),
    "exp": (NOW_S + 300, NOW_S - 29, NOW_S - 30, NOW_S + 900, 4_102_444_800),
    "nbf": (ABSENT, 0, NOW_S - 1, NOW_S + 30, NOW_S + 31, 4_102_444_800),
    "email": (ABSENT, None, "a@b", " Ann@Example.org "),
    "scope": (ABSENT, "", "a b", "payments:admin"),
}
_FOUL: Final[Mapping[str, _Values]] = {
    "alg": (*_EVER, ABSENT, "none", "RS256", "hs256", 1),
    "kid": (*_EVER, ABSENT, "k2", "", "../k1", 1),
    "typ": (*_EVER, "logout+jwt", "", "at+jwt ", 1),
    "crit": (*_EVER, ["exp"], "x", 1),
    "iss": (*_EVER, ABSENT, "", ISSUER + "/", [ISSUER], 1),
    "aud": (*_EVER, ABSENT, "", AUDIENCE + "2", [AUDIENCE, 1], {AUDIENCE: 1}, 1),
    "sub": (*_EVER, ABSENT, "", "a" * 129, "a@b", "a b", "\ud800", 1),
    "jti": (*_EVER, ABSENT, "", "a" * 129, "a/b", "a\n", 1),
    "iat": (*_EVER, ABSENT, str(NOW_S), float(NOW_S), -1, 4_102_444_801),
    "exp": (*_EVER, ABSENT, str(NOW_S + 300), float(NOW_S + 300), 4_102_444_801),
    "nbf": (*_EVER, str(NOW_S), float(NOW_S), -1, 4_102_444_801),
    "email": (*_EVER[1:], "", "ann", "a@b@c", "\ud800@b", 1),
    "scope": (*_EVER, 1),
}
_Chosen = dict[str, tuple[object, bool]]


def choices(name: str) -> list[tuple[object, bool]]:
    return [(v, True) for v in _FINE[name]] + [(v, False) for v in _FOUL[name]]


def is_sound(chosen: _Chosen) -> bool:
    if not all(fine for _, fine in chosen.values()):
        return False
    iat, exp, nbf = (chosen[name][0] for name in ("iat", "exp", "nbf"))
    assert isinstance(iat, int)
    assert isinstance(exp, int)
    latest_start = max(iat, nbf) if isinstance(nbf, int) else iat
    return 0 < exp - iat <= 900 and latest_start - 30 <= NOW_S < exp + 30


def agree(changes: _Chosen) -> bool:
    chosen = {name: choices(name)[0] for name in _FINE} | changes
    members = {name: value for name, (value, _) in chosen.items()}
    header = {name: members.pop(name) for name in ("alg", "kid", "typ", "crit")}
    text = signed(changed(header, {}), changed(members, {}))
    return is_accepted(text) == is_sound(chosen)


def test_p16_any_two_mutations_are_judged_as_the_model_does() -> None:
    """
    Every value of every member, with every value of every other.
    """
    for one, other in itertools.combinations(_FINE, 2):
        for pair in itertools.product(choices(one), choices(other)):
            assert agree(dict(zip((one, other), pair, strict=True))), (one, other, pair)


@given(
    st.fixed_dictionaries({}, optional={n: st.sampled_from(choices(n)) for n in _FINE})
)
def test_p16_a_token_is_accepted_exactly_when_the_model_says_so(
    changes: _Chosen,
) -> None:
    """
    Over all products of mutations, verifier and reference model agree.
    """
    assert agree(changes)


@given(st.fixed_dictionaries({n: st.sampled_from(_FINE[n]) for n in _FINE}))
def test_p16_time_rules_hold_among_well_typed_tokens(
    members: dict[str, object],
) -> None:
    """
    With each member valid alone, only the times decide.
    """
    assert agree({name: (value, True) for name, value in members.items()})


_ANY_TEXT: Final = st.text(st.characters(exclude_categories=()))
_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_ANY_TEXT, inner),
    max_leaves=4,
)
_PARTS: Final = st.lists(st.binary().map(b64) | _ANY_TEXT, max_size=6).map(".".join)


@given(_ANY_TEXT | _PARTS)
@example("\ud800")
def test_p16_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    """
    No text makes the verifier fail in another way.
    """
    assert not is_accepted(text)


_OCTETS: Final = st.binary() | _JSON.map(lambda value: json.dumps(value).encode())


@given(octets=_OCTETS, as_header=st.booleans())
def test_p16_nothing_but_a_refusal_comes_of_any_signed_bytes(
    octets: bytes, *, as_header: bool
) -> None:
    """
    Even the holder of the key cannot make the verifier fail in another way.
    """
    header = octets if as_header else changed(HEADER, {})

    assert not is_accepted(signed(header, changed(CLAIMS, {}) if as_header else octets))


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "email", "scope"]), _JSON))
def test_p16_nothing_but_a_refusal_comes_of_odd_claims(claims: dict[str, Any]) -> None:
    """
    Any JSON in place of any claim is a token or a refusal.
    """
    try:
        token = a_verifier().verify(a_token(**claims))
    except InvalidToken:
        return
    told = {**CLAIMS, **claims}
    assert (token.user_id, token.jti) == (told["sub"], told["jti"])
    assert token.issuer == told["iss"] == ISSUER
