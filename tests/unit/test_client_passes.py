"""Access passes are checked with public keys, and only passes are accepted."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import attrs
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from payments_client import (
    AccessPass,
    KeysAt,
    PassRefused,
    PassVerifier,
    Unavailable,
    passes,
)
from payments_client.passes import (
    AHEAD_MAX_S,
    COOL_DOWN_S,
    KEYS_FRESH_S,
    KEYS_MAX,
    KEYS_STALE_MAX_S,
    REMEMBERED_MAX,
    TOKEN_LENGTH_MAX,
)
from payments_client.shapes import Key, Keys
from support.stripe_bodies import a_secret

pytestmark = pytest.mark.anyio

NOW = 1_795_860_000


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@attrs.define
class Service:
    """Signs passes, returns its public keys, and counts the requests for them."""

    private: dict[str, Ed25519PrivateKey] = attrs.field(factory=dict)
    asked: int = 0
    is_down: bool = False
    now: float = NOW

    def new_key(self, kid: str) -> None:
        self.private[kid] = Ed25519PrivateKey.generate()

    async def keys(self) -> Keys:
        self.asked += 1
        if self.is_down:
            raise Unavailable("down")
        return Keys([self.public(kid) for kid in self.private])

    def public(self, kid: str) -> Key:
        public = self.private[kid].public_key()
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return Key(kty="OKP", crv="Ed25519", kid=kid, x=_b64(raw))

    def verifier(self, **more: Any) -> PassVerifier:
        return PassVerifier(
            self, clock=lambda: self.now, monotonic=lambda: self.now, **more
        )

    def signed(
        self,
        kid: str = "k1",
        *,
        headers: Mapping[str, Any] | None = None,
        key: Any = None,
        algorithm: str = "EdDSA",
        **claims: Any,
    ) -> str:
        wanted = {
            "iss": "payments-gateway",
            "aud": "access-pass",
            "sub": "ada",
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            "entitled_until": int(self.now) + 900,
            "features": {"reports": int(self.now) + 900, "soon": int(self.now) + 10},
            **claims,
        }
        told = {name: it for name, it in wanted.items() if it is not ...}
        return jwt.encode(
            told,
            key if key is not None else self.private[kid],
            algorithm=algorithm,
            headers={"typ": "access-pass+jwt", "kid": kid, **(headers or {})},
        )


@pytest.fixture
def service() -> Service:
    made = Service()
    made.new_key("k1")
    return made


async def test_a_pass_says_who_may_use_what(service: Service) -> None:
    """
    Each feature until its own end, and all until the pass ends.
    """
    found = await service.verifier().verify(service.signed())

    assert (found.user_id, found.expires_at) == ("ada", NOW + 300)
    assert found.entitled_until == NOW + 900
    for feature, now, allowed in (
        ("reports", NOW, True),
        ("reports", NOW + 299.9, True),
        ("reports", NOW + 300, False),
        ("soon", NOW + 9.9, True),
        ("soon", NOW + 10, False),
        ("api", NOW, False),
    ):
        assert found.allows(feature, now=now) is allowed
    # Without a time it is now.
    assert not AccessPass("ada", 2.0, {"reports": 2.0}).allows("reports")
    assert AccessPass("ada", 9e9, {"reports": 9e9}).allows("reports")


async def test_a_pass_is_refused_from_its_end_on(service: Service) -> None:
    """
    To the second, whether or not it was seen before.
    """
    seen, unseen = service.signed(), service.signed(sub="bob")
    verifier = service.verifier()
    await verifier.verify(seen)
    service.now += 299.9
    assert (await verifier.verify(seen)).user_id == "ada"
    service.now = NOW + 300
    for token in (seen, unseen, seen):
        with pytest.raises(PassRefused):
            await verifier.verify(token)


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "other"},
    "no issuer": {"iss": ...},
    "another audience": {"aud": "other"},
    "several audiences": {"aud": ["access-pass", "other"]},
    "no audience": {"aud": ...},
    "no end": {"exp": ...},
    "an end that is a text": {"exp": "2099-01-01"},
    "no beginning": {"iat": ...},
    "of the future": {"iat": NOW + int(AHEAD_MAX_S) + 1},
    "no user": {"sub": ...},
    "an empty user": {"sub": ""},
    "a user that is a number": {"sub": 1},
    "no features": {"features": ...},
    "a feature without an end": {"features": {"reports": None}},
    "not valid yet": {"nbf": 99_999_999_999},
    "another type": {"headers": {"typ": "JWT"}},
    "a header with more": {"headers": {"jku": "https://evil.test"}},
    "a critical header": {"headers": {"crit": ["b64"], "b64": False}},
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_pass_is_refused(service: Service, name: str) -> None:
    """
    Though it is signed with the right key.
    """
    with pytest.raises(PassRefused):
        await service.verifier().verify(service.signed(**WRONG[name]))


async def test_what_was_not_signed_by_the_service_is_refused(service: Service) -> None:
    """
    Signed by another key, by the public one as a secret, or not at all; or changed
    since.
    """
    verifier, good = service.verifier(), service.signed()
    header, claims, signature = good.split(".")
    more = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed = _b64(json.dumps({**more, "sub": "eve"}).encode())
    public = service.public("k1").x
    for token in (
        service.signed(key=Ed25519PrivateKey.generate()),
        service.signed(key=a_secret(public), algorithm="HS256"),
        service.signed(key="", algorithm="none"),
        f"{header}.{changed}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        "",
        "ä.ö.ü",
        "." * 5,
        "x" * (TOKEN_LENGTH_MAX + 1),
    ):
        with pytest.raises(PassRefused):
            await verifier.verify(token)
    assert (await verifier.verify(good)).user_id == "ada"


@pytest.mark.parametrize("algorithm", ["ES256", "none", "HS256", "Ed25519"])
async def test_the_algorithm_is_not_for_a_pass_to_choose(
    service: Service, algorithm: str
) -> None:
    """
    However valid its signature is.
    """
    header = {"alg": algorithm, "typ": "access-pass+jwt", "kid": "k1"}
    _, claims, _ = service.signed().split(".")
    text = f"{_b64(json.dumps(header).encode())}.{claims}"
    signature = _b64(service.private["k1"].sign(text.encode()))
    with pytest.raises(PassRefused):
        await service.verifier().verify(f"{text}.{signature}")
    assert service.asked == 0


@pytest.mark.parametrize("kid", [..., 1, ["k1"]])
async def test_a_pass_names_its_key(service: Service, kid: Any) -> None:
    """
    No key is tried that it does not name.
    """
    header = {"alg": "EdDSA", "typ": "access-pass+jwt"}
    header |= {} if kid is ... else {"kid": kid}
    _, claims, signature = service.signed().split(".")
    token = f"{_b64(json.dumps(header).encode())}.{claims}.{signature}"
    with pytest.raises(PassRefused):
        await service.verifier().verify(token)
    assert service.asked == 0


async def test_keys_are_asked_for_once_and_again_for_a_new_one(
    service: Service,
) -> None:
    """
    A rotation is followed at once; an unknown key is looked for now and then.
    """
    verifier = service.verifier()
    for user in ("ada", "bob"):
        await verifier.verify(service.signed(sub=user))
    assert service.asked == 1

    service.now += COOL_DOWN_S
    service.new_key("k2")
    await verifier.verify(service.signed("k2"))
    assert service.asked == 2

    service.private["k3"] = Ed25519PrivateKey.generate()
    unknown = [service.signed("k3", sub=f"u{it}") for it in range(5)]
    del service.private["k3"]
    for token in unknown:
        with pytest.raises(PassRefused):
            await verifier.verify(token)
    assert service.asked == 2
    service.now += COOL_DOWN_S
    for token in unknown:
        with pytest.raises(PassRefused):
            await verifier.verify(token)
    assert service.asked == 3


async def test_known_keys_hold_while_the_service_does_not_answer(
    service: Service,
) -> None:
    """
    They are requested in the background, and hold for a day; then nothing is accepted.
    """
    verifier = service.verifier()
    await verifier.verify(service.signed())
    service.is_down = True

    service.now += KEYS_FRESH_S + 1
    await verifier.verify(service.signed())
    await tasks_done()
    assert service.asked == 2
    await verifier.verify(service.signed(sub="bob"))
    await tasks_done()
    assert service.asked == 2
    with pytest.raises(PassRefused):
        await verifier.verify(service.signed("k1", headers={"kid": "new"}))

    service.now += KEYS_STALE_MAX_S
    for _ in range(2):
        with pytest.raises(Unavailable):
            await verifier.verify(service.signed())
    assert service.asked == 3

    service.is_down = False
    service.now += COOL_DOWN_S
    assert (await verifier.verify(service.signed())).user_id == "ada"


async def test_many_at_once_ask_once(service: Service) -> None:
    """
    All wait for the one that sends the request.
    """
    verifier = service.verifier()
    tokens = [service.signed(sub=f"u{it}") for it in range(20)]
    found = await asyncio.gather(*map(verifier.verify, tokens))
    assert [it.user_id for it in found] == [f"u{it}" for it in range(20)]
    assert service.asked == 1


async def test_a_withdrawn_key_is_no_key_once_the_others_are_read(
    service: Service,
) -> None:
    """
    What was checked with it before is accepted until its own end.
    """
    verifier = service.verifier()
    seen = service.signed()
    await verifier.verify(seen)
    leaked = service.private.pop("k1")
    service.new_key("k2")
    service.now += COOL_DOWN_S
    await verifier.verify(service.signed("k2"))
    with pytest.raises(PassRefused):
        await verifier.verify(service.signed("k1", key=leaked, sub="eve"))
    assert (await verifier.verify(seen)).user_id == "ada"


async def test_what_is_remembered_is_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The oldest is dropped first; it is checked again when it is used again.
    """
    assert REMEMBERED_MAX <= 100_000
    monkeypatch.setattr(passes, "REMEMBERED_MAX", 2)
    verifier = service.verifier()
    for number in range(4):
        await verifier.verify(service.signed(sub=f"u{number}"))
    assert [it.user_id for it in verifier._known.values()] == ["u2", "u3"]


async def test_only_keys_of_use_are_taken(service: Service) -> None:
    """
    Others may be in the set; of an endless set only the first ones.
    """
    good = service.public("k1")
    bad = [
        Key(kty="RSA", kid="rsa"),
        Key(kty="OKP", crv="X25519", kid="k2", x=good.x),
        Key(kty="OKP", crv="Ed25519", kid="", x=good.x),
        Key(kty="OKP", crv="Ed25519", kid="short", x="AAAA"),
    ]
    assert [*passes._usable([*bad, good])] == ["k1"]
    many = [Key(kty="OKP", crv="Ed25519", kid=f"k{it}", x=good.x) for it in range(99)]
    assert len(passes._usable(many)) == KEYS_MAX
    with pytest.raises(Unavailable):
        await PassVerifier(_Told(Keys(bad))).verify(service.signed())


@attrs.frozen
class _Told:
    told: Keys

    async def keys(self) -> Keys:
        return self.told


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(302, headers={"location": "http://evil.test"}),
        httpx.ConnectError("refused"),
    ],
)
async def test_keys_at_an_address_that_has_none(answer: Any, service: Service) -> None:
    """
    It counts as no answer: nothing is accepted, and nothing is refused for good.
    """

    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]  # of a parameter

    keys = KeysAt("http://payments.test/jwks", transport=httpx.MockTransport(respond))
    with pytest.raises(Unavailable):
        await PassVerifier(keys).verify(service.signed())


async def test_keys_at_an_address_need_no_token(service: Service) -> None:
    """
    They are public.
    """
    asked = list[httpx.Request]()
    told = {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": service.public("k1").x}
        ]
    }

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=told)

    keys = KeysAt("http://payments.test/jwks", transport=httpx.MockTransport(respond))
    verifier = PassVerifier(keys, clock=lambda: NOW)
    assert (await verifier.verify(service.signed())).user_id == "ada"
    assert "authorization" not in asked[0].headers


async def tasks_done() -> None:
    """Let background tasks end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    fetching = [it for it in others if "_fetch" in repr(it)]
    await asyncio.gather(*fetching, return_exceptions=True)
