"""A bearer token, from its text to the claims we rely on (RFC 7519, RFC 9068).

Rule 1: a text has one spelling: three base64url parts, without padding.
Rule 2: of the header only `alg`, `kid` and `typ` exist. `kid` picks the key; `alg`
        has to repeat what the key is for.
Rule 3: no claim is read before the signature holds. (Of several issuers, `iss` picks
        whose keys have to have made it: see `issuers`.)
Rule 4: claims are of the very type the RFC gives them. True is no number, "1" no time.
Rule 5: whatever is wrong, the answer is `InvalidToken`, and it repeats no input. Only
        where there are no keys it is `KeysUnavailable`: nothing is known of the token.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
from jwt import PyJWTError

from payments_adapters.emails import read_email
from payments_adapters.jwt.key_sources import KeySource, TooManyWait, source_of
from payments_adapters.jwt.keys import SIGNATURES, Key, KeySet, json_object
from payments_adapters.jwt.remembered_tokens import RememberedTokens
from payments_adapters.jwt.service_accounts import ServiceAccounts
from payments_core.errors import InvalidToken, InvalidValue, KeysUnavailable
from payments_core.identity import Email, UserId, user_id
from payments_core.ports import SystemClock
from payments_core.tokens import Token

TOKEN_LENGTH_MAX: Final = 8 * 1024
JTI: Final = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
# The year 2100. Later moments are mistakes, and some do not fit a datetime.
EPOCH_S_MAX: Final = 4_102_444_800
REMEMBERED_FOR: Final = timedelta(seconds=60)

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})


@attrs.frozen(eq=False)
class JwtVerifier:
    """The `TokenVerifier` of one issuer's tokens for one audience.

    `max_age` is the longest life a token may be given. `leeway_s` is how far the
    issuer's clock may be from ours, either way. With `service_accounts` the issuer is a
    Kubernetes cluster, and a token is a service's.

    A verified text is remembered for a minute, because a signature costs dozens of
    look-ups (see `RememberedTokens`), and as long as the keys are those that it was
    verified with. Time is checked again on every call; revocation is elsewhere, and is
    asked on every request.
    """

    keys: KeySource = attrs.field(converter=source_of)
    issuer: str
    audience: str
    clock: SystemClock
    max_age: timedelta
    leeway_s: int = 30
    service_accounts: ServiceAccounts | None = None
    _remembered: RememberedTokens = attrs.field(
        init=False, factory=RememberedTokens, repr=False
    )

    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims.

        Raises:
            InvalidToken: anything is wrong with it.
            KeysUnavailable: there are no keys now.
        """
        now = self.clock()
        keys = self.keys.current
        token = self._remembered.find(text, now, keys)
        if token is None:
            token = self._verified(text, now, keys)
        return token

    def recall(self, text: str) -> Token | None:
        """Return a token that was verified a moment ago; None if it has to be."""
        return self._remembered.find(text, self.clock(), self.keys.current)

    async def refresh_keys(self, issuer: str) -> bool:
        """Read the issuer's keys anew, if that may be done now: see `KeySource`.

        Raises:
            KeysUnavailable: too many wait for them already.
        """
        try:
            return issuer == self.issuer and await self.keys.refresh()
        except TooManyWait:
            raise KeysUnavailable(self.issuer) from None

    def _verified(self, text: str, now: datetime, keys: KeySet | None) -> Token:
        key = self._key_of(_header(text), keys)
        token = self._token(_signed_claims(text, key), text, now)
        ends_at = token.expires_at + timedelta(seconds=self.leeway_s)
        if keys is not None:
            until = min(now + REMEMBERED_FOR, ends_at)
            self._remembered.keep(text, token, keys, now, until)
        return token

    def _key_of(self, header: Mapping[str, Any], keys: KeySet | None) -> Key:
        if not header.keys() <= _HEADER_NAMES:
            raise InvalidToken("the header has more than alg, kid and typ")
        type_ = header.get("typ", "JWT")
        if not isinstance(type_, str) or type_.lower() not in _TYPES:
            raise InvalidToken("not an access token")
        if keys is None:
            raise KeysUnavailable(self.issuer)
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise InvalidToken("it names no key of ours")
        key = keys.find(kid)
        if key is None:
            raise InvalidToken("it names no key of ours", unknown_key_of=self.issuer)
        if header.get("alg") != key.alg:
            raise InvalidToken("another algorithm than its key's")
        return key

    def _token(self, claims: Mapping[str, Any], text: str, now: datetime) -> Token:
        self._require_ours(claims)
        issued_s, expires_s = _epoch_s(claims, "iat"), _epoch_s(claims, "exp")
        not_before_s = _epoch_s(claims, "nbf") if "nbf" in claims else issued_s
        if not 1 <= expires_s - issued_s <= self.max_age.total_seconds():
            raise InvalidToken("it lives too long, or not at all")
        if now.timestamp() >= expires_s + self.leeway_s:
            raise InvalidToken("expired")
        if now.timestamp() < max(issued_s, not_before_s) - self.leeway_s:
            raise InvalidToken("not valid yet")
        known = Token(
            issuer=self.issuer,
            jti="",
            user_id=_user_id(claims),
            issued_at=datetime.fromtimestamp(issued_s, UTC),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )
        if self.service_accounts is None:
            return attrs.evolve(
                known, jti=_jti(claims), email=_email(claims), scopes=_scopes(claims)
            )
        # Its own words on scopes and e-mails count for nothing.
        return attrs.evolve(
            known,
            jti=_jti(claims) if "jti" in claims else _digest_of(text),
            scopes=self.service_accounts.scopes_of(claims),
            is_service=True,
        )

    def _require_ours(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self.issuer:
            raise InvalidToken("of another issuer")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(one, str) for one in audiences):
            raise InvalidToken("aud is not a string or a list of strings")
        if self.audience not in audiences:
            raise InvalidToken("for another audience")


def claimed_issuer(text: str) -> str | None:
    """Return the issuer that a token names; who that is, is not verified.

    Raises:
        InvalidToken: it is no token.
    """
    _header(text)
    part = text.split(".")[1]
    issuer = _object(_octets(part, "the payload")).get("iss")
    return issuer if isinstance(issuer, str) else None


def _signed_claims(text: str, key: Key) -> dict[str, Any]:
    try:
        payload = SIGNATURES.decode(text, key.verifying, algorithms=[key.alg])
    except (PyJWTError, ValueError) as error:
        raise InvalidToken("the signature does not hold") from error
    return _object(payload)


def _header(text: str) -> dict[str, Any]:
    if len(text) > TOKEN_LENGTH_MAX or _COMPACT.fullmatch(text) is None:
        raise InvalidToken("not a compact JWT")
    part, _, _ = text.partition(".")
    return _object(_octets(part, "the header"))


def _octets(part: str, what: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidToken(f"{what} is not base64url") from None


def _object(octets: bytes) -> dict[str, Any]:
    # The parser's error holds the whole text: it is not shown.
    try:
        return json_object(octets.decode())
    except ValueError:
        raise InvalidToken("not a JSON object, or an ambiguous one") from None


def _epoch_s(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    # By `type`, because True is an instance of int.
    if type(value) is not int or not 0 <= value <= EPOCH_S_MAX:
        raise InvalidToken(f"{name} is not a time in whole seconds")
    return value


def _jti(claims: Mapping[str, Any]) -> str:
    value = claims.get("jti")
    if not isinstance(value, str) or JTI.fullmatch(value) is None:
        raise InvalidToken("jti is not 1 to 128 of A-Z a-z 0-9 . _ : ~ -")
    return value


def _digest_of(text: str) -> str:
    """Return an id for a token without one: clusters before Kubernetes 1.30 give none.

    It is made of what is signed: another spelling of the signature is no other token.
    """
    signed, _, _ = text.rpartition(".")
    return f"sha256:{hashlib.sha256(signed.encode()).hexdigest()}"


def _user_id(claims: Mapping[str, Any]) -> UserId:
    value = claims.get("sub")
    try:
        return user_id(value if isinstance(value, str) else "")
    except InvalidValue as error:
        raise InvalidToken("sub is not a user id") from error


def _email(claims: Mapping[str, Any]) -> Email | None:
    value = claims.get("email")
    # Without the claim it is verified, for the issuer is ours. One that is not would
    # register its user, and link to them what somebody else has paid.
    if value is None or claims.get("email_verified", True) is not True:
        return None
    try:
        return read_email(value if isinstance(value, str) else "")
    except InvalidValue as error:
        raise InvalidToken("email is not an e-mail address") from error


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope", "")
    if not isinstance(value, str):
        raise InvalidToken("scope is not a string")
    # Only the space separates (RFC 6749, section 3.3); `split()` knows others.
    return frozenset(value.split(" ")) - {""}
