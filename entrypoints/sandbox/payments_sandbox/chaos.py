"""Deliberate faults: in calls, in events, in their delivery.

Rule 1: seeded. The same seed and the same calls give the same faults.
Rule 2: by rate, for a run; or planned, for the next matching call or event.
Rule 3: chaos never changes state: the world behind it behaves as Stripe does.
"""

import random
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

import attrs


class Fault(StrEnum):
    """Everything that chaos can do; the value is its name on the command line."""

    # Calls.
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_RETRY_AFTER = "rate_limited_retry_after"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    SLOW = "slow"
    RESET = "reset"
    OVERTAKE = "overtake"
    # Events, when they are created.
    TWIN = "twin"
    NEVER_MADE = "never_made"
    # Deliveries of an event.
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DELAY = "delay"
    DROP = "drop"
    OTHER_GENERATION = "other_generation"


CALL_FAULTS: Final = (
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_RETRY_AFTER,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.SLOW,
    Fault.RESET,
    Fault.OVERTAKE,
)
EVENT_FAULTS: Final = (Fault.TWIN, Fault.NEVER_MADE)
DELIVERY_FAULTS: Final = (
    Fault.DUPLICATE,
    Fault.REORDER,
    Fault.DELAY,
    Fault.DROP,
    Fault.OTHER_GENERATION,
)
PLANS_MAX: Final = 1_000


@attrs.define
class Plan:
    """A fault for the next `times` matches, after `skip` of them.

    `matches` is a pattern with `*`: for a call on "POST /v1/subscriptions", for an
    event and its deliveries on the type ("invoice.*").
    """

    fault: Fault
    matches: str = "*"
    times: int = 1
    skip: int = 0


@attrs.define
class Chaos:
    """Decides, seeded, which faults occur; at first none do."""

    seed: int
    rates: dict[Fault, float] = attrs.field(factory=dict)
    plans: list[Plan] = attrs.field(factory=list)
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reseed(self.seed)

    def reseed(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(f"{seed}:chaos")  # noqa: S311  # a seed's

    def calm(self) -> None:
        """Stop all faults."""
        self.rates.clear()
        self.plans.clear()

    def set_rates(self, rates: Mapping[Fault, float]) -> None:
        """Set how often each fault happens, 0 to 1; 0 removes it.

        Raises:
            ValueError: a rate is not in 0..1.
        """
        for fault, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{fault}: not in 0..1")
        self.rates.update(rates)
        self.rates = {fault: rate for fault, rate in self.rates.items() if rate}

    def plan(self, plan: Plan) -> None:
        """Plan a fault.

        Raises:
            ValueError: too many are planned.
        """
        if len(self.plans) >= PLANS_MAX:
            raise ValueError(f"more than {PLANS_MAX} planned faults")
        self.plans.append(plan)

    def state(self) -> Mapping[str, object]:
        """Return the settings, in JSON types."""
        rates = {fault.value: rate for fault, rate in self.rates.items()}
        return {"seed": self.seed, "rates": rates, "planned": len(self.plans)}

    def for_call(self, method: str, path: str) -> Fault | None:
        """Return the one fault of a call, if any."""
        return next(iter(self._met(CALL_FAULTS, f"{method} {path}")), None)

    def for_event(self, type_: str) -> frozenset[Fault]:
        return frozenset(self._met(EVENT_FAULTS, type_))

    def for_delivery(self, type_: str) -> frozenset[Fault]:
        return frozenset(self._met(DELIVERY_FAULTS, type_))

    def within(self, most: int) -> int:
        """Return a random number in 1..most."""
        return self._random.randint(1, most)

    def _met(self, faults: tuple[Fault, ...], what: str) -> list[Fault]:
        planned = [fault for fault in faults if self._is_planned(fault, what)]
        if not self.rates:
            return planned
        drawn = [
            fault
            for fault in faults
            if fault in self.rates and self._random.random() < self.rates[fault]
        ]
        return planned + drawn

    def _is_planned(self, fault: Fault, what: str) -> bool:
        for plan in self.plans:
            if plan.fault is fault and fnmatchcase(what, plan.matches):
                if plan.skip:
                    plan.skip -= 1
                    return False
                plan.times -= 1
                if plan.times < 1:
                    self.plans.remove(plan)
                return True
        return False
