"""The worker's jobs: what they do, by their kind, and the loop that runs them."""

from payments_core.jobs.deliver_changes import DeliverChanges, DeliveryListener
from payments_core.jobs.drift_cause import DriftCause
from payments_core.jobs.drift_counts import DriftCounts
from payments_core.jobs.give_positions import GivePositions
from payments_core.jobs.import_customers import (
    ImportCustomers,
    ImportListener,
    ImportRow,
    RowResult,
    RowState,
)
from payments_core.jobs.log_accounts import LogAccounts
from payments_core.jobs.purge import Purge, PurgeListener
from payments_core.jobs.read_history import ReadHistory
from payments_core.jobs.reconcile import Finding, Reconcile
from payments_core.jobs.run_sweep import RunSweep, SweepStep
from payments_core.jobs.run_work import FailedWork, RunWork
from payments_core.jobs.sweep_nightly import SweepListener, SweepNightly
from payments_core.jobs.sync_user import SyncUser
from payments_core.use_cases.patience import Patience

__all__ = [
    "DeliverChanges",
    "DeliveryListener",
    "DriftCause",
    "DriftCounts",
    "FailedWork",
    "Finding",
    "GivePositions",
    "ImportCustomers",
    "ImportListener",
    "ImportRow",
    "LogAccounts",
    "Patience",
    "Purge",
    "PurgeListener",
    "ReadHistory",
    "Reconcile",
    "RowResult",
    "RowState",
    "RunSweep",
    "RunWork",
    "SweepListener",
    "SweepNightly",
    "SweepStep",
    "SyncUser",
]
