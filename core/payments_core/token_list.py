"""Revocations for operators, page by page.

Separate from `payments_core.tokens`, which every module imports.
"""

from collections.abc import Sequence

import attrs

from payments_core.tokens import TokenRevocation


@attrs.frozen
class RevocationPage:
    """Some revocations, and where the next page starts; None at the end."""

    revocations: Sequence[TokenRevocation]
    after: tuple[str, str] | None
