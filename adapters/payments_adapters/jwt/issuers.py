"""Tokens of several issuers: users', and those of a cluster's services.

Rule 1: a token is verified only with the keys of the issuer that it names. That name is
        not trusted: it only selects one of the configured issuers.
"""

from collections.abc import Sequence

import attrs

from payments_adapters.jwt.verification import JwtVerifier, claimed_issuer
from payments_core.errors import InvalidToken
from payments_core.tokens import Token


@attrs.frozen(eq=False)
class IssuersVerifier:
    """The `TokenVerifier` of tokens of some issuers, each with its own verifier."""

    verifiers: Sequence[JwtVerifier]

    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims.

        Raises:
            InvalidToken: the token is not valid.
            KeysUnavailable: its issuer has no keys now.
        """
        for verifier in self.verifiers:
            token = verifier.recall(text)
            if token is not None:
                return token
        issuer = claimed_issuer(text)
        for verifier in self.verifiers:
            if verifier.issuer == issuer:
                return verifier.verify(text)
        raise InvalidToken("from another issuer")

    async def refresh_keys(self, issuer: str) -> bool:
        for verifier in self.verifiers:
            if verifier.issuer == issuer:
                return await verifier.refresh_keys(issuer)
        return False
