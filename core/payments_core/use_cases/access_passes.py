"""Access passes, and the keys that they are verified with."""

from collections.abc import Sequence

import attrs

from payments_core.access_pass import PublishedKey
from payments_core.ports import PassSigner


@attrs.frozen
class ReadPassKeys:
    """List the keys that an access pass may be signed with, for any reader."""

    signer: PassSigner

    def __call__(self) -> Sequence[PublishedKey]:
        return self.signer.published
