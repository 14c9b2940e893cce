"""Make or mend the endpoint by which Stripe reaches this service.

Rule 1: what is to be known later is noted at Stripe (`endpoint_roles`), not here: any
        run, from anywhere, goes on where another one ended.
Rule 2: no endpoint is left whose secret nobody has, however a run ends.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import attrs

from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import (
    ENDPOINTS_MAX,
    EVENT_TYPES,
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EndpointMarks,
)
from payments_adapters.stripe.rights import RIGHTS
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayRefused,
    GatewayUnavailable,
)
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.secret_file import SecretFile
from payments_service.endpoint_roles import (
    DESCRIPTION,
    RARE_TYPES,
    EndpointsHere,
    Role,
    digest_of,
    knows_secret,
    marked,
)

_TOLD_ONCE: Final = (
    "Stripe tells a secret at the creation only: who has lost it rolls it "
    "(`payments stripe roll-secret`)"
)
_T = TypeVar("_T")


@attrs.define(kw_only=True)
class EndpointRun:
    """One run of a command; `did` says what it changed, or would change."""

    admin: StripeAdmin
    url: str
    is_thin: bool
    dry_run: bool
    # Those that the service's processes are started with, as far as is known here.
    secrets: Sequence[str]
    say: Callable[[str], None]
    did: list[str] = attrs.field(factory=list)
    next: str = ""
    endpoint_id: str | None = None
    _every: Sequence[Endpoint] = ()
    at: datetime = attrs.field(init=False)

    async def set_up(self, file: SecretFile) -> None:
        """Let one endpoint send what is followed; its new secret goes into the file.

        Raises:
            CommandError: it cannot be.
        """
        here = await self.look()
        self._refuse_other_kind()
        in_use = here.with_role(Role.IN_USE)
        if not in_use and (waiting := here.with_role(Role.WAITING)):
            self.endpoint_id = waiting[0].id
            self.next = (
                f"{waiting[0].id} waits to be enabled: "
                "`payments stripe roll-secret --enable`"
            )
            return
        for it in in_use:
            await self._update(it)
        if in_use:
            self.endpoint_id = in_use[-1].id
            self.next = _about_secret(in_use[-1], file)
            return
        made = await self.made(here, file)
        if made is None:
            return
        self.endpoint_id = made.id
        to = EndpointChange(
            types=EVENT_TYPES,
            is_enabled=True,
            marks=marked(made, Role.IN_USE, self.at),
        )
        await self.asking(self.admin.change_endpoint(made, to))
        self.next = f"give {file.path} to the service: {SETTING}"

    async def look(self) -> EndpointsHere:
        """Return the endpoints of this address; note Stripe's time."""
        found = await self.asking(self.admin.endpoints())
        self._every, self.at = found.it, found.at
        return EndpointsHere.of(found.it, self.url, is_thin=self.is_thin)

    def _refuse_other_kind(self) -> None:
        others = EndpointsHere.of(self._every, self.url, is_thin=not self.is_thin)
        for it in others.with_role(Role.IN_USE):
            if it.is_enabled:
                kind = "thin events" if it.is_thin else "snapshots"
                raise refused(
                    f"{it.id} sends {kind} to {self.url} already: delete or disable it "
                    "first, or every event comes twice"
                )

    async def made(self, here: EndpointsHere, file: SecretFile) -> Endpoint | None:
        """Return a new endpoint that sends nothing, whose secret is in the file.

        One that another run made is taken, if the file has its secret, else deleted.
        """
        for it in here.with_role(Role.MADE):
            if knows_secret(it, file.secrets()):
                self._note(f"go on with {it.id}, whose secret is in {file.path}")
                return None if self.dry_run else it
            await self.delete(it, "a run that broke off made it")
        what = "event destination" if self.is_thin else "webhook endpoint"
        version = "thin events" if self.is_thin else f"version {API_VERSION}"
        with file.reserved() as reserved:
            self._note(
                f"create a {what} to {self.url}: {len(EVENT_TYPES)} types, {version}"
            )
            self._note(f"write its secret to {file.path}")
            if self.dry_run:
                return None
            draft = EndpointDraft(
                url=self.url,
                is_thin=self.is_thin,
                types=RARE_TYPES,
                description=DESCRIPTION,
                marks=EndpointMarks(role=Role.MADE.value),
            )
            made = await self.asking(self.admin.create_endpoint(draft))
            marks = attrs.evolve(made.endpoint.marks, secret=digest_of(made.secret))
            quiet = EndpointChange(is_enabled=False, marks=marks)
            endpoint = await self.asking(
                self.admin.change_endpoint(made.endpoint, quiet)
            )
            try:
                reserved.write(made.secret)
            except OSError:
                # Nobody has its secret.
                await self.asking(self.admin.delete_endpoint(endpoint))
                raise
        return endpoint

    async def _update(self, it: Endpoint) -> None:
        texts, to = list[str](), EndpointChange()
        if it.types != EVENT_TYPES:
            more, less = sorted(EVENT_TYPES - it.types), sorted(it.types - EVENT_TYPES)
            texts += [f"add {', '.join(more)}"] if more else []
            texts += [f"drop {', '.join(less)}"] if less else []
            to = attrs.evolve(to, types=EVENT_TYPES)
        if it.description != DESCRIPTION:
            texts.append("describe it")
            to = attrs.evolve(to, description=DESCRIPTION)
        if not it.is_enabled:
            texts.append("enable it")
            to = attrs.evolve(to, is_enabled=True)
        if it.marks.role != Role.IN_USE:
            # Since when is not known, and may not be now: what replaces it is newer.
            marks = attrs.evolve(it.marks, role=Role.IN_USE.value)
            to = attrs.evolve(to, marks=marks)
            texts.append("note its role")
        if texts:
            await self.change(it, to, "; ".join(texts))
        if not it.is_thin and it.api_version != API_VERSION:
            self.say(
                f"{it.id} sends version {it.api_version or 'of the account'}, not "
                f"{API_VERSION}, and cannot be changed: `payments stripe roll-secret` "
                "makes another one"
            )

    async def change(self, it: Endpoint, to: EndpointChange, text: str) -> None:
        """Change an endpoint, unless this is a dry run."""
        self._note(f"{it.id}: {text}")
        if not self.dry_run:
            await self.asking(self.admin.change_endpoint(it, to))

    async def delete(self, it: Endpoint, why: str) -> None:
        """Delete an endpoint, unless this is a dry run."""
        self._note(f"delete {it.id}: {why}")
        if not self.dry_run:
            await self.asking(self.admin.delete_endpoint(it))
        self._every = [other for other in self._every if other.id != it.id]

    def _note(self, text: str) -> None:
        self.did.append(text)

    async def asking(self, answer: Awaitable[_T]) -> _T:
        """Wait for an answer of Stripe's; say what to do about a refusal.

        Raises:
            CommandError: it refused.
            GatewayUnavailable: it did not answer.
        """
        try:
            return await answer
        except GatewayMisconfigured as error:
            if not error.permission:
                raise CommandError(
                    Exit.CONFIGURATION,
                    "Stripe refuses PAYMENTS_STRIPE_API_KEY: set one that is valid",
                ) from error
            right = next(it for it in RIGHTS if it.of_setup)
            raise CommandError(
                Exit.CONFIGURATION,
                f'the key may not do this: it needs "{right.resource}": {right.level}',
            ) from error
        except GatewayRefused as error:
            raise refused(self._reason(error)) from error
        except GatewayUnavailable as error:
            raise CommandError(
                Exit.DEPENDENCY_DOWN, f"{error}; run it again: it goes on"
            ) from error

    def _reason(self, error: GatewayRefused) -> str:
        if error.field == "url":
            return (
                f"--url: Stripe does not take {self.url}: it has to be https in live "
                "mode, and to be reached from the internet"
            )
        if len(self._every) >= ENDPOINTS_MAX:
            return (
                f"the account has {len(self._every)} endpoints, and Stripe allows no "
                "more: delete one that nobody needs"
            )
        return f"Stripe refuses it: {error}"


SETTING: Final = (
    "put it into PAYMENTS_STRIPE_WEBHOOK_SECRETS of every process and restart them"
)


def refused(text: str) -> CommandError:
    return CommandError(Exit.REFUSED, text)


def _about_secret(it: Endpoint, file: SecretFile) -> str:
    if knows_secret(it, file.secrets()):
        return f"{file.path} has the secret of {it.id}"
    return f"the secret of {it.id} is not in {file.path}: {_TOLD_ONCE}"
