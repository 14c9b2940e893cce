"""Changes as Standard Webhooks, to the delivery endpoints that are configured."""

from payments_adapters.webhooks_out.endpoints import DeliveryEndpoint, read_endpoints
from payments_adapters.webhooks_out.sender import WebhookSender

__all__ = ["DeliveryEndpoint", "WebhookSender", "read_endpoints"]
