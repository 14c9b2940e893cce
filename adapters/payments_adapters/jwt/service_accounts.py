"""Which service accounts of a Kubernetes cluster may call, and what they may do.

Their tokens are the projected ones of pods (TokenRequest API): `aud` is a list, `sub`
is `system:serviceaccount:<namespace>:<name>`, and the claim `kubernetes.io` names both
again, with the pod. There is no `typ`, and before Kubernetes 1.30 no `jti`.

Rule 1: our settings define what a service account may do. The token says only who it
        is.
Rule 2: a service account that the settings do not name is refused like an invalid token
        (401), before any query.
Rule 3: a token without `kubernetes.io`, or whose `kubernetes.io` names another account
        than `sub`, is not one that the cluster gave to a pod.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE
from payments_core.errors import InvalidToken, InvalidValue
from payments_core.identity import UserId, user_id

ACCOUNTS_MAX: Final = 100
SCOPES: Final = (ADMIN_SCOPE, READ_SCOPE, FEED_SCOPE)
_PREFIX: Final = "system:serviceaccount:"
# RFC 1123: a namespace is a label, a service account's name may have several labels.
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ACCOUNT: Final = re.compile(rf"({_LABEL})/({_LABEL}(?:\.{_LABEL})*)")


@attrs.frozen
class ServiceAccounts:
    """The scopes of each service account, by the `sub` of its tokens."""

    scopes: Mapping[str, frozenset[str]]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `namespace/name=scope scope; namespace/name=scope`.

        A line break is as good as a semicolon.

        Raises:
            InvalidValue: the text is something else, names a service account twice, or
                names an unknown scope.
        """
        entries = [it.strip() for it in re.split(r"[;\n]", text) if it.strip()]
        if not 1 <= len(entries) <= ACCOUNTS_MAX:
            raise _refused(f"not 1 to {ACCOUNTS_MAX} service accounts")
        found: dict[str, frozenset[str]] = {}
        for at, entry in enumerate(entries, 1):
            subject, scopes = _entry(at, entry)
            if subject in found:
                raise _refused(f"entry {at} names a service account for a second time")
            found[subject] = scopes
        return cls(found)

    @property
    def text(self) -> str:
        """Return the text that `from_text` reads as this."""
        entries = {
            subject.removeprefix(_PREFIX).replace(":", "/"): " ".join(sorted(scopes))
            for subject, scopes in self.scopes.items()
        }
        return "; ".join(f"{name}={scopes}" for name, scopes in entries.items())

    def scopes_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return what the service account of these claims may do.

        Raises:
            InvalidToken: the settings do not name it.
        """
        match claims:
            case {
                "sub": str(subject),
                "kubernetes.io": {
                    "namespace": str(namespace),
                    "serviceaccount": {"name": str(name)},
                },
            } if subject == _subject(namespace, name):
                scopes = self.scopes.get(subject)
            case _:
                raise InvalidToken("not a projected token of a service account")
        if scopes is None:
            raise InvalidToken("this service account has no scopes here")
        return scopes


def _entry(at: int, entry: str) -> tuple[UserId, frozenset[str]]:
    account, is_given, listed = entry.partition("=")
    match = _ACCOUNT.fullmatch(account.strip())
    if match is None or not is_given:
        raise _refused(f"entry {at} is not namespace/serviceaccount=scopes")
    scopes = listed.split()
    if not scopes or not set(scopes) <= set(SCOPES):
        raise _refused(f"entry {at} has a scope that is not one of {', '.join(SCOPES)}")
    try:
        return user_id(_subject(match[1], match[2])), frozenset(scopes)
    except InvalidValue:
        raise _refused(f"entry {at} names an account with too long a name") from None


def _subject(namespace: str, name: str) -> str:
    return f"{_PREFIX}{namespace}:{name}"


def _refused(reason: str) -> InvalidValue:
    return InvalidValue("service_accounts", reason)
