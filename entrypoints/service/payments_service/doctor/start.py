"""What a process needs to start: settings, the database, its schema and its mode.

Stripe is not called: the mode of the key is known from its prefix.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from payments_adapters.postgres import schema
from payments_adapters.postgres.deployment_mode import read_livemode
from payments_adapters.postgres.erasures import is_erasure_key
from payments_adapters.postgres.schema import SchemaState
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import StoreUnavailable
from payments_core.tombstones import Tombstones
from payments_service.doctor.checks import Check, CheckResult, CheckResults, ok, wrong
from payments_service.settings import Settings, SettingsError
from payments_service.trace_settings import require_traceable

SETTINGS: Final = "settings"
DATABASE: Final = "database"
WRITES: Final = "writes"
SCHEMA: Final = "schema"
MODE: Final = "mode"
ERASURE_KEY: Final = "erasure key"
_SET_RIGHT: Final = (
    "set it right, as docs/settings.md says, and see: `payments config check`"
)
_GIVE_KEY: Final = (
    "give every process the PAYMENTS_ERASURE_KEY of the first erasure: without it no "
    "webhook is recorded, and no process starts"
)
_UPGRADE: Final = "`payments db upgrade`"
_RESTORE: Final = (
    "restore the database, or name one that is this service's in "
    "PAYMENTS_DATABASE_URL; if its tables are known to be whole, write the revision "
    'that they are of ({head} is this release\'s): `psql "$PAYMENTS_DATABASE_URL" '
    "-c \"delete from alembic_version; insert into alembic_version values ('{head}')\"`"
)


def check_settings(
    env: Mapping[str, str], is_option: Callable[[str], bool], *, serves: bool = True
) -> tuple[Settings | None, CheckResults]:
    """Return the settings, None if they are invalid, and the fault of each."""
    settings = None
    try:
        settings = Settings.from_env(env, is_option, serves=serves)
        require_traceable(settings, env)
    except SettingsError as error:
        return settings, [
            wrong(SETTINGS, f"{name}: {reason}", _SET_RIGHT)
            for name, reason in error.problems.items()
        ]
    return settings, [ok(SETTINGS, f"all can be used; {settings.env}")]


def database_checks(
    url: str, store: PostgresStore, *, livemode: bool | None, writes: bool
) -> tuple[Check, Sequence[Check]]:
    """Return the check that a database answers, and the checks of its content.

    `livemode` is None if no mode is set. A process starts without `writes`, and waits.
    """

    async def reached() -> CheckResults:
        try:
            await store.ping()
        except StoreUnavailable as error:
            return [
                wrong(
                    DATABASE,
                    f"it does not answer, or does not let us in: {_reason(error)}",
                    "see that PAYMENTS_DATABASE_URL names a server that runs, and a "
                    "user, a password and a database that it knows: "
                    '`psql "$PAYMENTS_DATABASE_URL" -c "select 1"` has to work',
                )
            ]
        return [ok(DATABASE, "it answers")]

    async def writable() -> CheckResults:
        await store.ping()
        if not store.writability.is_lost:
            return [ok(WRITES, "the database takes them")]
        return [
            wrong(
                WRITES,
                "the database takes none: a standby, or set to only read",
                "wait for a failover to end; see that PAYMENTS_DATABASE_URL names the "
                "primary, and that it is not set to only read: "
                '`psql "$PAYMENTS_DATABASE_URL" -c "show transaction_read_only"` has '
                "to be off",
            )
        ]

    async def current() -> CheckResults:
        return [_of_revision(await schema.current(url))]

    async def mode() -> CheckResults:
        stamped = await read_livemode(store)
        if stamped is None:
            return [ok(MODE, "the database has none yet: the first start stamps it")]
        theirs = "production" if stamped else "development"
        if livemode is None:
            return [Check(MODE, mode).unknown("PAYMENTS_ENV is not set")]
        if stamped is not livemode:
            return [
                wrong(
                    MODE,
                    f"this database belongs to {theirs}",
                    "PAYMENTS_DATABASE_URL or PAYMENTS_ENV is another deployment's",
                )
            ]
        return [ok(MODE, f"the database is of {theirs}, as the settings are")]

    more = [Check(WRITES, writable)] if writes else []
    others = [Check(SCHEMA, current), Check(MODE, mode), *more]
    return Check(DATABASE, reached), others


def _reason(error: StoreUnavailable) -> str:
    """Return the message of the server or the system; neither has a password."""
    cause = error.__cause__
    return " ".join(f"{cause or ''}".split()) or "no answer in time"


def _of_revision(revision: str | None) -> CheckResult:
    match schema.state_of(revision):
        case SchemaState.EMPTY:
            return wrong(SCHEMA, "the database is empty", _UPGRADE)
        case SchemaState.BEHIND:
            text = f"it is at {revision}, this release needs {schema.head()}"
            return wrong(SCHEMA, text, _UPGRADE)
        case SchemaState.UNKNOWN:
            text = f"it is at {revision!r}, a revision that no release has"
            return wrong(SCHEMA, text, _RESTORE.format(head=schema.head()))
        case SchemaState.LATER:
            return ok(SCHEMA, f"{revision}, of a later release")
        case SchemaState.CURRENT:
            return ok(SCHEMA, f"{revision}")


def erasure_key_check(store: PostgresStore, settings: Settings | None) -> Check:
    """Return the check that the key is that of the erasures, if there are any."""
    if settings is None:
        return Check(ERASURE_KEY, _no_settings)
    return Check(ERASURE_KEY, partial(_erasure_key, store, settings.tombstones))


async def _no_settings() -> CheckResults:
    return [Check(ERASURE_KEY, _no_settings).unknown("the settings cannot be used")]


async def _erasure_key(
    store: PostgresStore, tombstones: Tombstones | None
) -> CheckResults:
    if not await is_erasure_key(store, tombstones):
        text = "it is not the one that users were erased with"
        if tombstones is None:
            text = "users were erased from this database, and none is set"
        return [wrong(ERASURE_KEY, text, _GIVE_KEY)]
    if tombstones is None:
        return [ok(ERASURE_KEY, "none is set, and nobody was erased")]
    return [ok(ERASURE_KEY, "one is set, and no erasure is by another one")]
