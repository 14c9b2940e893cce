"""A bearer token, from its text to the claims we rely on (RFC 7519, RFC 9068).

Rule 1: a text has one spelling: three base64url parts, without padding.
Rule 2: the header may have only `alg`, `kid` and `typ`. `kid` picks the key; `alg` must
        repeat the key's algorithm.
Rule 3: no claim is read before the signature is verified. (With several issuers, `iss`
        only selects whose keys must have made it: see `issuers`.)
Rule 4: claims must have exactly the type that the RFC gives. True is not a number, "1"
        not a time.
Rule 5: for every fault the error is `InvalidToken`, and it repeats no input. Only if
        there are no keys it is `KeysUnavailable`: nothing is known about the token.
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
# The year 2100. Later times are mistakes, and some do not fit a datetime.
EPOCH_S_MAX: Final = 4_102_444_800
REMEMBERED_FOR: Final = timedelta(seconds=60)

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})


@attrs.frozen(eq=False)
class JwtVerifier:
    """The `TokenVerifier` of one issuer's tokens for one audience.

    `max_age` is the longest lifetime that a token may have. `leeway_s` is how far the
    issuer's clock may be from ours, in either direction. With `service_accounts` the
    issuer is a Kubernetes cluster, and a token is a service's.

    A verified token is remembered for a minute, because a signature costs dozens of
    look-ups (see `RememberedTokens`), while the keys are those that it was verified
    with. Times are checked again on every call; revocation is checked elsewhere, on
    every request.
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
            InvalidToken: the token is not valid.
            KeysUnavailable: there are no keys now.
        """
        now = self.clock()
        keys = self.keys.current
        token = self._remembered.find(text, now, keys)
        if token is None:
            token = self._verified(text, now, keys)
        return token

    def recall(self, text: str) -> Token | None:
        """Return a token that was verified recently; None if it must be verified."""
        return self._remembered.find(text, self.clock(), self.keys.current)

    async def refresh_keys(self, issuer: str) -> bool:
        """Fetch the issuer's keys anew, if that is allowed now: see `KeySource`.

        Raises:
            KeysUnavailable: too many callers wait for them already.
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
            raise InvalidToken("it names no known key")
        key = keys.find(kid)
        if key is None:
            raise InvalidToken("it names no known key", unknown_key_of=self.issuer)
        if header.get("alg") != key.alg:
            raise InvalidToken("its algorithm is not its key's")
        return key

    def _token(self, claims: Mapping[str, Any], text: str, now: datetime) -> Token:
        self._require_ours(claims)
        issued_s, expires_s = _epoch_s(claims, "iat"), _epoch_s(claims, "exp")
        not_before_s = _epoch_s(claims, "nbf") if "nbf" in claims else issued_s
        if not 1 <= expires_s - issued_s <= self.max_age.total_seconds():
            raise InvalidToken("its lifetime is too long, or not positive")
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
        # The scopes and e-mail in the token itself are ignored.
        return attrs.evolve(
            known,
            jti=_jti(claims) if "jti" in claims else _digest_of(text),
            scopes=self.service_accounts.scopes_of(claims),
            is_service=True,
        )

    def _require_ours(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self.issuer:
            raise InvalidToken("from another issuer")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(one, str) for one in audiences):
            raise InvalidToken("aud is not a string or a list of strings")
        if self.audience not in audiences:
            raise InvalidToken("for another audience")


def claimed_issuer(text: str) -> str | None:
    """Return the issuer that a token names; it is not verified.

    Raises:
        InvalidToken: the text is not a token.
    """
    _header(text)
    part = text.split(".")[1]
    issuer = _object(_octets(part, "the payload")).get("iss")
    return issuer if isinstance(issuer, str) else None


def _signed_claims(text: str, key: Key) -> dict[str, Any]:
    try:
        payload = SIGNATURES.decode(text, key.verifying, algorithms=[key.alg])
    except (PyJWTError, ValueError) as error:
        raise InvalidToken("the signature is invalid") from error
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
    # The parser's error contains the whole text: it is not chained.
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

    It is a hash of the signed part: another spelling of the signature gives the same
    id.
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
    # Without the claim the e-mail counts as verified: we trust the issuer. An
    # unverified one would register its user, and link to them what another person has
    # paid.
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
    # Only a space separates (RFC 6749, section 3.3); `split()` splits at other
    # characters too.
    return frozenset(value.split(" ")) - {""}
