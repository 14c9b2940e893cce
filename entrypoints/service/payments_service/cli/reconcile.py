"""Compare what is stored with what Stripe has: report, and repair on request."""

import json
import shlex
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import attrs
import click

from payments_core.jobs import DriftCounts, Finding, RunSweep, SweepStep
from payments_core.jobs.drift_counts import note_reconciliation
from payments_core.jobs.run_sweep import COMPARED_FOR, SETTLE_S
from payments_core.object_lists import ObjectList
from payments_core.sweep import SweepPlace, SweepRange
from payments_core.use_cases import GetPaymentStatus
from payments_service.cli import environment
from payments_service.cli.exit_codes import Exit
from payments_service.cli.filters import MOMENT, SETTLE
from payments_service.cli.progress import SAID_EVERY_S, say_wait
from payments_service.cli.table import show_table
from payments_service.clocks import utc_now
from payments_service.presentation.arguments import user_named
from payments_service.presentation.moments import moment_text

# Findings beyond this number are counted, but not listed.
LISTED_MAX: Final = 10_000
# Stripe was founded in 2010, and does not accept times before 1970.
_FIRST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_COLUMNS: Final = ("kind", "subject", "user_id", "ours", "stripe", "cause", "repaired")
_EMPTY: Final = {
    "user_id": "no user, or not known",
    "ours": "not stored here",
    "stripe": "not at Stripe",
}


@attrs.define
class Report:
    """What was read and found so far."""

    read: Counter[str] = attrs.field(factory=Counter)
    suspects: int = 0
    counts: DriftCounts = attrs.field(factory=DriftCounts)
    findings: list[Finding] = attrs.field(factory=list)
    began: float = attrs.field(factory=time.monotonic)
    begun: bool = False
    complete: bool = False
    # None means all of one user.
    range_: SweepRange | None = None
    # The command that repairs what was compared.
    repairing: str = ""
    _said: float = 0.0

    @property
    def found(self) -> int:
        return self.counts.found.total()

    @property
    def left(self) -> int:
        return self.counts.left.total()

    def add(self, finding: Finding) -> None:
        if self.counts.add(finding) and len(self.findings) < LISTED_MAX:
            self.findings.append(finding)

    def step(self, list_: ObjectList, step: SweepStep) -> None:
        self.read[list_] += step.objects
        self.suspects += step.suspects
        is_over = step.place is None or step.place.list_ is not list_
        if is_over or time.monotonic() - self._said >= SAID_EVERY_S:
            self._said = time.monotonic()
            self._say(list_, step.place if not is_over else None)

    def _say(self, list_: ObjectList, place: SweepPlace | None) -> None:
        rate = sum(self.read.values()) / max(time.monotonic() - self.began, 0.001)
        so_far = (
            "all"
            if place is None or place.edge is None
            else (f"back to {place.edge:%Y-%m-%d}")
        )
        click.echo(
            f"{list_.value}: {self.read[list_]} read, {so_far}, "
            f"{rate:.0f} a second; {self.found} differ so far, in all lists",
            err=True,
        )

    @property
    def json(self) -> dict[str, object]:
        return {
            "complete": self.complete,
            "since": _whole(self.range_.since if self.range_ else None),
            "until": _whole(self.range_.until if self.range_ else None),
            "items": [facts_of(it) for it in self.findings],
            "read": {it.value: self.read[it] for it in ObjectList if it in self.read},
            "suspects": self.suspects,
            "found": self.found,
            "repaired": self.found - self.left,
        }


def _whole(moment: datetime | None) -> str | None:
    return moment_text(moment.replace(microsecond=0)) if moment else None


def facts_of(finding: Finding) -> dict[str, object]:
    drift = finding.drift
    return {
        "kind": drift.kind.value,
        "subject": drift.subject,
        "user_id": drift.user_id,
        "ours": drift.ours,
        "stripe": drift.theirs,
        "since": _whole(drift.since),
        "cause": finding.cause.value,
        "repaired": finding.repaired,
    }


@click.command()
@click.option("--user", "user", metavar="USER", help="Only this user: id or e-mail.")
@click.option(
    "--since",
    type=MOMENT,
    metavar="WHEN",
    help="Payments, invoices and refunds that were created since this day or time (ISO "
    f"8601, UTC); {COMPARED_FOR.days} days by default. All else is always compared.",
)
@click.option(
    "--apply",
    "repairs",
    is_flag=True,
    # A variable that is set once for all commands must not change anything.
    allow_from_autoenv=False,
    help="Repair what differs. Cannot be set by an environment variable.",
)
@click.option(
    "--settle",
    "settle_s",
    type=SETTLE,
    default=SETTLE_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait before differences are compared again and reported, because "
    "their events may be on the way.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def reconcile(
    *,
    user: str | None,
    since: datetime | None,
    repairs: bool,
    settle_s: float,
    as_json: bool,
) -> None:
    """Compare what is stored here with what Stripe has, in both directions.

    Nothing is repaired without --apply. If everything was compared, the number of
    differences is stored for `payments doctor`. Exit code 7: something still differs.
    docs/reconciliation.md explains the kinds and the causes.
    """
    report = Report(repairing=_repairing(user, since))

    async def work() -> None:
        async with environment.opened() as container:
            sweep = attrs.evolve(
                container[RunSweep],
                settle_s=settle_s,
                on_wait=say_wait,
                on_finding=report.add,
                on_settle=_say_settle,
            )
            if user is not None:
                status, caller = container[GetPaymentStatus], environment.operator()
                known = (await status(user_named(user), caller=caller)).account
                click.echo(f"comparing all of {known.user_id}", err=True)
                report.begun = True
                await sweep.user(known.user_id, repairs=repairs)
                report.complete = True
                return
            range_ = sweep.range_now(since)
            if since is not None and not _FIRST <= since < range_.until:
                raise click.UsageError(
                    f"--since: not between {_FIRST:%Y-%m-%d} and five minutes ago"
                )
            report.counts.since, report.begun = range_.since, True
            await _compare_all(sweep, range_, report, repairs=repairs)
            if since is None or range_.until - since >= COMPARED_FOR:
                # A run that compares less cannot replace the last full result.
                await note_reconciliation(
                    container.checkpoints,
                    report.counts,
                    until=range_.until,
                    now=utc_now(),
                )

    if user is not None and since is not None:
        raise click.UsageError("--since: not with --user, which compares everything")
    try:
        environment.run(work())
    except BaseException:
        # After Ctrl-C too: report first what was found and repaired until then.
        if report.found:
            _tell(report, repairs=repairs, as_json=as_json)
        if report.begun and not report.complete:
            click.echo("stopped before the end: not all was compared", err=True)
        raise
    _tell(report, repairs=repairs, as_json=as_json)
    if report.left:
        raise SystemExit(Exit.FOUND)


def _repairing(user: str | None, since: datetime | None) -> str:
    of_user = ["--user", user] if user is not None else []
    back_to = ["--since", moment_text(since)] if since is not None else []
    return shlex.join(["payments", "reconcile", *of_user, *back_to, "--apply"])


async def _compare_all(
    sweep: RunSweep, range_: SweepRange, report: Report, *, repairs: bool
) -> None:
    report.range_, place = range_, SweepPlace()
    async for step in sweep(range_, place, repairs=repairs):
        report.step(place.list_, step)
        place = step.place or place
    report.complete = True


def _say_settle(count: int, wait_s: float) -> None:
    click.echo(
        f"comparing again in {wait_s:.0f} s: {count} may differ, or their events are "
        "on the way",
        err=True,
    )


def _tell(report: Report, *, repairs: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.json))
    else:
        _show(report, repairs=repairs)


def _show(report: Report, *, repairs: bool) -> None:
    rows = [facts_of(it) for it in report.findings]
    if report.complete and report.range_ is not None:
        click.echo(
            f"compared what was created from {_whole(report.range_.since)} to "
            f"{_whole(report.range_.until)}, and all customers, subscriptions and "
            "disputes until then; events of newer objects may be on the way",
            err=True,
        )
    show_table(_COLUMNS, rows, nothing="nothing differs", empty=_EMPTY)
    if report.found > len(rows):
        click.echo(f"and {report.found - len(rows)} more", err=True)
    if report.found:
        click.echo(
            f"{report.found} differ, {report.found - report.left} repaired", err=True
        )
    for_a_person = report.counts.left_for_a_person_count
    if for_a_person:
        click.echo(f"{for_a_person} of them must be checked by a person", err=True)
    if report.left > for_a_person and not repairs:
        click.echo(f"to repair: {report.repairing}", err=True)
