import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
import pytest

from payments_adapters.jwt import (
    JwtVerifier,
    KeySet,
    PassKeys,
    PassSigning,
    add_pass_key,
    generate_jwks,
)
from payments_adapters.jwt.access_pass import AUDIENCE, TYPE
from payments_core.access_pass import AccessPass
from payments_core.errors import InvalidToken, InvalidValue, PassesNotOffered
from payments_core.identity import user_id

FIELDS: Final = ("kty", "crv", "alg", "use", "kid", "x")
NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
PASS: Final = AccessPass(
    user_id=user_id("u1"),
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=5),
    entitled_until=NOW + timedelta(days=3),
    features={"reports": NOW + timedelta(days=3), "api": NOW + timedelta(seconds=9)},
)


def signing(keys: str) -> PassSigning:
    return PassSigning(PassKeys.from_jwks(keys), "payments")


def read(token: str, *keys: object) -> dict[str, Any]:
    """Verify a pass as another organisation's program would: by its key's id."""
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = [it for it in keys if getattr(it, "kid", None) == kid]
    public = jwt.PyJWK.from_dict({n: getattr(key, n) for n in FIELDS})
    claims: dict[str, Any] = jwt.decode(
        token,
        public.key,
        algorithms=["EdDSA"],
        audience=AUDIENCE,
        issuer="payments",
        options={"verify_exp": False, "verify_iat": False},
    )
    return claims


def test_a_pass_says_what_a_user_may_use_and_until_when() -> None:
    signer = signing(add_pass_key("k1"))
    token = signer.sign(PASS)
    now_s = int(NOW.timestamp())
    assert read(token, *signer.published) == {
        "iss": "payments",
        "aud": AUDIENCE,
        "sub": "u1",
        "iat": now_s,
        "exp": now_s + 300,
        "entitled_until": now_s + 3 * 86_400,
        "features": {"reports": now_s + 3 * 86_400, "api": now_s + 9},
    }
    assert jwt.get_unverified_header(token) == {
        "alg": "EdDSA",
        "typ": TYPE,
        "kid": "k1",
    }


def test_a_pass_of_a_user_without_access_says_so() -> None:
    signer = signing(add_pass_key("k1"))
    nothing = AccessPass(
        user_id=user_id("u1"),
        issued_at=NOW,
        expires_at=NOW,
        entitled_until=None,
        features={},
    )
    claims = read(signer.sign(nothing), *signer.published)
    assert claims["entitled_until"] is None
    assert claims["features"] == {}


def test_keys_rotate_without_a_pass_that_cannot_be_verified() -> None:
    old = add_pass_key("old")
    both = add_pass_key("new", old)
    first, second = json.loads(both)["keys"]
    swapped = json.dumps({"keys": [second, first]})
    alone = json.dumps({"keys": [second]})
    # What verifiers know at each step, and what is signed before and after it.
    for known, signers in ((both, (old, both, swapped)), (swapped, (swapped, alone))):
        published = signing(known).published
        for keys in signers:
            assert read(signing(keys).sign(PASS), *published)["sub"] == "u1"
    assert jwt.get_unverified_header(signing(both).sign(PASS))["kid"] == "old"
    assert jwt.get_unverified_header(signing(swapped).sign(PASS))["kid"] == "new"


def test_only_public_parts_are_published() -> None:
    keys = add_pass_key("k1")
    private = json.loads(keys)["keys"][0]["d"]
    assert private not in repr(signing(keys).published)
    assert private not in repr(PassKeys.from_jwks(keys))


def test_a_pass_is_no_bearer_token() -> None:
    """Not even if its key and its claims are those of a bearer token."""
    keys = add_pass_key("k1")
    verifier = JwtVerifier(
        KeySet.from_jwks(keys),
        issuer="payments",
        audience=AUDIENCE,
        clock=lambda: NOW,
        max_age=timedelta(days=1),
    )
    with pytest.raises(InvalidToken):
        verifier.verify(signing(keys).sign(PASS))


def test_without_keys_nothing_is_published_or_signed() -> None:
    signer = PassSigning(None, "payments")
    assert signer.published == ()
    with pytest.raises(PassesNotOffered):
        signer.sign(PASS)


def public_only(keys: str) -> str:
    listed = json.loads(keys)["keys"]
    return json.dumps(
        {"keys": [{k: v for k, v in it.items() if k != "d"} for it in listed]}
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (generate_jwks("k1"), "key k1 is not for EdDSA"),
        (public_only(add_pass_key("k1")), "key k1 is first, and is public"),
        ("{}", "not a JWK Set"),
        ("", "not a JWK Set"),
    ],
)
def test_keys_that_sign_no_pass_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=f"keys: {reason}"):
        PassKeys.from_jwks(text)


def test_a_public_key_may_stay_after_the_one_that_signs() -> None:
    """A verifier knows the key while passes signed with it have not expired."""
    old, new = add_pass_key("old"), add_pass_key("new")
    (kept,) = json.loads(public_only(old))["keys"]
    (signs,) = json.loads(new)["keys"]
    signer = signing(json.dumps({"keys": [signs, kept]}))
    assert [it.kid for it in signer.published] == ["new", "old"]
    assert read(signing(old).sign(PASS), *signer.published)["sub"] == "u1"


@pytest.mark.parametrize("kid", ["", "a b", "ä", "k" * 65])
def test_a_key_needs_a_readable_id(kid: str) -> None:
    with pytest.raises(InvalidValue, match="kid"):
        add_pass_key(kid)


def test_a_key_needs_an_id_of_its_own() -> None:
    with pytest.raises(InvalidValue, match="appears more than once"):
        add_pass_key("k1", add_pass_key("k1"))
