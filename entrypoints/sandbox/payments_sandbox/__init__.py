"""A stateful fake Stripe: over HTTP, with a clock, signed webhooks and chaos.

For tests: `Sandbox` here, and the fixture in `payments_sandbox.plugin`.
"""

from payments_sandbox.chaos import Fault
from payments_sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox"]
