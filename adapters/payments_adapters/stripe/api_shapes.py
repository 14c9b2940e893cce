"""What the API's objects have in common: pages, and our mark."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from payments_adapters.stripe.fields import Id, Metadata, Reference

# The SDK's version: we request it, and events must be rendered in it.
API_VERSION: Final = "2026-10-28.endive"

_Item = TypeVar("_Item")


class Page(msgspec.Struct, Generic[_Item]):
    data: Sequence[_Item] = ()
    has_more: bool = False


class Made(msgspec.Struct):
    """An object that may carry our mark."""

    id: Id
    customer: Reference = None
    metadata: Metadata | None = None

    def is_marked(self, intent_id: str) -> bool:
        return self.metadata is not None and self.metadata.intent_id == intent_id
