"""Tokens of a cluster's services, and of users. Each is its issuer's alone."""

import base64
import functools
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from payments_adapters.jwt import IssuersVerifier, JwtVerifier, KeySet
from payments_adapters.jwt.key_sources import HeldKeys
from payments_adapters.jwt.service_accounts import ServiceAccounts
from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE
from payments_core.errors import InvalidToken, InvalidValue, KeysUnavailable
from payments_core.tokens import Token

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_S: Final = int(NOW.timestamp())
USERS: Final = "https://users.example"
CLUSTER: Final = "https://kubernetes.default.svc.cluster.local"
SUB: Final = "system:serviceaccount:apps:shop"
ABSENT: Final = object()
# As a cluster of version 1.30 issues them.
PROJECTED: Final[Mapping[str, Any]] = {
    "aud": ["payments-gateway"],
    "exp": NOW_S + 3600,
    "iat": NOW_S,
    "iss": CLUSTER,
    "jti": "8f2d3a0e-5f0d-4a55-9c0e-7c1b2f5f9a10",
    "kubernetes.io": {
        "namespace": "apps",
        "node": {"name": "node-1", "uid": "6e9a1d6c-4b7f-4d5c-8f0e-1f2a3b4c5d6e"},
        "pod": {"name": "shop-7", "uid": "0d7a6f5e-1c2b-4a3d-9e8f-7a6b5c4d3e2f"},
        "serviceaccount": {
            "name": "shop",
            "uid": "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
        },
    },
    "nbf": NOW_S,
    "sub": SUB,
}
OF_A_USER: Final[Mapping[str, Any]] = {
    "iss": USERS,
    "aud": "payments-gateway",
    "sub": SUB,
    "jti": "jti-1",
    "iat": NOW_S,
    "exp": NOW_S + 300,
    "email": "ann@a.example",
    "scope": "own",
}
MAP: Final = ServiceAccounts.from_text("apps/shop=payments:feed payments:read")


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


@functools.cache
def private(issuer: str) -> rsa.RSAPrivateKey:  # noqa: ARG001  # one for each
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def keys_of(issuer: str) -> KeySet:
    public = RSAAlgorithm.to_jwk(private(issuer).public_key(), as_dict=True)
    public |= {"kid": "k1", "alg": "RS256", "use": "sig"}
    public.pop("key_ops", None)
    return KeySet.from_jwks(json.dumps({"keys": [public]}))


def a_text(
    claims: Mapping[str, Any] = PROJECTED, signer: str = CLUSTER, **changes: Any
) -> str:
    """Sign claims as a cluster does: without a `typ`."""
    members = {**claims, **changes}
    members = {name: it for name, it in members.items() if it is not ABSENT}
    headers = {"kid": "k1", "typ": None}
    return jwt.encode(members, private(signer), algorithm="RS256", headers=headers)


def a_verifier(clusters: KeySet | None = None) -> IssuersVerifier:
    def clock() -> datetime:
        return NOW

    day = timedelta(days=1)
    cluster = HeldKeys(clusters or keys_of(CLUSTER))
    return IssuersVerifier(
        [
            JwtVerifier(keys_of(USERS), USERS, "payments-gateway", clock, day),
            JwtVerifier(
                cluster, CLUSTER, "payments-gateway", clock, day, service_accounts=MAP
            ),
        ]
    )


def verified(text: str) -> Token:
    return a_verifier().verify(text)


def is_accepted(text: str) -> bool:
    try:
        verified(text)
    except InvalidToken:
        return False
    return True


def test_a_service_may_do_what_the_map_says() -> None:
    """
    Its own claims of scopes and e-mails do not count, and it is no user.
    """
    token = verified(
        a_text(scope=ADMIN_SCOPE, email="ann@a.example", email_verified=True)
    )

    assert token.scopes == {FEED_SCOPE, READ_SCOPE}
    assert (token.email, token.is_service, token.user_id) == (None, True, SUB)
    assert (token.issuer, token.jti) == (CLUSTER, PROJECTED["jti"])
    assert token.expires_at == NOW + timedelta(hours=1)


def test_a_user_of_the_same_name_is_a_user() -> None:
    """
    The service's entry in the map is not the user's, nor the other way round.
    """
    token = verified(a_text(OF_A_USER, USERS))

    assert not token.is_service
    assert token.scopes == {"own"}
    assert token.email is not None


@pytest.mark.parametrize(
    ("claims", "signer"),
    list(itertools.product([PROJECTED, OF_A_USER], [USERS, CLUSTER])),
)
def test_t35_a_token_is_judged_by_the_keys_of_its_issuer_alone(
    claims: Mapping[str, Any], signer: str
) -> None:
    """
    Both call their key `k1`; a token that the other one signed is a forgery.
    """
    assert is_accepted(a_text(claims, signer)) == (claims["iss"] == signer)


@pytest.mark.parametrize(
    "iss", [ABSENT, None, "", f"{CLUSTER}/", CLUSTER.upper(), [CLUSTER], 1, {USERS: 1}]
)
@pytest.mark.parametrize("signer", [USERS, CLUSTER])
def test_t35_who_names_no_issuer_of_ours_is_refused(iss: object, signer: str) -> None:
    """
    Whatever key signed it.
    """
    # A library refuses to write some of them: the payload is written here.
    good = a_text(signer=signer)
    header, payload, signature = good.split(".")
    members = {**json.loads(base64.urlsafe_b64decode(payload + "==")), "iss": iss}
    if iss is ABSENT:
        del members["iss"]
    raw = base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")
    assert not is_accepted(f"{header}.{raw}.{signature}")
    signed = private(signer)
    text = jwt.PyJWS().encode(
        json.dumps(members).encode(), signed, "RS256", headers={"kid": "k1"}
    )
    assert not is_accepted(text)


KUBERNETES: Final = PROJECTED["kubernetes.io"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "system:serviceaccount:apps:other"},
        {"sub": "system:serviceaccount:other:shop"},
        {"sub": "shop"},
        {"sub": ABSENT},
        {"kubernetes.io": ABSENT},
        {"kubernetes.io": {}},
        {"kubernetes.io": {**KUBERNETES, "namespace": "other"}},
        {"kubernetes.io": {**KUBERNETES, "namespace": ["apps"]}},
        {"kubernetes.io": {**KUBERNETES, "serviceaccount": {"name": "other"}}},
        {"kubernetes.io": {**KUBERNETES, "serviceaccount": "shop"}},
        {
            "sub": "system:serviceaccount:apps:unknown",
            "kubernetes.io": {**KUBERNETES, "serviceaccount": {"name": "unknown"}},
        },
        {"aud": ["https://kubernetes.default.svc"]},
        {"exp": NOW_S + 365 * 86_400},
        {"exp": ABSENT},
        {"iat": NOW_S + 60},
        {"jti": ""},
        {"jti": 1},
    ],
)
def test_a_service_account_that_is_not_named_is_refused(
    changes: dict[str, Any],
) -> None:
    """
    So is a token that contradicts itself, is for the cluster, or is valid for a year.
    """
    assert not is_accepted(a_text(**changes))


def test_t37_t39_a_token_without_an_id_has_one_made_of_what_is_signed() -> None:
    """
    So it can be revoked by its text, and no other spelling of it is another token.
    """
    one, other = a_text(jti=ABSENT), a_text(jti=ABSENT, nbf=NOW_S - 1)

    assert verified(one).jti == verified(one).jti != verified(other).jti
    assert verified(one).jti.startswith("sha256:")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelled = [one[:-1] + it for it in letters]
    assert {verified(it).jti for it in spelled if is_accepted(it)} == {
        verified(one).jti
    }


def test_a_token_that_was_verified_is_recalled_by_its_own_issuer() -> None:
    """
    Both remember; a retired key of one does not concern the other.
    """
    verifier = a_verifier()
    users, cluster = verifier.verifiers
    texts = [a_text(OF_A_USER, USERS), a_text()]
    tokens = [verifier.verify(it) for it in texts]

    assert [verifier.verify(it) for it in texts] == tokens
    assert [users.recall(it) for it in texts] == [tokens[0], None]
    assert [cluster.recall(it) for it in texts] == [None, tokens[1]]


def test_without_the_clusters_keys_users_are_let_in() -> None:
    """
    Nothing is known of services then.
    """
    verifier = a_verifier()
    held = verifier.verifiers[1].keys
    assert isinstance(held, HeldKeys)
    held.current = None

    assert verifier.verify(a_text(OF_A_USER, USERS)).user_id == SUB
    with pytest.raises(KeysUnavailable) as refusal:
        verifier.verify(a_text())
    assert refusal.value.issuer == CLUSTER


@given(st.text() | st.lists(st.binary().map(b64), max_size=5).map(".".join))
@example("\ud800")
@example("e30.e30.e30")
@example("e30.W10.e30")
def test_p16_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    """
    Also if a claim is read before the signature is checked.
    """
    assert not is_accepted(text)


@pytest.mark.anyio
async def test_only_an_issuer_of_ours_has_keys_to_read() -> None:
    """
    Keys that are not at an address are never read on request.
    """
    verifier = a_verifier()
    assert not await verifier.refresh_keys(CLUSTER)
    assert not await verifier.refresh_keys("https://evil.example")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ";", "apps/shop", "apps/shop=", "shop=payments:feed"),
        *("apps/shop=payments:feed, payments:read", "apps/shop=admin"),
        *("apps/shop=PAYMENTS:FEED", "apps/shop=payments:feeds", "/=payments:feed"),
        *("Apps/shop=payments:feed", "apps/shop/x=payments:feed"),
        *("apps/sh*p=payments:feed", "apps/=payments:feed", "*/shop=payments:feed"),
        *("apps/shop=payments:feed; apps/shop=payments:read", "a:b/c=payments:feed"),
        *(f"apps/{'a' * 60}.{'a' * 60}=payments:feed", "apps/-shop=payments:feed"),
        ";".join(f"apps/shop{at}=payments:feed" for at in range(101)),
    ],
)
def test_a_map_that_can_be_misread_is_refused(text: str) -> None:
    """
    Unknown scopes, wildcards, names that Kubernetes does not allow, one account twice.
    """
    with pytest.raises(InvalidValue):
        ServiceAccounts.from_text(text)


def test_a_map_is_read_as_it_is_written() -> None:
    """
    With semicolons, or one entry a line.
    """
    text = "payments/crm=payments:feed payments:read; ops/a.b-c=payments:admin"
    found = ServiceAccounts.from_text(text)

    assert found == ServiceAccounts.from_text(text.replace("; ", "\n") + "\n")
    assert ServiceAccounts.from_text(found.text) == found
    assert found.text == text
    assert found.scopes["system:serviceaccount:ops:a.b-c"] == {ADMIN_SCOPE}
