"""What a user has access to: products and features, until when, and why."""

import json
from collections.abc import Iterator

import click
import msgspec

from payments_core.use_cases import ReadAccess
from payments_service.cli import environment, filters
from payments_service.presentation.access import (
    FeatureAccessOut,
    FeatureItemOut,
    ProductAccessOut,
    UserAccessOut,
)
from payments_service.presentation.arguments import user_named
from payments_service.presentation.moments import moment_text
from payments_service.presentation.schemas import BecauseOut

_Item = ProductAccessOut | FeatureItemOut | FeatureAccessOut


@click.command()
@click.argument("user", help="The user's id or e-mail.")
@click.option("--feature", metavar="NAME", help="Only access to this feature.")
@filters.JSON
def access(*, user: str, feature: str | None, as_json: bool) -> None:
    """Show what a user has access to, until when, and why.

    Access is listed by product and by feature of the catalogue. Without a catalogue
    every product is a feature.
    """

    async def work() -> UserAccessOut | FeatureAccessOut:
        named, caller = user_named(user), environment.operator()
        async with environment.opened() as container:
            it = container[ReadAccess]
            if feature is None:
                return UserAccessOut.of(await it(named, caller=caller))
            of_user, to = await it.to_feature(named, feature, caller=caller)
            return FeatureAccessOut.of_user(of_user.user_id, feature, to)

    found = environment.run(work())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: UserAccessOut | FeatureAccessOut) -> Iterator[str]:
    if isinstance(found, FeatureAccessOut):
        yield _line(found.feature, found)
        return
    yield f"{click.style(found.user_id, bold=True)}: catalogue {found.catalogue}"
    yield "products:"
    yield from (f"  {_line(it.product, it)}" for it in found.products)
    yield "features:"
    yield from (f"  {_line(it.feature, it)}" for it in found.features)


def _line(name: str, it: _Item) -> str:
    word = click.style("yes" if it.granted else "no", fg=_COLOURS[it.granted])
    words = [f"{name}: {word}"]
    if it.until is not None:
        until = moment_text(it.until.replace(microsecond=0))
        words.append(f"{'until' if it.granted else 'since'} {until}")
    if isinstance(it, FeatureItemOut | FeatureAccessOut) and it.product:
        words.append(f"by {it.product}")
    if it.because is not None:
        words.append(f"({_told(it.because)})")
    return " ".join(words)


_COLOURS = {True: "green", False: "red"}


def _told(because: BecauseOut) -> str:
    kind = because.kind.replace("_", " ")
    return f"{kind} {because.id}" if because.id else kind
