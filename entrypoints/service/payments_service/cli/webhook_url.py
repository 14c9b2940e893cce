"""The URL that Stripe sends events to, from the service address that a person types."""

from urllib.parse import urlsplit

from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.endpoint_roles import WEBHOOK_PATH


def webhook_url(base: str, *, livemode: bool = False) -> str:
    """Return the URL that Stripe sends events to.

    Raises:
        CommandError: it is not the address of a service, or not https in live mode.
    """
    if not _is_address(base):
        raise CommandError(
            Exit.USAGE, "--url: not an address such as https://pay.example.com"
        )
    if livemode and not base.startswith("https:"):
        raise CommandError(Exit.USAGE, "--url: in live mode Stripe accepts https only")
    base = base.rstrip("/").removesuffix(WEBHOOK_PATH)
    if "/payments-gateway" in urlsplit(base).path:
        raise CommandError(Exit.USAGE, f"--url: omit {WEBHOOK_PATH}")
    return base + WEBHOOK_PATH


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # `port` raises if it is not a number.
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set("@?# ") & set(text)
    return is_host and plain and text.startswith(("http://", "https://"))
