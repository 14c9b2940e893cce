"""Parsing and output that HTTP and the CLI share; neither of them imports the other."""

from typing import Final

# The prefix of the API's routes, for the server and for clients.
PREFIX: Final = "/payments-gateway/api"
