"""What is wrong with this deployment, and what to do about it: `payments doctor`."""

from payments_service.doctor.examination import Examination, examine, examine_start
from payments_service.doctor.findings import Finding, Status

__all__ = ["Examination", "Finding", "Status", "examine", "examine_start"]
