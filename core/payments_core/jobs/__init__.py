"""The worker's jobs: what they do, by their kind, and the loop that runs them."""

from payments_core.jobs.run_work import FailedWork, RunWork

__all__ = ["FailedWork", "RunWork"]
