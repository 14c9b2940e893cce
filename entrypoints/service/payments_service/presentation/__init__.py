"""What HTTP and the command line both read and show; neither imports the other."""

from typing import Final

# Where the API's routes begin, for those who serve it and those who call it.
PREFIX: Final = "/payments-gateway/api"
