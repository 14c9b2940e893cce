"""All readers of what others send us."""

from collections.abc import Sequence
from typing import Final

from fuzz.reader import Reader
from fuzz.readers.files import FILES
from fuzz.readers.http import HTTP
from fuzz.readers.tokens import TOKENS
from fuzz.readers.values import VALUES
from fuzz.readers.webhooks import WEBHOOKS

READERS: Final[Sequence[Reader]] = (*WEBHOOKS, *TOKENS, *HTTP, *VALUES, *FILES)
