"""The worker's jobs: list what is open, show one, ask for one again."""

import json
from datetime import UTC, datetime

import click

from payments_core.errors import InvalidValue
from payments_core.job import Job, JobKey
from payments_core.job_list import JobPlace
from payments_core.use_cases import ListJobs, ReadJob, RetryJob
from payments_service.cli import environment
from payments_service.cli.table import show_table
from payments_service.presentation.arguments import decode_cursor, encode_cursor
from payments_service.presentation.explanation import moment_text

_COLUMNS = ("id", "state", "due_at", "attempts", "user_id", "reason")
_EMPTY = {"user_id": "of no account, or not known"}
_ID = click.argument("id_", metavar="ID", help="The job's id, as `jobs list` shows it.")
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group()
def jobs() -> None:
    """List the worker's jobs, show one, ask for one again.

    A job that failed twelve times is `failing`: it is tried once a day, and at once
    when something asks for it again.
    """


@jobs.command("list")
@click.option("--failing", is_flag=True, help="Only those that are failing.")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many at most.",
)
@click.option("--cursor", help="Where the last page ended.")
@_JSON
def list_jobs(*, failing: bool, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the jobs that are open, the first due first."""
    place = _place(cursor)

    async def work() -> tuple[list[dict[str, object]], str | None]:
        async with environment.opened() as container:
            page = await container[ListJobs](
                failing=failing,
                after=place,
                limit=limit,
                caller=environment.operator(),
            )
        after = page.after
        cursor = (after.due_at.isoformat(), after.key.id) if after else None
        return [_facts(it) for it in page.jobs], encode_cursor(cursor)

    rows, following = environment.run(work())
    if as_json:
        click.echo(json.dumps({"items": rows, "next_cursor": following}))
        return
    show_table(_COLUMNS, rows, nothing="no such job is open", empty=_EMPTY)
    if following:
        click.echo(f"more: --cursor {following}", err=True)


def _place(cursor: str | None) -> JobPlace | None:
    after = decode_cursor(cursor)
    if after is None:
        return None
    try:
        due_at = datetime.fromisoformat(after[0]).astimezone(UTC)
        return JobPlace(due_at, JobKey.of_id(after[1]))
    except (InvalidValue, OverflowError, ValueError):
        raise InvalidValue("cursor", "not a cursor of ours") from None


@jobs.command()
@_ID
@_JSON
def show(*, id_: str, as_json: bool) -> None:
    """Show a job, also one that is done."""

    async def work() -> Job:
        async with environment.opened() as container:
            read = container[ReadJob]
            return await read(JobKey.of_id(id_), caller=environment.operator())

    _show(environment.run(work()), as_json=as_json)


@jobs.command()
@_ID
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@_JSON
def retry(*, id_: str, dry_run: bool, as_json: bool) -> None:
    """Ask for a job again: it is due at once, with its quick attempts."""

    async def work() -> Job:
        key, caller = JobKey.of_id(id_), environment.operator()
        async with environment.opened() as container:
            if dry_run:
                return await container[ReadJob](key, caller=caller)
            return await container[RetryJob](key, caller=caller)

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
