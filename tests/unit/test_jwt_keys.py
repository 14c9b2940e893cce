import base64
import contextlib
import hmac
import json
import secrets
import socket
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from payments_adapters.jwt import JwtVerifier, KeySet, generate_jwks, issue
from payments_core.errors import InvalidToken, InvalidValue
from payments_core.identity import Email, user_id

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD_HEADER: Final = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}
SECRET: Final = secrets.token_bytes(32)
ABSENT: Final = object()
Jwk = dict[str, Any]


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def jwks(*keys: object) -> str:
    return json.dumps({"keys": keys})


def changed(members: Jwk, **changes: object) -> Jwk:
    kept = {**members, **changes}
    return {name: value for name, value in kept.items() if value is not ABSENT}


def an_oct(kid: str = "k1", secret: bytes = SECRET) -> Jwk:
    return {"kty": "oct", "alg": "HS256", "kid": kid, "k": b64(secret)}


def signed(header: bytes, payload: bytes, secret: bytes = SECRET) -> str:
    """Sign anything: the tests need what a library would refuse to make."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def payload() -> bytes:
    now_s = int(NOW.timestamp())
    claims = {"iss": "users", "aud": "payments", "sub": "user_1", "jti": "jti_1"}
    return json.dumps({**claims, "iat": now_s, "exp": now_s + 300}).encode()


def with_header(**changes: object) -> str:
    return signed(json.dumps(changed(GOOD_HEADER, **changes)).encode(), payload())


def a_verifier(*keys: Jwk) -> JwtVerifier:
    key_set = KeySet.from_jwks(jwks(*(keys or [an_oct()])))
    return JwtVerifier(key_set, "users", "payments", lambda: NOW, timedelta(minutes=15))


def is_accepted(text: str, *keys: Jwk) -> bool:
    try:
        a_verifier(*keys).verify(text)
    except InvalidToken:
        return False
    return True


def an_issued(*keys: Jwk, **changes: Any) -> str:
    claims: dict[str, Any] = {
        "issuer": "users",
        "audience": "payments",
        "user_id": user_id("user_1"),
        "email": None,
        "scopes": (),
        "at": NOW,
        "lifetime": timedelta(minutes=5),
        "jti": "jti_1",
    }
    return issue(KeySet.from_jwks(jwks(*keys)), **claims | changes)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def private(rsa_key: rsa.RSAPrivateKey) -> dict[str, Jwk]:
    """Return a private key of each kind, by its algorithm, which is also its kid."""
    p256 = ec.generate_private_key(ec.SECP256R1())
    ed = ed25519.Ed25519PrivateKey.generate()
    keys = {
        "HS256": an_oct(),
        "RS256": RSAAlgorithm.to_jwk(rsa_key, as_dict=True),
        "ES256": ECAlgorithm.to_jwk(p256, as_dict=True),
        "EdDSA": OKPAlgorithm.to_jwk(ed, as_dict=True),
    }
    return {alg: {**jwk, "alg": alg, "kid": alg} for alg, jwk in keys.items()}


def public(jwk: Jwk) -> Jwk:
    secret = ("d", "p", "q", "dp", "dq", "qi", "key_ops")
    return {name: value for name, value in jwk.items() if name not in secret}


ALGORITHMS: Final = ["HS256", "RS256", "ES256", "EdDSA"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_a_private_key_signs_its_public_part_verifies(
    private: dict[str, Jwk], alg: str
) -> None:
    """
    The same claims are returned, from a private and from a public key set.
    """
    email = Email.of("Ann@example.org")
    text = an_issued(private[alg], email=email, scopes=["b", "a", "b"])

    token = a_verifier(public(private[alg])).verify(text)

    assert token == a_verifier(private[alg]).verify(text)
    assert (token.issuer, token.jti, token.user_id) == ("users", "jti_1", "user_1")
    assert (token.issued_at, token.expires_at) == (NOW, NOW + timedelta(minutes=5))
    assert (token.email, token.scopes) == (email, frozenset({"a", "b"}))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_any_other_signature_is_refused(private: dict[str, Jwk], alg: str) -> None:
    """
    One bit less, an odd length, another token's or another key's: all are refused.
    """
    text = an_issued(private[alg])
    claims, _, signature = text.rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    odd = [bytes([octets[0] ^ 1]) + octets[1:], octets[:-1], octets + b"\0", b"\0"]
    odd += [bytes(len(octets)), b"\xff" * len(octets), b"\0" * 3000]

    assert is_accepted(text, private[alg])
    for other in (*map(b64, odd), an_issued(private[alg], jti="x").rpartition(".")[2]):
        assert not is_accepted(f"{claims}.{other}", private[alg])


@pytest.mark.parametrize("named", ALGORITHMS)
@pytest.mark.parametrize("signs", ALGORITHMS)
def test_t29_a_key_verifies_its_own_tokens_only(
    private: dict[str, Jwk], signs: str, named: str
) -> None:
    """
    With all four kinds in one set, a token of one under another's name is refused.
    """
    text = an_issued({**private[signs], "kid": named})

    assert is_accepted(text, *private.values()) == (signs == named)


@pytest.mark.parametrize("typ", ["JWT", "at+jwt"])
@pytest.mark.parametrize("alg", ["HS256", "RS256", "hs256", "none"])
def test_t29_a_public_key_is_no_secret(
    private: dict[str, Jwk], rsa_key: rsa.RSAPrivateKey, alg: str, typ: str
) -> None:
    """
    HMAC with any spelling of the public RSA key, which is known to everybody, is
    refused.
    """
    key, jwk = rsa_key.public_key(), public(private["RS256"])
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    spellings = [pem, pem.strip(), b"".join(pem.splitlines()[1:-1]), der, pkcs1]
    spellings += [json.dumps(jwk).encode(), jwk["n"].encode(), base64.b64encode(der)]
    spellings += [base64.urlsafe_b64decode(jwk["n"] + "=="), b"", b"RS256"]

    header = json.dumps({"alg": alg, "kid": "RS256", "typ": typ}).encode()
    alone, beside = a_verifier(jwk), a_verifier(jwk, an_oct())
    for secret in spellings:
        text = signed(header, payload(), secret)
        for verifier in (alone, beside):
            with pytest.raises(InvalidToken):
                verifier.verify(text)


@pytest.mark.parametrize(
    "alg",
    [
        *("none", "None", "NONE", "nOnE", "hs256", "HS384", "RS256", "", ABSENT, None),
        *(["HS256"], {"HS256": 1}, 1, True),
    ],
)
def test_t28_only_the_algorithm_of_the_key_is_accepted(alg: object) -> None:
    """
    A token does not choose how it is checked; "none" is not accepted either.
    """
    text = with_header(alg=alg)
    unsigned, _, _ = text.rpartition(".")

    assert not is_accepted(text)
    assert not is_accepted(f"{unsigned}.")
    assert not is_accepted(f"{unsigned}.AA")


@pytest.fixture
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("a token made us look outside")

    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr(socket, "socket", forbidden)


@pytest.mark.usefixtures("_no_way_out")
@pytest.mark.parametrize(
    "kid",
    [
        *("../../dev/null", "/dev/null", "' or 1=1 --", "http://evil.example/"),
        *("K1", "k1 ", "k1\n", "", "k" * 5000, "\ud800"),
        *(None, ABSENT, 1, True, ["k1"], {"k1": 1}),
    ],
)
def test_t30_a_kid_only_picks_one_of_our_keys(kid: object) -> None:
    """
    A `kid` is looked up among our keys and nowhere else; it is not optional.
    """
    assert not is_accepted(with_header(kid=kid))


@pytest.mark.usefixtures("_no_way_out")
@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256"])
def test_t31_a_token_does_not_bring_its_own_key(name: str) -> None:
    """
    A header that points to a key, or carries one, is refused unread.
    """
    for value in ("https://evil.example/keys", an_oct(), [b64(SECRET)], None):
        assert not is_accepted(with_header(**{name: value}))


@pytest.mark.parametrize(
    "extra",
    [
        *({"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}),
        *({"b64": True}, {"zip": "DEF"}, {"cty": "JWT"}, {"enc": "A256GCM"}, {"": 1}),
    ],
)
def test_t32_a_header_has_three_members_at_most(extra: dict[str, object]) -> None:
    """
    Extensions, critical or not, are refused, whatever the signature says.
    """
    assert not is_accepted(with_header(**extra))


def test_t32_neither_encrypted_nor_nested_nor_detached_tokens_are_read() -> None:
    """
    Five parts, four parts, a token in a token, and an empty payload are refused.
    """
    good = with_header()
    header, _, signature = good.split(".")

    assert not is_accepted(f"{good}.AA.AA")
    assert not is_accepted(f"{good}.AA")
    assert not is_accepted(signed(json.dumps(GOOD_HEADER).encode(), good.encode()))
    assert not is_accepted(f"{header}..{signature}")


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"{", b"null", b"[]", b'"x"', b"[" * 3000, b"\xff\xfe"),
        *(b'{"alg":"none","alg":"HS256","kid":"k1"}', b'{"alg":"HS256","kid":"k1"} x'),
        '{"alg":"HS256","kid":"k1"}'.encode("utf-16"),
        '{"alg":"HS256","kid":"k1"}'.encode("utf-8-sig"),
    ],
)
def test_t32_a_header_is_one_clear_json_object(header: bytes) -> None:
    """
    No duplicate name, no other value, no other encoding, no deep nesting.
    """
    assert not is_accepted(signed(header, payload()))


def test_t48_a_retired_key_opens_nothing() -> None:
    """
    Two keys overlap while one replaces the other; then the old one is refused.
    """
    old, new = an_oct("old"), an_oct("new", secrets.token_bytes(32))
    by_old, by_new = an_issued(old), an_issued(new)
    crossed = an_issued({**old, "kid": "new"})

    assert is_accepted(by_old, old, new)
    assert is_accepted(by_new, old, new)
    assert not is_accepted(crossed, old, new)
    assert not is_accepted(by_old, new)
    assert is_accepted(by_new, new)


def refusal_of(text: str) -> str:
    """Read a key set that must be refused; the error must not contain its secret."""
    with pytest.raises(InvalidValue) as refusal:
        KeySet.from_jwks(text)
    said = "".join(traceback.format_exception(refusal.value))
    assert b64(SECRET) not in said
    assert refusal.value.__context__ is None
    assert refusal.value.field == "jwt_keys"
    return refusal.value.reason


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", "\ud800", "[" * 5000, " " * 65_537),
        *('{"keys": null}', '{"keys": {}}', '{"keys": []}', '{"keys": [NaN]}'),
        '{"keys": [], "keys": [1]}',
    ],
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    """
    An invalid document stops the start.
    """
    refusal_of(text)


def test_a_key_set_is_one_object_of_at_most_32_keys_in_64_kib() -> None:
    """
    Anything else stops the start, without the document in the error.
    """
    good, many = jwks(an_oct()), jwks(*(an_oct(f"k{at}") for at in range(33)))

    refusal_of(many)
    refusal_of(good.ljust(65_537))
    refusal_of(good[:-1])
    refusal_of(good[:-1] + ', "keys": []}')
    refusal_of(json.dumps([an_oct()]))
    for item in ([an_oct()], b64(SECRET), None):
        refusal_of(jwks(an_oct(), item))


def test_a_key_set_of_the_greatest_size_is_read() -> None:
    """
    Thirty-two keys, and not a byte too many, are accepted; other members do not matter.
    """
    keys = [an_oct(f"k{at}", secrets.token_bytes(32)) for at in range(32)]
    text = jwks(*({**key, "use": "sig", "x5t": "x"} for key in keys))

    assert len(KeySet.from_jwks(text.ljust(65_536)).keys) == 32


@pytest.mark.parametrize(
    "changes",
    [{"alg": alg} for alg in (ABSENT, None, "", "none", "HS512", "PS256", "RS256", [])]
    + [{"kty": kty} for kty in (ABSENT, None, "OCT", "RSA", "EC", "OKP", 1, [])]
    + [{"k": k} for k in (ABSENT, None, "", 1, [], "=" * 44, "A" * 42, "A" * 45)]
    + [{"k": b64(SECRET) + "="}, {"k": f" {b64(SECRET)}"}, {"k": b64(SECRET[:31])}]
    + [{"use": use} for use in ("enc", "", None, 1)]
    + [{"k": b64(jwks(an_oct()).encode())}, {"k": b64(b"ssh-rsa " + bytes(32))}],
)
def test_a_bad_secret_is_refused_by_its_kid(changes: dict[str, object]) -> None:
    """
    The reason says which key it is, and not its content.
    """
    reason = refusal_of(jwks(an_oct(), changed(an_oct("key-2"), **changes)))

    assert reason.startswith("key key-2 ")


@pytest.mark.parametrize(
    "kid", [ABSENT, None, "", 1, [], "k" * 65, "a b", "a.b", "k\n", "é", "\ud800"]
)
def test_a_bad_kid_is_refused_by_its_place(kid: object) -> None:
    """
    The value in place of a kid could be anything, so it is not repeated.
    """
    reason = refusal_of(jwks(an_oct(), changed(an_oct(), kid=kid)))

    assert reason.startswith("key number 2 ")


def test_a_kid_names_one_key() -> None:
    """
    With two keys of one name it would be chance which one counts.
    """
    assert refusal_of(jwks(an_oct("a"), an_oct("b"), an_oct("a"))).startswith("key a ")


@pytest.mark.parametrize(
    ("alg", "changes"),
    [("RS256", {name: value}) for name in "nep" for value in ("AA", "", 1, "AQAB=")]
    + [("RS256", {name: ABSENT}) for name in "nep"]
    + [("RS256", {"d": None}), ("RS256", {"kty": "oct"}), ("RS256", {"alg": "PS256"})]
    + [("ES256", {name: "A" * 43}) for name in "xyd"]
    + [("ES256", {name: ABSENT}) for name in ("x", "y", "crv", "kty")]
    + [("ES256", {"crv": "P-384"}), ("ES256", {"crv": "secp256k1"})]
    + [("ES256", {"alg": "EdDSA"}), ("ES256", {"x": "A" * 40}), ("ES256", {"d": None})]
    + [("EdDSA", {name: "A" * 43}) for name in "xd"]
    + [("EdDSA", {"crv": crv}) for crv in ("Ed448", "X25519", ABSENT)]
    + [("EdDSA", {"x": x}) for x in ("AA", ABSENT, None)]
    + [("EdDSA", {"alg": "ES256"}), ("EdDSA", {"d": 1})],
)
def test_a_bad_asymmetric_key_is_refused_by_its_kid(
    private: dict[str, Jwk], alg: str, changes: dict[str, object]
) -> None:
    """
    A key of another curve, off the curve, incomplete or at odds with itself.
    """
    jwk = private[alg]
    reason = refusal_of(jwks(changed(jwk, **changes)))

    assert reason.startswith(f"key {alg} ")
    assert jwk["d"] not in reason


def test_a_short_or_foreign_key_is_refused() -> None:
    """
    RSA under 2048 bits and curves that are not listed are refused.
    """
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505  # the point
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    ed = ed448.Ed448PrivateKey.generate().public_key()
    keys = {
        "RS256": RSAAlgorithm.to_jwk(short, as_dict=True),
        "ES256": ECAlgorithm.to_jwk(p384, as_dict=True),
        "EdDSA": OKPAlgorithm.to_jwk(ed, as_dict=True),
    }

    for alg, jwk in keys.items():
        refusal_of(jwks({**jwk, "alg": alg, "kid": "k1"}))


_ODD: Final = st.none() | st.integers() | st.text("AQBw_-=", max_size=50)


@given(st.sampled_from(ALGORITHMS), st.dictionaries(st.sampled_from("kdnepxyq"), _ODD))
def test_no_numbers_make_a_key_set_fail_otherwise(
    private: dict[str, Jwk], alg: str, numbers: Jwk
) -> None:
    """
    Whatever is in place of a number, the key is read or refused with our own error.
    """
    with contextlib.suppress(InvalidValue):
        KeySet.from_jwks(jwks({**private[alg], **numbers}))


def test_no_key_is_in_a_repr(private: dict[str, Jwk]) -> None:
    """
    Printing a key set or a verifier shows ids and algorithms, and no token.
    """
    verifier = a_verifier(*private.values())
    text = an_issued(private["HS256"])
    verifier.verify(text)

    for shown in (
        repr(verifier),
        repr(verifier.keys),
        str(verifier.keys.current and verifier.keys.current.find("HS256")),
    ):
        assert "HS256" in shown
        assert not [s for s in (repr(SECRET)[2:-1], text, "PrivateKey") if s in shown]


def test_a_development_key_set_is_fresh_and_signs() -> None:
    """
    Each one has its own 32 random bytes, and no other opens its tokens.
    """
    one, other = (json.loads(generate_jwks("dev"))["keys"][0] for _ in range(2))
    text = an_issued(one)

    assert one["k"] != other["k"]
    assert len(base64.urlsafe_b64decode(one["k"] + "=")) == 32
    assert is_accepted(text, one)
    assert not is_accepted(text, other)


@pytest.mark.parametrize("kid", ["", "a b", "k" * 65, "k\n", "é"])
def test_a_development_key_needs_a_good_kid(kid: str) -> None:
    """
    What `from_jwks` would refuse is not made in the first place.
    """
    with pytest.raises(InvalidValue):
        generate_jwks(kid)


def test_the_first_key_that_can_signs(private: dict[str, Jwk]) -> None:
    """
    Public keys are skipped; with nothing else there is no token.
    """
    seen_only, able = public(private["RS256"]), private["EdDSA"]
    header, _, _ = an_issued(seen_only, able, an_oct()).partition(".")

    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == "EdDSA"
    with pytest.raises(InvalidValue, match="no key can sign"):
        an_issued(seen_only)


@pytest.mark.parametrize(
    "changes",
    [{"jti": jti} for jti in ("", "a b", "a" * 129, "a\n")]
    + [{"lifetime": timedelta(seconds=s)} for s in (0, -1, 0.9)]
    + [{"scopes": scopes} for scopes in ([""], ["a b"], ["a payments:admin"])],
)
def test_what_would_be_refused_or_misread_is_not_issued(changes: Jwk) -> None:
    """
    No token is made that a verifier refuses, or in which one scope becomes two.
    """
    with pytest.raises(InvalidValue):
        an_issued(an_oct(), **changes)
