"""The worker's jobs: what they do, by their kind, and the loop that runs them."""

from payments_core.jobs.drift_cause import DriftCause
from payments_core.jobs.purge import Purge, PurgeListener
from payments_core.jobs.reconcile import Finding, Reconcile
from payments_core.jobs.run_sweep import RunSweep, SweepStep
from payments_core.jobs.run_work import FailedWork, RunWork
from payments_core.jobs.sweep_nightly import SweepListener, SweepNightly

__all__ = [
    "DriftCause",
    "FailedWork",
    "Finding",
    "Purge",
    "PurgeListener",
    "Reconcile",
    "RunSweep",
    "RunWork",
    "SweepListener",
    "SweepNightly",
    "SweepStep",
]
