"""Bearer tokens of the users micro-service, and access passes of ours.

Keys, verification and issuing.
"""

from payments_adapters.jwt.access_pass import PassKeys, PassSigning, add_pass_key
from payments_adapters.jwt.issuers import IssuersVerifier
from payments_adapters.jwt.issuing import issue
from payments_adapters.jwt.keys import KeySet, generate_jwks
from payments_adapters.jwt.verification import JwtVerifier

__all__ = [
    "IssuersVerifier",
    "JwtVerifier",
    "KeySet",
    "PassKeys",
    "PassSigning",
    "add_pass_key",
    "generate_jwks",
    "issue",
]
