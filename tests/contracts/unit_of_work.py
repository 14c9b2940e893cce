"""What every unit of work promises. Subclass, give `open_unit_of_work`, and run."""

from contracts.intents_in_turn import IntentsInTurnContract
from contracts.intents_kept import IntentsKeptContract
from contracts.jobs_kept import JobsKeptContract
from contracts.jobs_settled import AskingForSilentContract
from contracts.keeping import KeepingContract
from contracts.looking_up import LookingUpContract
from contracts.subscriptions_found import SubscriptionsFoundContract
from contracts.subscriptions_in_turn import SubscriptionsInTurnContract
from contracts.subscriptions_kept import SubscriptionsKeptContract
from contracts.taking_turns import TakingTurnsContract


class UnitOfWorkContract(KeepingContract, LookingUpContract, TakingTurnsContract):
    """`open_unit_of_work` gives an `OpenUnitOfWork` over an empty store."""


class SubscriptionStoreContract(
    SubscriptionsKeptContract, SubscriptionsFoundContract, SubscriptionsInTurnContract
):
    """The same, of subscriptions and tickets."""


class IntentStoreContract(IntentsKeptContract, IntentsInTurnContract):
    """The same, of intents."""


class JobStoreContract(JobsKeptContract, AskingForSilentContract):
    """The same, of jobs."""
