"""Roll a secret: add a second endpoint, run both for a while, then the second alone.

Rule 1: during the overlap two endpoints send the same events. Events are identified by
        their ids, so the second copy is a duplicate.
Rule 2: no delivery is refused: the new endpoint is enabled after every process has its
        secret, and the old one is disabled while every process still has its own.
"""

from datetime import timedelta

from payments_adapters.stripe.endpoint import EVENT_TYPES, Endpoint, EndpointChange
from payments_service.cli.secret_file import SecretFile
from payments_service.cli.stripe_endpoints import AT_IT, SETTING, EndpointRun, refused
from payments_service.endpoint_roles import Role, knows_secret, marked, since_of


async def begin_roll(run: EndpointRun, file: SecretFile) -> None:
    """Create a second endpoint, which waits, and write its secret to the file.

    Raises:
        CommandError: there is no endpoint to replace, or this is not possible.
    """
    here = await run.look()
    in_use, waiting = here.with_role(Role.IN_USE), here.with_role(Role.WAITING)
    if not in_use:
        setup = run.command("setup", "--secret-file", str(file.path))
        raise refused(f"no endpoint sends to {run.url}: {setup}")
    if len(in_use) > 1:
        raise refused(
            f"{in_use[0].id} is being replaced by {in_use[-1].id} already: "
            + run.command("roll-secret", "--finish")
        )
    for it in waiting:
        if knows_secret(it, file.secrets()):
            run.endpoint_id, run.next = it.id, _enable_next(run, file)
            run.secret_in_file = True
            return
    for it in waiting:
        _require_abandoned(run, it, file)
    # These endpoints have not sent anything yet.
    for it in waiting:
        await run.delete(it, "it waits, and its secret is not here")
    for it in here.with_role(Role.REPLACED):
        await run.delete(it, "it was replaced")
    made = await run.made(here, file)
    if made is None:
        return
    run.endpoint_id = made.id
    to = EndpointChange(types=EVENT_TYPES, marks=marked(made, Role.WAITING, run.at))
    await run.asking(run.admin.change_endpoint(made, to))
    run.secret_in_file = True
    run.next = _enable_next(run, file)


async def enable_roll(run: EndpointRun, *, forced: bool) -> None:
    """Let the second endpoint send in parallel with the first: the overlap starts.

    Raises:
        CommandError: no endpoint waits, or the settings here lack its secret.
    """
    here = await run.look()
    waiting, in_use = here.with_role(Role.WAITING), here.with_role(Role.IN_USE)
    finish = run.command("roll-secret", "--finish")
    if not waiting and len(in_use) > 1:
        # It was disabled by hand, or never enabled: the overlap starts again.
        waiting = [it for it in in_use[1:] if not it.is_enabled]
        if not waiting:
            run.endpoint_id, run.next = in_use[-1].id, f"it is enabled: {finish}"
            return
    if not waiting:
        begin = run.command("roll-secret", "--secret-file", "new-secret")
        raise refused(f"no endpoint waits: {begin} creates one")
    new = waiting[-1]
    _require_secret(run, new, forced=forced)
    to = EndpointChange(
        types=EVENT_TYPES,
        is_enabled=True,
        marks=marked(new, Role.IN_USE, run.at),
    )
    await run.change(new, to, "enable it, in parallel with the one that it replaces")
    run.endpoint_id = new.id
    run.next = f"after the overlap: {finish}"


async def finish_roll(run: EndpointRun, overlap: timedelta, *, forced: bool) -> None:
    """Disable what the second endpoint replaces.

    Raises:
        CommandError: nothing is replaced, the overlap is not over, or the settings
            here lack the secret.
    """
    here = await run.look()
    in_use = here.with_role(Role.IN_USE)
    if len(in_use) == 1 and here.with_role(Role.REPLACED):
        run.endpoint_id, run.next = in_use[0].id, _drop_old()
        return
    if len(in_use) < 2:  # noqa: PLR2004  # one, and the one that it replaces
        raise refused("no endpoint replaces another one")
    *old, new = in_use
    since = since_of(new, run.at)
    over_at = since + overlap
    if run.at < over_at and not forced:
        raise refused(
            f"{new.id} has been sending since {since:%Y-%m-%dT%H:%M:%SZ}: the overlap "
            f"ends at {over_at:%Y-%m-%dT%H:%M:%SZ} (--force does not wait)"
        )
    _require_secret(run, new, forced=forced)
    if not new.is_enabled:
        enable = run.command("roll-secret", "--enable")
        raise refused(f"{new.id} is disabled: {enable} enables it")
    for it in old:
        to = EndpointChange(is_enabled=False, marks=marked(it, Role.REPLACED, run.at))
        await run.change(it, to, f"disable it: {new.id} replaces it")
    run.endpoint_id, run.next = new.id, _drop_old()


def _require_abandoned(run: EndpointRun, it: Endpoint, file: SecretFile) -> None:
    """Refuse to delete an endpoint that waits, if its secret may be in use."""
    why = None
    if file.secrets():
        why = (
            f"{file.path} does not have its secret: name the file that has it, or a "
            "file that does not exist"
        )
    elif knows_secret(it, run.secrets):
        enable = run.command("roll-secret", "--enable")
        why = f"the settings here have its secret: {enable}"
    elif run.at - it.made_at < AT_IT:
        why = (
            "it was created less than two minutes ago: name the file that has its "
            "secret, or run this again then"
        )
    if why is not None:
        raise refused(f"{it.id} waits to be enabled, and {why}")


def _require_secret(run: EndpointRun, new: Endpoint, *, forced: bool) -> None:
    if forced or knows_secret(new, run.secrets) is not False:
        return
    raise refused(
        f"PAYMENTS_STRIPE_WEBHOOK_SECRETS here lacks the secret of {new.id}: "
        f"{SETTING}, next to the old one, and run this with the same settings "
        "(--force skips this check)"
    )


def _enable_next(run: EndpointRun, file: SecretFile) -> str:
    enable = run.command("roll-secret", "--enable")
    return (
        f"{file.path} has the new secret: {SETTING}, next to the old one; then {enable}"
    )


def _drop_old() -> str:
    return "remove the old secret from PAYMENTS_STRIPE_WEBHOOK_SECRETS and restart"
