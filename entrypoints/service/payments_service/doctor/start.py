"""What a process needs to start: settings, the database, its schema and its mode.

None of it asks Stripe: that the key is of the right mode is seen by how it begins.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from payments_adapters.postgres import schema
from payments_adapters.postgres.deployment_mode import read_livemode
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import StoreUnavailable
from payments_service.doctor.findings import Check, Findings, ok, wrong
from payments_service.settings import Settings, SettingsError

SETTINGS: Final = "settings"
DATABASE: Final = "database"
SCHEMA: Final = "schema"
MODE: Final = "mode"
_SETTINGS_PAGE: Final = "docs/settings.md says what each takes"
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
