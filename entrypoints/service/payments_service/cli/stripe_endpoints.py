"""Create or update the endpoint by which Stripe reaches this service.

Rule 1: the progress is stored at Stripe (`endpoint_roles`), not here: any run, from any
        machine, continues where another run ended.
Rule 2: no endpoint is left whose secret was not saved, however a run ends.
Rule 3: of two concurrent runs, the one whose endpoint was created first continues; the
        other deletes its own. An endpoint is fetched again before it is deleted.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
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
    address_of,
    digest_of,
    knows_secret,
    marked,
    role_of,
    shown_url,
    stripe_command,
)

# After this time the run that created an endpoint has completed or was interrupted.
AT_IT: Final = timedelta(minutes=2)
_T = TypeVar("_T")


@attrs.define(kw_only=True)
class EndpointRun:
    """One run of a command; `did` lists what it changed, or would change."""

    admin: StripeAdmin
    url: str
    is_thin: bool
    dry_run: bool
    # The secrets of the service's processes, as far as the settings here have them.
    secrets: Sequence[str]
    say: Callable[[str], None]
    did: list[str] = attrs.field(factory=list)
    next: str = ""
    endpoint_id: str | None = None
    # None means that it is not noted at Stripe, or was not checked.
    secret_in_file: bool | None = None
    _every: Sequence[Endpoint] = ()
    _sees_thin: bool = True
    at: datetime = attrs.field(init=False)

    async def set_up(self, file: SecretFile) -> None:
        """Make one endpoint send the followed types; write a new secret to the file.

        Raises:
            CommandError: this is not possible.
        """
        here = await self.look()
        self._refuse_other_kind()
        self._name_elsewhere()
        in_use = here.with_role(Role.IN_USE)
        if not in_use and (waiting := here.with_role(Role.WAITING)):
            self.endpoint_id = waiting[0].id
            enable = self.command("roll-secret", "--enable")
            self.next = f"{waiting[0].id} waits to be enabled: {enable}"
            return
        for number, it in enumerate(in_use):
            await self._update(it, is_second=number > 0)
        if in_use:
            self._look_for_secret(in_use, file)
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
        self.secret_in_file = True
        self.next = f"give {file.path} to the service: {SETTING}"

    async def look(self) -> EndpointsHere:
        """Return the endpoints of this address; note Stripe's time."""
        listing = self.admin.endpoints(needs_thin=self.is_thin)
        found = await self.asking(listing, level="read")
        self._every, self.at = found.it, found.at
        self._sees_thin = found.thin_refused is None
        return EndpointsHere.of(found.it, self.url, found.at, is_thin=self.is_thin)

    def command(self, name: str, *words: str) -> str:
        """Return a `payments stripe` command for the same endpoint, ready to paste."""
        return stripe_command(self.url, name, *words, is_thin=self.is_thin)

    def _refuse_other_kind(self) -> None:
        if not self._sees_thin:
            self.say(
                f"cannot check whether thin events are also sent to {self.url}: that "
                f'needs "{_RIGHT.resource}": read'
            )
        others = EndpointsHere.of(
            self._every, self.url, self.at, is_thin=not self.is_thin
        )
        for it in others.with_role(Role.IN_USE):
            if it.is_enabled:
                kind = "thin events" if it.is_thin else "snapshots"
                raise refused(
                    f"{it.id} already sends {kind} to {self.url}: delete or disable it "
                    "first, otherwise every event arrives twice"
                )

    def _name_elsewhere(self) -> None:
        address = address_of(self.url)
        for it in self._every:
            if it.marks.role is not None and address_of(it.url) != address:
                self.say(
                    f"{it.id} of ours sends to {shown_url(it.url)}: if the service "
                    "moved from there, disable it in Stripe's dashboard once events "
                    "arrive at the new address, and delete it a day later"
                )

    async def made(self, here: EndpointsHere, file: SecretFile) -> Endpoint | None:
        """Return a new endpoint that sends nothing, with its secret in the file.

        An endpoint that another run created is used if the file has its secret, and
        deleted otherwise.

        Raises:
            CommandError: the file cannot be written, or another run is in progress.
        """
        for it in here.with_role(Role.MADE):
            if knows_secret(it, file.secrets()):
                self._note(f"continue with {it.id}, whose secret is in {file.path}")
                return None if self.dry_run else it
        settled = {it.id for it in here.endpoints if role_of(it) is not Role.MADE}
        what = "an event destination" if self.is_thin else "a webhook endpoint"
        version = "thin events" if self.is_thin else f"version {API_VERSION}"
        creation = f"create {what} to {self.url}: {len(EVENT_TYPES)} types, {version}"
        writing = f"write its secret to {file.path}"
        with file.reserved() as reserved:
            await self._delete_broken_off()
            if rival := _rival(await self.look(), settled, None):
                raise refused(f"another run created {rival.id} meanwhile: run it again")
            if self.dry_run:
                self.did += [creation, writing]
                return None
            draft = EndpointDraft(
                url=self.url,
                is_thin=self.is_thin,
                types=RARE_TYPES,
                description=DESCRIPTION,
                marks=EndpointMarks(role=Role.MADE.value),
            )
            made = await self.asking(self.admin.create_endpoint(draft))
            self.did.append(creation)
            marks = attrs.evolve(made.endpoint.marks, secret=digest_of(made.secret))
            quiet = EndpointChange(is_enabled=False, marks=marks)
            endpoint = await self.asking(
                self.admin.change_endpoint(made.endpoint, quiet)
            )
            if rival := _rival(await self.look(), settled, endpoint.id):
                why = f"another run created {rival.id} at the same time"
                await self.delete(endpoint, why)
                raise refused(f"{why}: {endpoint.id} was deleted again")
            try:
                reserved.write(made.secret)
            except OSError:
                await self.delete(endpoint, "its secret could not be saved")
                raise
            self.did.append(writing)
        return endpoint

    async def _delete_broken_off(self) -> None:
        for it in (await self.look()).with_role(Role.MADE):
            if self.at - it.made_at < AT_IT:
                raise refused(
                    f"another run is in progress: {it.id} was created less than two "
                    "minutes ago; wait for it, or run this again then"
                )
            await self.delete(it, "an interrupted run created it")

    async def _update(self, it: Endpoint, *, is_second: bool) -> None:
        texts, to = list[str](), EndpointChange()
        if it.types != EVENT_TYPES:
            more, less = sorted(EVENT_TYPES - it.types), sorted(it.types - EVENT_TYPES)
            texts += [f"add {', '.join(more)}"] if more else []
            texts += [f"remove {', '.join(less)}"] if less else []
            to = attrs.evolve(to, types=EVENT_TYPES)
        if it.description != DESCRIPTION:
            texts.append("set its description")
            to = attrs.evolve(to, description=DESCRIPTION)
        if not it.is_enabled:
            texts.append("enable it")
            to = attrs.evolve(to, is_enabled=True)
        if it.marks.role != Role.IN_USE:
            # The time is not known and is not set to now: its replacement is newer.
            marks = attrs.evolve(it.marks, role=Role.IN_USE.value)
            to = attrs.evolve(to, marks=marks)
            texts.append("note its role")
        if is_second and not it.is_enabled:
            # The overlap starts now.
            marks = marked(it, Role.IN_USE, self.at)
            to = attrs.evolve(to, marks=marks)
        if texts:
            await self.change(it, to, "; ".join(texts))
        if not it.is_thin and it.api_version != API_VERSION:
            roll = self.command("roll-secret", "--secret-file", "new-secret")
            self.say(
                f"{it.id} sends version {it.api_version or 'of the account'}, not "
                f"{API_VERSION}, and cannot be changed: {roll} creates another one"
            )

    def _look_for_secret(self, in_use: Sequence[Endpoint], file: SecretFile) -> None:
        """Report whether the file has the secret of an endpoint in use."""
        secrets = file.secrets()
        known = [knows_secret(it, secrets) for it in in_use]
        it = in_use[known.index(True) if True in known else -1]
        self.endpoint_id = it.id
        self.secret_in_file = knows_secret(it, secrets) if secrets else False
        match self.secret_in_file:
            case True:
                self.next = f"{file.path} has the secret of {it.id}"
            case None:
                self.next = (
                    f"cannot check whether {file.path} has the secret of {it.id}: "
                    "that is not noted at Stripe"
                )
            case False:
                roll = self.command("roll-secret", "--secret-file", f"{file.path}.new")
                self.next = (
                    f"the secret of {it.id} is not in {file.path}: Stripe shows a "
                    "secret only at creation; name the file that has it, or roll it: "
                    f"{roll}"
                )

    async def change(self, it: Endpoint, to: EndpointChange, text: str) -> None:
        """Change an endpoint, unless this is a dry run."""
        if not self.dry_run:
            await self.asking(self.admin.change_endpoint(it, to))
        self._note(f"{it.id}: {text}")

    async def delete(self, it: Endpoint, why: str) -> None:
        """Delete an endpoint, unless this is a dry run.

        Raises:
            CommandError: its role has changed meanwhile.
        """
        here = await self.look()
        now = next((one for one in here.endpoints if one.id == it.id), None)
        if now is None:
            return
        if role_of(now) is not role_of(it) or now.is_enabled is not it.is_enabled:
            raise refused(f"another run is in progress: {it.id} is now {role_of(now)}")
        if not self.dry_run:
            await self.asking(self.admin.delete_endpoint(it))
        self._note(f"delete {it.id}: {why}")

    def _note(self, text: str) -> None:
        self.did.append(text)

    async def asking(self, answer: Awaitable[_T], *, level: str = "write") -> _T:
        """Wait for Stripe's answer; turn an error into what to do about it.

        Raises:
            CommandError: Stripe refused, or did not answer.
        """
        try:
            return await answer
        except GatewayMisconfigured as error:
            if not error.permission:
                raise CommandError(
                    Exit.CONFIGURATION,
                    "Stripe refuses PAYMENTS_STRIPE_API_KEY: set one that is valid",
                ) from error
            raise CommandError(
                Exit.CONFIGURATION,
                f'the key lacks a permission: it needs "{_RIGHT.resource}": {level}',
            ) from error
        except GatewayRefused as error:
            raise refused(self._reason(error)) from error
        except GatewayUnavailable as error:
            raise CommandError(
                Exit.DEPENDENCY_DOWN, f"{error}; run it again to continue"
            ) from error

    def _reason(self, error: GatewayRefused) -> str:
        if error.field == "url":
            return (
                f"--url: Stripe does not accept {self.url}: it must be https in live "
                "mode, and must be reachable from the internet"
            )
        if len(self._every) >= ENDPOINTS_MAX:
            return (
                f"the account has {len(self._every)} endpoints, and Stripe allows no "
                "more: delete one that is not needed"
            )
        return f"Stripe refuses it: {error}"


_RIGHT: Final = next(it for it in RIGHTS if it.of_setup)
SETTING: Final = (
    "put it into PAYMENTS_STRIPE_WEBHOOK_SECRETS of every process, or into the file of "
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS_FILE (one secret per line), and restart them"
)


def refused(text: str) -> CommandError:
    return CommandError(Exit.REFUSED, text)


def _rival(here: EndpointsHere, settled: set[str], own: str | None) -> Endpoint | None:
    """Return an endpoint that another run created meanwhile, ahead of ours."""
    is_before = True
    for it in here.endpoints:
        if it.id == own:
            is_before = False
        elif it.id not in settled and (is_before or role_of(it) is not Role.MADE):
            return it
    return None
