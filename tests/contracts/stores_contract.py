"""What the stores promise together. Subclass, give `stores` over an empty one, run."""

from contracts.directories import DirectoriesContract
from contracts.event_log import EventLogContract
from contracts.ledger_guards import LedgerGuardsContract
from contracts.ledger_jobs import LedgerJobsContract
from contracts.ledger_links import LedgerLinksContract
from contracts.ledger_loads import LedgerLoadsContract
from contracts.ledger_races import LedgerRacesContract
from contracts.ledger_values import LedgerValuesContract
from contracts.work_queue import WorkQueueContract


class StoresContract(
    LedgerValuesContract,
    LedgerLoadsContract,
    LedgerGuardsContract,
    LedgerLinksContract,
    LedgerJobsContract,
    LedgerRacesContract,
    WorkQueueContract,
    DirectoriesContract,
    EventLogContract,
):
    """Every promise of `Ledger`, `WorkQueue`, `EventLog` and the directories."""
