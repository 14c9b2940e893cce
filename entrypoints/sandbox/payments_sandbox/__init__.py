"""A stateful fake Stripe: over HTTP, with a clock, signed webhooks and chaos.

For tests: `Sandbox` here, and the fixture in `payments_sandbox.plugin`.
"""

from typing import TYPE_CHECKING, Any

from payments_sandbox.chaos import Fault

if TYPE_CHECKING:
    from payments_sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox"]


def __getattr__(name: str) -> Any:
    # The server is most of the import, and a command for a running sandbox does not
    # need it.
    if name == "Sandbox":
        from payments_sandbox.server import Sandbox  # noqa: PLC0415  # as above

        return Sandbox
    raise AttributeError(name)
