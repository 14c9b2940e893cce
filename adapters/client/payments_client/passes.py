"""Access passes, checked with public keys alone.

Rule 1: a pass is signed with EdDSA by a key that the service publishes. The header
        names the key, and nothing else in it affects how the pass is checked.
Rule 2: a pass is valid until its `exp`, to the second, and not after it.
Rule 3: keys are fetched again in the background after `KEYS_FRESH_S`. If that fails,
        the old keys hold for `KEYS_STALE_MAX_S`. For an unknown key they are fetched at
        once, but at most once every `COOL_DOWN_S`.
Rule 4: a checked pass is remembered until its `exp`, at most `REMEMBERED_MAX` of them:
        a pass whose key is withdrawn stays valid until then.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Protocol

import httpx
import jwt
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from payments_client.client import address, origin
from payments_client.errors import ClientError, PassRefused, Unavailable, why
from payments_client.shapes import Key, Keys

ISSUER: Final = "payments-gateway"
AUDIENCE: Final = "access-pass"
TYPE: Final = "access-pass+jwt"
ALGORITHM: Final = "EdDSA"
TOKEN_LENGTH_MAX: Final = 16_384
KEYS_MAX: Final = 32
KEYS_FRESH_S: Final = 300.0
KEYS_STALE_MAX_S: Final = 86_400.0
COOL_DOWN_S: Final = 10.0
REMEMBERED_MAX: Final = 10_000
# The service's clock may be ahead of ours.
AHEAD_MAX_S: Final = 30.0
PARTS_COUNT: Final = 3
# What a decoder raises for an answer that is not JSON of this shape, or is too deep.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class AccessPass(msgspec.Struct, frozen=True):
    """What a pass says about a user; times are seconds since 1970, UTC.

    `features` maps each feature to when it ends; a pass ends before most of them do.
    """

    user_id: str
    expires_at: float
    features: Mapping[str, float]
    entitled_until: float | None = None

    def allows(self, feature: str, *, now: float | None = None) -> bool:
        """Return whether the user has a feature at a time; by default, now."""
        at = time.time() if now is None else now
        return at < self.expires_at and at < self.features.get(feature, 0.0)


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


# Seconds since 1970 that a float holds exactly.
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Claims(msgspec.Struct):
    iss: str
    aud: str
    sub: str
    iat: _Seconds
    exp: _Seconds
    features: dict[str, float]
    entitled_until: float | None = None
    nbf: _Seconds = 0


_HEADERS: Final = msgspec.json.Decoder(_Header)
_CLAIMS: Final = msgspec.json.Decoder(_Claims)


class KeySource(Protocol):
    """A `PaymentsClient`, or `KeysAt` an address."""

    async def keys(self) -> Keys:
        """Return the public keys.

        Raises:
            ClientError: there was no usable answer.
        """


class KeysAt:
    """The keys at an address: `…/payments-gateway/api/.well-known/jwks.json`.

    Raises:
        ValueError: `url` is not an HTTP address.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = address("url", url)
        self._timeout_s = timeout_s
        self._transport = transport

    async def keys(self) -> Keys:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(transport=self._transport) as http,
            ):
                answer = await http.get(self._url)
            if answer.status_code == httpx.codes.OK:
                return msgspec.json.decode(answer.content, type=Keys)
        except (httpx.RequestError, TimeoutError, *_UNREADABLE) as error:
            is_answered = isinstance(error, _UNREADABLE)
            reason = "sent an unexpected answer" if is_answered else why(error)
            raise Unavailable(f"no keys: {origin(self._url)} {reason}") from error
        raise Unavailable(
            f"no keys: {origin(self._url)} answered HTTP {answer.status_code}",
            status=answer.status_code,
        )


class PassVerifier:
    """Checks passes; one per process is enough.

    `source` gives the keys: a `PaymentsClient`, or the address of the JWK set. `issuer`
    is the service's `PAYMENTS_ACCESS_PASS_ISSUER`.
    """

    def __init__(
        self,
        source: KeySource | str,
        *,
        issuer: str = ISSUER,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        keys = KeysAt(source) if isinstance(source, str) else source
        self._keys = _KeySet(keys, monotonic)
        self._issuer = issuer
        self._clock = clock
        # In the order in which they were checked.
        self._known: dict[str, AccessPass] = {}
        # Passes of one key have the same header: its text, and the key's id.
        self._kids: dict[str, str] = {}

    async def verify(self, token: str) -> AccessPass:
        """Return what a pass says.

        Raises:
            PassRefused: it is forged, expired, for another audience, or not a pass.
            Unavailable: no key is known, and the keys cannot be fetched.
        """
        known = self._known.get(token)
        if known is not None:
            if self._clock() < known.expires_at:
                return known
            del self._known[token]
            raise PassRefused("it has expired")
        found = await self._checked(token)
        if len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[token] = found
        return found

    async def _checked(self, token: str) -> AccessPass:
        if len(token) > TOKEN_LENGTH_MAX:
            raise PassRefused("it is too long")
        parts = token.split(".")
        if len(parts) != PARTS_COUNT:
            raise PassRefused("it is not a JWT")
        header, claims, signature = parts
        key = await self._keys.key(self._kid(header))
        if key is None:
            raise PassRefused("its key is not known")
        try:
            key.verify(_decoded(signature), f"{header}.{claims}".encode("ascii"))
        except (InvalidSignature, ValueError):
            # No cause here and below: a UnicodeError contains the whole pass.
            raise PassRefused("its signature is wrong") from None
        try:
            told = _CLAIMS.decode(_decoded(claims))
        except (ValueError, RecursionError):
            raise PassRefused("a claim is missing or invalid") from None
        return self._told(told)

    def _kid(self, header: str) -> str:
        """Return the key id in a header, if the header is one of a pass."""
        known = self._kids.get(header)
        if known is not None:
            return known
        try:
            told = _HEADERS.decode(_decoded(header))
        except (ValueError, RecursionError):
            raise PassRefused("it is not an access pass") from None
        if (told.alg, told.typ) != (ALGORITHM, TYPE):
            raise PassRefused("it is not an access pass")
        if len(self._kids) >= KEYS_MAX:
            self._kids.clear()
        self._kids[header] = told.kid
        return told.kid

    def _told(self, claims: _Claims) -> AccessPass:
        now = self._clock()
        if claims.iss != self._issuer:
            raise PassRefused("it is from another issuer")
        if claims.aud != AUDIENCE or not claims.sub:
            raise PassRefused("it is for another audience, or has no user")
        if now >= claims.exp:
            raise PassRefused("it has expired")
        if max(claims.iat, claims.nbf) > now + AHEAD_MAX_S:
            raise PassRefused("it was issued in the future")
        return AccessPass(
            user_id=claims.sub,
            expires_at=float(claims.exp),
            features=claims.features,
            entitled_until=claims.entitled_until,
        )


def _decoded(text: str) -> bytes:
    """Decode base64url.

    Raises:
        ValueError: it is not base64url.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


class _KeySet:
    """Keys by id; one request at a time fetches them."""

    def __init__(self, source: KeySource, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._monotonic = monotonic
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._fetched_at = self._tried_at = -float("inf")
        self._asking: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        now = self._monotonic()
        age_s = now - self._fetched_at
        if age_s > KEYS_STALE_MAX_S:
            if not self._may_ask(now):
                raise Unavailable("no keys: just requested")
            await self._fetched()
        elif kid not in self._keys:
            if self._may_ask(now):
                # The known keys hold, whether there is an answer or not.
                await self._fetched_if_possible()
        elif age_s > KEYS_FRESH_S and self._may_ask(now):
            # This task is not awaited.
            self._asking = self._ask()
        return self._keys.get(kid)

    def _may_ask(self, now: float) -> bool:
        return self._asking is not None or now - self._tried_at >= COOL_DOWN_S

    def _ask(self) -> "asyncio.Task[None]":
        if self._asking is None:
            self._tried_at = self._monotonic()
            self._asking = asyncio.ensure_future(self._fetch())
            self._asking.add_done_callback(self._asked)
        return self._asking

    def _asked(self, task: "asyncio.Task[None]") -> None:
        self._asking = None
        if not task.cancelled():
            # An error that no caller waits for is not reported: the old keys hold.
            task.exception()

    async def _fetched(self) -> None:
        # One waiting caller may be cancelled; the others still wait.
        await asyncio.shield(self._ask())

    async def _fetched_if_possible(self) -> None:
        try:
            await self._fetched()
        except ClientError:
            return

    async def _fetch(self) -> None:
        found = await self._source.keys()
        keys = _usable(found.keys)
        if not keys:
            raise Unavailable("no keys: none of the published keys is usable")
        self._keys, self._fetched_at = keys, self._monotonic()


def _usable(keys: Sequence[Key]) -> Mapping[str, Ed25519PublicKey]:
    """Return the Ed25519 keys by their ids; others cannot be used."""
    found: dict[str, Ed25519PublicKey] = {}
    for key in keys[:KEYS_MAX]:
        if (key.kty, key.crv) != ("OKP", "Ed25519") or not key.kid:
            continue
        told: dict[str, Any] = msgspec.to_builtins(key)
        try:
            read = jwt.PyJWK.from_dict(told, algorithm=ALGORITHM).key
        except jwt.PyJWTError:
            continue
        if isinstance(read, Ed25519PublicKey):
            found[key.kid] = read
    return found
