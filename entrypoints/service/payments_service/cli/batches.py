"""What a batch has requested so far: its progress, and its result."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import click

from payments_core.errors import Rejected
from payments_core.events import EventKey
from payments_core.job_key import JobKey
from payments_service.cli.progress import SAID_EVERY_S, told_if_cut_off

# Jobs beyond this number are counted, but not listed.
LISTED_MAX: Final = 10_000


@attrs.define
class Batches:
    """The jobs that were requested, and those that could not be, with the reason."""

    dry_run: bool
    count: int = 0
    refused_count: int = 0
    complete: bool = False
    _jobs: list[str] = attrs.field(init=False, factory=list)
    _refused: list[dict[str, str]] = attrs.field(init=False, factory=list)
    _said: float = attrs.field(init=False, factory=time.monotonic)

    def add(
        self,
        jobs: Sequence[JobKey],
        refused: Sequence[tuple[EventKey, Rejected]] = (),
    ) -> None:
        """Add one batch that is saved; report progress at most every SAID_EVERY_S."""
        self.count += len(jobs)
        self.refused_count += len(refused)
        self._jobs += [it.id for it in jobs[: LISTED_MAX - len(self._jobs)]]
        self._refused += [
            {"id": key.id, "type": key.type, "reason": str(error)}
            for key, error in refused[: LISTED_MAX - len(self._refused)]
        ]
        if time.monotonic() - self._said >= SAID_EVERY_S:
            self._said = time.monotonic()
            click.echo(f"{self._summary} so far", err=True)

    @property
    def _summary(self) -> str:
        done = "would be requested" if self.dry_run else "requested"
        more = f", {self.refused_count} cannot be" if self.refused_count else ""
        return f"{self.count} {done}{more}"

    def told_of(self, work: Callable[[], None], *, as_json: bool) -> None:
        """Do the work, and print what it requested, also if it is interrupted."""

        def tell() -> None:
            # What was requested until then stays requested.
            if self.count or self.refused_count:
                self.tell(as_json=as_json)

        with told_if_cut_off(tell):
            work()
        self.complete = True
        self.tell(as_json=as_json)

    def tell(self, *, as_json: bool) -> None:
        """Print what was requested."""
        if as_json:
            shown = {
                "complete": self.complete,
                "asked_for": not self.dry_run,
                "count": self.count,
                "jobs": self._jobs,
                "refused_count": self.refused_count,
                "refused": self._refused,
            }
            click.echo(json.dumps(shown))
            return
        for job in self._jobs:
            click.echo(f"{job} {'would be' if self.dry_run else 'is'} due at once")
        for it in self._refused:
            click.echo(f"{it['type']}: {it['reason']}", err=True)
        click.echo(
            self._summary if self.complete else f"{self._summary}, then stopped",
            err=True,
        )
