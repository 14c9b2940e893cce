"""HTTP to processes of this machine: no TLS, though every client prepares for it."""

from typing import Final

import httpx

# One context for all: reading the system's certificates takes 20 ms each time.
TLS: Final = httpx.create_ssl_context()
