"""Which of an issuer's published keys are for us."""

import base64
import functools
import json
import secrets
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from payments_adapters.jwt.published_keys import read_published
from payments_core.errors import InvalidValue

Jwk = dict[str, Any]
KINDS: Final = ("RS256", "ES256", "EdDSA")


@functools.cache
def pair(alg: str) -> tuple[Jwk, Jwk]:
    """Return the public and the private part of one key, without a name."""
    parts: list[Jwk]
    if alg == "RS256":
        rsa_key = rsa.generate_private_key(65537, 2048)
        both = rsa_key.public_key(), rsa_key
        parts = [RSAAlgorithm.to_jwk(it, as_dict=True) for it in both]
    elif alg == "ES256":
        ec_key = ec.generate_private_key(ec.SECP256R1())
        points = ec_key.public_key(), ec_key
        parts = [ECAlgorithm.to_jwk(it, as_dict=True) for it in points]
    else:
        okp_key = ed25519.Ed25519PrivateKey.generate()
        bytes_ = okp_key.public_key(), okp_key
        parts = [OKPAlgorithm.to_jwk(it, as_dict=True) for it in bytes_]
    for part in parts:
        for name in ("alg", "use", "key_ops"):
            part.pop(name, None)
    return parts[0], parts[1]


def public(kind: str = "ES256", kid: str = "k1", **others: object) -> Jwk:
    return {**pair(kind)[0], "kid": kid, **others}


def read(*keys: object, **others: object) -> dict[str, str]:
    """Return the algorithms of the keys that are for us."""
    found = read_published(json.dumps({"keys": keys, **others}).encode())
    return {kid: key.alg for kid, key in found.keys.keys.items()}


def is_refused(*keys: object) -> bool:
    try:
        read(*keys)
    except InvalidValue:
        return True
    return False


@pytest.mark.parametrize("alg", KINDS)
def test_a_key_that_says_no_algorithm_has_that_of_its_kind(alg: str) -> None:
    """
    RSA is RS256, P-256 is ES256, Ed25519 is EdDSA; an explicit algorithm is accepted
    too.
    """
    assert read(public(alg)) == {"k1": alg}
    assert read(public(alg, alg=alg, use="sig", key_ops=["verify"])) == {"k1": alg}


_OCT: Final = {"kty": "oct", "kid": "k1", "alg": "HS256", "use": "sig"}


def not_for_us() -> dict[str, object]:
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505  # on purpose
    weak = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    return {
        "to encrypt with": public(use="enc"),
        "to encrypt with, by its algorithm": public("RS256", alg="RSA-OAEP"),
        "of another algorithm": public("RS256", alg="RS512"),
        "of another kind's algorithm": public("ES256", alg="RS256"),
        "of another curve": {**ECAlgorithm.to_jwk(p384, as_dict=True), "kid": "k1"},
        "a symmetric one": {"kty": "oct", "kid": "k1", "k": secret},
        "a symmetric one that says so": {**_OCT, "k": secret},
        "without a name": {**public(), "kid": None},
        "whose name is no name": public(kid="a b"),
        "whose name is too long": public(kid="k" * 129),
        "to sign with": public(key_ops=["sign"]),
        "with operations that are none": public(key_ops="verify"),
        "too short": {**RSAAlgorithm.to_jwk(short, as_dict=True), "kid": "k1"},
        "weak": {**weak, "kid": "k1"},
        "damaged": {**public(), "x": "!"},
        "a list": [],
        "a text": "k1",
        "nothing": None,
        "of odd types": {"kty": ["RSA"], "crv": {}, "kid": "k1"},
    }


@pytest.mark.parametrize("what", not_for_us())
def test_what_is_not_for_us_is_passed_over(what: str) -> None:
    """
    Next to a key of ours it changes nothing; alone it is not a key set.
    """
    other = not_for_us()[what]

    assert read(other, public(kid="k2")) == {"k2": "ES256"}
    assert is_refused(other)


@pytest.mark.parametrize("alg", KINDS)
def test_a_private_key_is_refused_and_named(alg: str) -> None:
    """
    Anybody who read it can sign: neither it nor its public part verifies anything.
    """
    private = {**pair(alg)[1], "kid": "k1"}
    document = json.dumps({"keys": [public(alg), private, public(kid="k2")]})

    found = read_published(document.encode())

    assert list(found.keys.keys) == ["k2"]
    assert found.leaked == ("k1",)
    assert is_refused(private)


@pytest.mark.parametrize(
    "name", ["xq8m+/Zz=", "a.b:c~d", "2026-01", "k" * 128, "../../dev/null"]
)
def test_issuers_name_their_keys_as_they_like(name: str) -> None:
    """
    A name only selects among the keys that were read.
    """
    assert read(public(kid=name)) == {name: "ES256"}


def test_two_keys_of_one_name_are_no_set_of_keys() -> None:
    """
    Which of them verifies would be a guess; the same key twice is one.
    """
    assert is_refused(public("RS256"), public("ES256"))
    assert read(public(), public(x5c=["MIIB"])) == {"k1": "ES256"}


def test_other_members_change_nothing() -> None:
    """
    Certificates and thumbprints are not looked at.
    """
    key = public("RS256", x5c=["MIIB"], x5t="abc", ext=True)
    assert read(key, keys_of="somebody") == {"k1": "RS256"}


def test_a_document_has_a_greatest_size_and_number_of_keys() -> None:
    """
    64 KiB, and 32 keys that are for us.
    """
    x = pair("ES256")[0]
    keys = [{**x, "kid": f"k{at}"} for at in range(33)]

    assert len(read(*keys[:32])) == 32
    assert is_refused(*keys)
    document = json.dumps({"keys": keys[:1]}).encode()
    assert read_published(document.ljust(65_536)).keys.find("k0")
    with pytest.raises(InvalidValue, match="65536"):
        read_published(document.ljust(65_537))


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"null", b"[]", b'{"keys": {}}', b'{"keys": []}', b"\xff", b"[" * 9_000),
        *(b'{"keys": [], "keys": []}', b'{"keys": NaN}', b"<html>", b'{"error": "x"}'),
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """
    With a reason of our own.
    """
    with pytest.raises(InvalidValue) as refusal:
        read_published(document)
    assert refusal.value.field == "keys"


_ANY: Final = st.none() | st.booleans() | st.integers() | st.text() | st.just("sig")
_NAMES: Final = ("kty", "crv", "kid", "alg", "use", "key_ops", "x", "y", "n", "e", "d")


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(_NAMES),
            _ANY | st.lists(_ANY) | st.sampled_from(["RSA", "EC", "OKP", "P-256"]),
        )
        | _ANY
    )
)
def test_any_document_is_read_or_refused(keys: list[object]) -> None:
    """
    Any JSON document leads to keys or to a refusal.
    """
    assert is_refused(*keys)
    assert read(*keys, public(kid="ours")).get("ours") == "ES256"
