"""What every unit of work promises. Subclass, give `open_unit_of_work`, and run."""

from contracts.keeping import KeepingContract
from contracts.looking_up import LookingUpContract
from contracts.taking_turns import TakingTurnsContract


class UnitOfWorkContract(KeepingContract, LookingUpContract, TakingTurnsContract):
    """`open_unit_of_work` gives an `OpenUnitOfWork` over an empty store."""
