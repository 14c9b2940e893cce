"""The HTTP shell: it parses, calls one use case, and answers."""

from typing import Final

PREFIX: Final = "/payments-gateway/api"
