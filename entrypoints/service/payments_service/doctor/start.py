"""What a process needs to start: settings, the database, its schema and its mode.

None of it asks Stripe: that the key is of the right mode is seen by how it begins.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from payments_adapters.postgres import schema
from payments_adapters.postgres.deployment_mode import read_livemode
from payments_adapters.postgres.erasures import is_erasure_key
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import StoreUnavailable
from payments_core.tombstones import Tombstones
from payments_service.doctor.findings import Check, Findings, ok, wrong
from payments_service.settings import Settings, SettingsError

SETTINGS: Final = "settings"
DATABASE: Final = "database"
SCHEMA: Final = "schema"
MODE: Final = "mode"
ERASURE_KEY: Final = "erasure key"
_SETTINGS_PAGE: Final = "docs/settings.md says what each takes"
_GIVE_KEY: Final = (
    "give every process the PAYMENTS_ERASURE_KEY of the first erasure: without it no "
    "webhook is recorded, and no process starts"
)
_UPGRADE: Final = "payments db upgrade"


def check_settings(
    env: Mapping[str, str], is_option: Callable[[str], bool]
) -> tuple[Settings | None, Findings]:
    """Return the settings, or None and what is wrong with each."""
    try:
        settings = Settings.from_env(env, is_option)
    except SettingsError as error:
        return None, [
            wrong(SETTINGS, f"{name}: {reason}", f"set it right: {_SETTINGS_PAGE}")
            for name, reason in error.problems.items()
        ]
    return settings, [ok(SETTINGS, f"all can be used; {settings.env}")]


def database_checks(
    url: str, store: PostgresStore, *, livemode: bool | None
) -> tuple[Check, Sequence[Check]]:
    """Return what looks whether a database answers, and what looks into it.

    `livemode` is None if no mode is set.
    """

    async def reached() -> Findings:
        try:
            await store.ping()
        except StoreUnavailable:
            return [
                wrong(
                    DATABASE,
                    "it does not answer, or does not let us in",
                    "see that PAYMENTS_DATABASE_URL names a server that runs, and a "
                    "user, a password and a database that it knows",
                )
            ]
        return [ok(DATABASE, "it answers")]

    async def current() -> Findings:
        revision = await schema.current(url)
        if revision is None:
            return [wrong(SCHEMA, "the database is empty", _UPGRADE)]
        if schema.is_behind(revision):
            text = f"it is at {revision}, this release needs {schema.head()}"
            return [wrong(SCHEMA, text, _UPGRADE)]
        newer = "" if revision == schema.head() else ", of a later release"
        return [ok(SCHEMA, f"{revision}{newer}")]

    async def mode() -> Findings:
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

    return Check(DATABASE, reached), [Check(SCHEMA, current), Check(MODE, mode)]


def erasure_key_check(store: PostgresStore, settings: Settings) -> Check:
    """Return what looks whether the key is that of the erasures, if there are any."""
    return Check(ERASURE_KEY, partial(_erasure_key, store, settings.tombstones))


async def _erasure_key(store: PostgresStore, tombstones: Tombstones | None) -> Findings:
    if not await is_erasure_key(store, tombstones):
        text = "it is not the one that users were erased with"
        if tombstones is None:
            text = "users were erased from this database, and none is set"
        return [wrong(ERASURE_KEY, text, _GIVE_KEY)]
    if tombstones is None:
        return [ok(ERASURE_KEY, "none is set, and nobody was erased")]
    return [ok(ERASURE_KEY, "one is set, and no erasure is by another one")]
