"""What is wrong with this deployment, and what to do about it: `payments doctor`."""

from payments_service.doctor.checks import CheckResult, Status
from payments_service.doctor.deployment import Deployment, check_all, check_start

__all__ = ["CheckResult", "Deployment", "Status", "check_all", "check_start"]
