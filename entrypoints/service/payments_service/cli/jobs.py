"""The worker's jobs: list open ones, show one, retry one or many."""

import json
from datetime import datetime

import click

from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.use_cases import ListJobs, ReadJob, RetryJobs
from payments_service.cli import environment, filters
from payments_service.cli.batches import Batches
from payments_service.cli.table import show_table
from payments_service.presentation.arguments import decode_job_cursor, encode_cursor
from payments_service.presentation.moments import moment_text

_COLUMNS = ("id", "state", "due_at", "attempts", "user_id", "reason")
_EMPTY = {"user_id": "no account, or not known"}
_ID_HELP = "The job's id, as `jobs list` shows it."
_ID = click.argument("id_", metavar="ID", help=_ID_HELP)
_OPTIONS = "--failing, --kind, --since"
_JSON = filters.JSON
_KIND = click.option(
    "--kind", type=click.Choice([it.value for it in JobKind]), help="Only this kind."
)
# A job that is failing is due in the future.
_SINCE = filters.since("due")


@click.group()
def jobs() -> None:
    """List the worker's jobs, show one, retry one or many.

    A job that failed twelve times is `failing`: it is tried once a day, and at once
    when something requests it again.
    """


@jobs.command("list")
@click.option("--failing", is_flag=True, help="Only those that are failing.")
@_KIND
@_SINCE
@filters.limit(1_000)
@filters.CURSOR
@_JSON
def list_jobs(  # each an option, by name
    *,
    failing: bool,
    kind: str | None,
    since: datetime | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the jobs that are open, in the order in which they are due.

    DUE_AT and --since are real time, also if the clock of a sandbox was advanced.
    """
    place = decode_job_cursor(cursor)

    async def work() -> tuple[list[dict[str, object]], str | None]:
        async with environment.opened() as container:
            page = await container[ListJobs](
                failing=failing,
                kind=JobKind(kind) if kind else None,
                since=since,
                after=place,
                limit=limit,
                caller=environment.operator(),
            )
        after = page.after
        cursor = (after.due_at, after.key.id) if after else None
        return [_facts(it) for it in page.jobs], encode_cursor(cursor)

    rows, following = environment.run(work())
    if as_json:
        click.echo(json.dumps({"items": rows, "next_cursor": following}))
        return
    show_table(_COLUMNS, rows, nothing="no such job is open", empty=_EMPTY)
    if following:
        click.echo(f"more: --cursor {following}", err=True)


@jobs.command()
@_ID
@_JSON
def show(*, id_: str, as_json: bool) -> None:
    """Show a job, open or done."""

    async def work() -> Job:
        async with environment.opened() as container:
            read = container[ReadJob]
            return await read(JobKey.of_id(id_), caller=environment.operator())

    _show(environment.run(work()), as_json=as_json)


@jobs.command()
@click.argument("id_", metavar="[ID]", required=False, help=_ID_HELP)
@click.option("--failing", is_flag=True, help="Those that are failing.")
@_KIND
@_SINCE
@filters.BATCH_LIMIT
@filters.REASON_MAYBE
@filters.DRY_RUN
@_JSON
def retry(  # each an option, by name
    *,
    id_: str | None,
    failing: bool,
    kind: str | None,
    since: datetime | None,
    limit: int | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Retry a job, or all open jobs that match the filters.

    The job is due at once, with its quick attempts. A job that is done runs again; a
    job that a worker runs now runs once more after that.
    """
    filters.one_or_many(id_, failing, kind, since, names=_OPTIONS)
    if id_ is not None:
        _retry_one(JobKey.of_id(id_), reason, dry_run=dry_run, as_json=as_json)
        return
    asked = Batches(dry_run)

    async def work() -> None:
        async with environment.opened() as container:
            async for batch in container[RetryJobs](
                failing=failing,
                kind=JobKind(kind) if kind else None,
                since=since,
                limit=limit,
                reason=reason,
                dry_run=dry_run,
                caller=environment.operator(),
            ):
                asked.add(batch)

    asked.told_of(lambda: environment.run(work()), as_json=as_json)


def _retry_one(
    key: JobKey, reason: str | None, *, dry_run: bool, as_json: bool
) -> None:
    async def work() -> Job:
        caller = environment.operator()
        async with environment.opened() as container:
            if dry_run:
                return await container[ReadJob](key, caller=caller)
            return await container[RetryJobs].one(key, reason, caller=caller)

    job = environment.run(work())
    if dry_run and not as_json:
        click.echo(f"{job.key.id} would be due at once")
        return
    _show(job, as_json=as_json)


def _show(job: Job, *, as_json: bool) -> None:
    facts = _facts(job)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name}: {'-' if value is None else value}")


def _facts(job: Job) -> dict[str, object]:
    return {
        "id": job.key.id,
        "state": "failing" if job.is_failing else job.state.value,
        "due_at": moment_text(job.lease.due_at.replace(microsecond=0)),
        "attempts": job.lease.attempts,
        "requests": job.requests,
        "user_id": job.user_id,
        "reason": job.reason,
    }
