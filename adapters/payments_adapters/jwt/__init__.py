"""Bearer tokens of the users micro-service: keys, verification, and making some."""

from payments_adapters.jwt.issuing import issue
from payments_adapters.jwt.keys import KeySet, generate_jwks
from payments_adapters.jwt.verification import JwtVerifier

__all__ = ["JwtVerifier", "KeySet", "generate_jwks", "issue"]
