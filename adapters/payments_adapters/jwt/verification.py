"""A bearer token, from its text to the claims we rely on (RFC 7519, RFC 9068).

Rule 1: a text has one spelling: three base64url parts, without padding.
Rule 2: of the header only `alg`, `kid` and `typ` exist. `kid` picks the key; `alg`
        has to repeat what the key is for.
Rule 3: no claim is read before the signature holds.
Rule 4: claims are of the very type the RFC gives them. True is no number, "1" no time.
Rule 5: whatever is wrong, the answer is `InvalidToken`, and it repeats no input.
"""

import base64
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
from jwt import PyJWTError

from payments_adapters.emails import read_email
from payments_adapters.jwt.keys import SIGNATURES, Key, KeySet, json_object
from payments_core.errors import InvalidToken, InvalidValue
from payments_core.identity import Email, UserId, user_id
from payments_core.ports import SystemClock
from payments_core.tokens import Token

TOKEN_LENGTH_MAX: Final = 8 * 1024
JTI: Final = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
# The year 2100. Later moments are mistakes, and some do not fit a datetime.
EPOCH_S_MAX: Final = 4_102_444_800
REMEMBERED_TOKENS_MAX: Final = 4096
REMEMBERED_FOR: Final = timedelta(seconds=60)

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})


@attrs.frozen
class _Verified:
    token: Token
    at: datetime


@attrs.frozen(eq=False)
class JwtVerifier:
    """The `TokenVerifier` of one issuer's tokens for one audience.

    `max_age` is the longest life a token may be given. `leeway_s` is how far the
    issuer's clock may be from ours, either way.

    A verified text is remembered for a minute, because a signature costs dozens of
    look-ups. Time is checked again on every call; revocation is elsewhere,
    and is asked on every request.
    """

    keys: KeySet
    issuer: str
    audience: str
    clock: SystemClock
    max_age: timedelta
    leeway_s: int = 30
    _remembered: OrderedDict[str, _Verified] = attrs.field(
        init=False, factory=OrderedDict, repr=False
    )

    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims.

        Raises:
            InvalidToken: anything is wrong with it.
        """
        now = self.clock()
        token = self._recall(text, now)
        if token is None:
            token = self._token(_signed_claims(text, self.keys), now)
            self._remember(text, _Verified(token, now))
        return token

    def _recall(self, text: str, now: datetime) -> Token | None:
        known = self._remembered.get(text)
        if known is None:
            return None
        # A clock that was set back gets the whole check, `iat` and `nbf` included.
        fresh = known.at <= now < known.at + REMEMBERED_FOR
        if fresh and now < known.token.expires_at + timedelta(seconds=self.leeway_s):
            return known.token
        self._remembered.pop(text, None)
        return None

    def _remember(self, text: str, verified: _Verified) -> None:
        self._remembered[text] = verified
        while len(self._remembered) > REMEMBERED_TOKENS_MAX:
            self._remembered.popitem(last=False)

    def _token(self, claims: Mapping[str, Any], now: datetime) -> Token:
        self._require_ours(claims)
        issued_s, expires_s = _epoch_s(claims, "iat"), _epoch_s(claims, "exp")
        not_before_s = _epoch_s(claims, "nbf") if "nbf" in claims else issued_s
        if not 1 <= expires_s - issued_s <= self.max_age.total_seconds():
            raise InvalidToken("it lives too long, or not at all")
        if now.timestamp() >= expires_s + self.leeway_s:
            raise InvalidToken("expired")
        if now.timestamp() < max(issued_s, not_before_s) - self.leeway_s:
            raise InvalidToken("not valid yet")
        return Token(
            issuer=self.issuer,
            jti=_jti(claims),
            user_id=_user_id(claims),
            issued_at=datetime.fromtimestamp(issued_s, UTC),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
            email=_email(claims),
            scopes=_scopes(claims),
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


def _signed_claims(text: str, keys: KeySet) -> dict[str, Any]:
    if len(text) > TOKEN_LENGTH_MAX or _COMPACT.fullmatch(text) is None:
        raise InvalidToken("not a compact JWT")
    key = _key_of(_header(text), keys)
    try:
        payload = SIGNATURES.decode(text, key.verifying, algorithms=[key.alg])
    except (PyJWTError, ValueError) as error:
        raise InvalidToken("the signature does not hold") from error
    return _object(payload)


def _header(text: str) -> dict[str, Any]:
    part, _, _ = text.partition(".")
    try:
        octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidToken("the header is not base64url") from None
    return _object(octets)


def _object(octets: bytes) -> dict[str, Any]:
    # The parser's error holds the whole text: it is not shown.
    try:
        return json_object(octets.decode())
    except ValueError:
        raise InvalidToken("not a JSON object, or an ambiguous one") from None


def _key_of(header: Mapping[str, Any], keys: KeySet) -> Key:
    if not header.keys() <= _HEADER_NAMES:
        raise InvalidToken("the header has more than alg, kid and typ")
    type_ = header.get("typ", "JWT")
    if not isinstance(type_, str) or type_.lower() not in _TYPES:
        raise InvalidToken("not an access token")
    kid = header.get("kid")
    key = keys.find(kid) if isinstance(kid, str) else None
    if key is None:
        raise InvalidToken("it names no key of ours")
    if header.get("alg") != key.alg:
        raise InvalidToken("another algorithm than its key's")
    return key


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
