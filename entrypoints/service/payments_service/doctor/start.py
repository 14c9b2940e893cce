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
    "correct it (see docs/settings.md), then check: `payments config check`"
)
_GIVE_KEY: Final = (
    "give every process the PAYMENTS_ERASURE_KEY of the first erasure: without it no "
    "webhook is recorded, and no process starts"
)
_UPGRADE: Final = "`payments db upgrade`"
_RESTORE: Final = (
    "restore the database, or set PAYMENTS_DATABASE_URL to a database of this "
    "service; if its tables are known to be complete, store their revision "
    '({head} is this release\'s): `psql "$PAYMENTS_DATABASE_URL" '
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
    return settings, [ok(SETTINGS, f"all are valid; {settings.env}")]


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
                    f"it does not answer, or refuses the connection: {_reason(error)}",
                    "check that PAYMENTS_DATABASE_URL names a running server, and a "
                    "valid user, password and database: "
                    '`psql "$PAYMENTS_DATABASE_URL" -c "select 1"` must succeed',
                )
            ]
        return [ok(DATABASE, "it answers")]

    async def writable() -> CheckResults:
        await store.ping()
        if not store.writability.is_lost:
            return [ok(WRITES, "the database accepts writes")]
        return [
            wrong(
                WRITES,
                "the database accepts no writes: a standby, or set to read-only",
                "wait for a failover to end; check that PAYMENTS_DATABASE_URL names "
                "the primary, and that it is not set to read-only: "
                '`psql "$PAYMENTS_DATABASE_URL" -c "show transaction_read_only"` must '
                "show off",
            )
        ]

    async def current() -> CheckResults:
        return [_of_revision(await schema.current(url))]

    async def mode() -> CheckResults:
        stamped = await read_livemode(store)
        if stamped is None:
            return [ok(MODE, "the database has no mode yet: the first start sets it")]
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
        return [ok(MODE, f"the database and the settings are both of {theirs}")]

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
            text = f"the schema is at {revision}, this release needs {schema.head()}"
            return wrong(SCHEMA, text, _UPGRADE)
        case SchemaState.UNKNOWN:
            text = f"the schema is at {revision!r}, a revision that no release has"
            return wrong(SCHEMA, text, _RESTORE.format(head=schema.head()))
        case SchemaState.LATER:
            return ok(SCHEMA, f"{revision}, of a later release")
        case SchemaState.CURRENT:
            return ok(SCHEMA, f"{revision}")


def erasure_key_check(store: PostgresStore, settings: Settings | None) -> Check:
    """Return the check that the key is the one of the erasures, if there are any."""
    if settings is None:
        return Check(ERASURE_KEY, _no_settings)
    return Check(ERASURE_KEY, partial(_erasure_key, store, settings.tombstones))


async def _no_settings() -> CheckResults:
    return [Check(ERASURE_KEY, _no_settings).unknown("the settings are invalid")]


async def _erasure_key(
    store: PostgresStore, tombstones: Tombstones | None
) -> CheckResults:
    if not await is_erasure_key(store, tombstones):
        text = "it is not the key that users were erased with"
        if tombstones is None:
            text = "users were erased from this database, and no key is set"
        return [wrong(ERASURE_KEY, text, _GIVE_KEY)]
    if tombstones is None:
        return [ok(ERASURE_KEY, "no key is set, and no user was erased")]
    return [ok(ERASURE_KEY, "a key is set, and no erasure used another one")]
