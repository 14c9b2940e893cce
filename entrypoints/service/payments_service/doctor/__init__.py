"""What is wrong with this deployment, and what to do about it: `payments doctor`."""

from payments_service.doctor.deployment import Deployment, check_all, check_start
from payments_service.doctor.findings import Finding, Status

__all__ = ["Deployment", "Finding", "Status", "check_all", "check_start"]
