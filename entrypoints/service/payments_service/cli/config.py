"""The settings of the environment, and whether they are valid."""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs
import click

from payments_adapters.jwt.service_accounts import ServiceAccounts
from payments_core.catalogue import Catalogue
from payments_core.retention import Retention
from payments_service.cli import environment
from payments_service.lanes import InFlightLimits
from payments_service.rate_limits import RateLimits
from payments_service.settings import Settings
from payments_service.trace_settings import require_traceable

# The variables whose name ends with a unit, and that unit.
_DURATIONS: Final = {
    "jwt_max_age": ("jwt_max_age_s", timedelta(seconds=1)),
    "access_pass_lifetime": ("access_pass_lifetime_s", timedelta(seconds=1)),
    "kubernetes_max_age": ("kubernetes_max_age_s", timedelta(seconds=1)),
    "grace": ("grace_days", timedelta(days=1)),
}
# How the variables of these limits end.
_LIMITS: Final[Mapping[type, str]] = {
    InFlightLimits: "IN_FLIGHT_MAX",
    RateLimits: "PER_MINUTE",
}


@click.group()
def config() -> None:
    """Show the settings of the environment, and check whether they are valid."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(*, as_json: bool) -> None:
    """Print every setting; secrets only as "set" or "not set"."""
    shown = _shown(environment.settings())
    click.echo(
        json.dumps(shown)
        if as_json
        else "\n".join(f"{name} = {value}" for name, value in shown.items())
    )


@config.command()
def check() -> None:
    """Read every setting and wire the service, without starting it.

    If a variable is missing or wrong, it is named, and the exit code is 4.
    """
    settings = environment.settings()
    require_traceable(settings, os.environ)
    environment.wired(settings)
    click.echo("ok")


def _shown(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables; secrets are not shown."""
    shown = {}
    for field in attrs.fields(Settings):
        value = getattr(settings, field.name)
        if isinstance(value, Retention):
            for kept, days in attrs.asdict(value).items():
                name = f"PAYMENTS_KEEP_{kept.upper()}_DAYS"
                shown[name] = str(days.days if days else 0)
            continue
        if isinstance(value, InFlightLimits | RateLimits):
            unit_name = _LIMITS[type(value)]
            for limited, count in attrs.asdict(value).items():
                shown[f"PAYMENTS_{limited.upper()}_{unit_name}"] = str(count)
            continue
        if field.name == "catalogue":
            # Only the version; an empty value means no catalogue.
            is_set = isinstance(value, Catalogue)
            shown["PAYMENTS_CATALOGUE"] = f"version {value.version}" if is_set else ""
            continue
        if isinstance(value, ServiceAccounts):
            shown["PAYMENTS_KUBERNETES_SCOPES"] = value.text
            continue
        name, unit = _DURATIONS.get(field.name, (field.name, None))
        if not field.repr:
            value = "set" if value else "not set"
        if value is None:
            # An empty variable means the same.
            value = ""
        shown[f"PAYMENTS_{name.upper()}"] = str(value // unit if unit else value)
    return shown
