"""A sandbox as a process: its journal, its clock, and its end."""

import asyncio
import json
import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from payments_sandbox import presets
from payments_sandbox.api_versions import generation_of
from payments_sandbox.app import SandboxApp
from payments_sandbox.cli.client import Target
from payments_sandbox.cli.errors import CommandError, Exit
from payments_sandbox.engine import Engine, Preset
from payments_sandbox.errors import ApiError
from payments_sandbox.journal import Entry, Journal, JournalError, Reset
from payments_sandbox.listeners import HOST, listen, url_of
from payments_sandbox.resources.endpoints import usable_url
from payments_sandbox.server import serve as serve_app

# An endpoint that does not answer delays none of these.
ENDPOINTS_AT_ONCE: Final = 8


def serve_here(
    target: Target,
    *,
    port: int,
    seed: int,
    start: str | None,
    frozen: bool,
    forward: str | None,
    secret: str | None,
    api_version: str | None,
    catalog: bool,
    journal: Path | None,
    clock_file: Path | None,
    after_retries: str,
    thin_events: bool,
    at_once: int,
    while_stdin_is_open: bool,
    as_json: bool,
) -> None:
    """Serve a sandbox on this machine, until a signal.

    Raises:
        CommandError: an option, the port or the journal cannot be used.
    """
    if api_version is not None:
        try:
            generation_of(api_version)
        except ApiError as error:
            raise CommandError(Exit.USAGE, f"--api-version: {error}") from error
    if forward is not None:
        try:
            usable_url(forward)
        except ApiError as error:
            raise CommandError(Exit.USAGE, f"--forward: {error}") from error
    secret = secret or f"whsec_{secrets.token_urlsafe(32)}"
    wanted: list[Preset] = [presets.catalog] if catalog else []
    if forward:
        wanted.append(presets.forwarding(forward, secret, api_version))
    begins = moment_of(start)
    engine = Engine(
        seed=seed,
        start=lambda: int(time.time()) if begins is None else begins,
        api_key=target.key,
        after_retries=after_retries,
        thin_events=thin_events,
        preset=presets.both(*wanted),
        preset_name=" ".join(
            option
            for option, given in (("--catalog", catalog), ("--forward", forward))
            if given
        ),
    )
    with bound(port) as listener:
        facts = {
            "sandbox_url": url_of(listener),
            "stripe_api_key": engine.api.api_key,
        }
        if forward:
            facts["webhook_secret"] = secret
        asyncio.run(
            run(
                SandboxApp.of(
                    engine, at_once=at_once, endpoints_at_once=ENDPOINTS_AT_ONCE
                ),
                listener,
                journal,
                clock_file,
                lambda: _say(facts, as_json=as_json),
                ticking=not frozen,
                ends_with_stdin=while_stdin_is_open,
            )
        )


def _say(facts: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo("the sandbox is up; Ctrl-C ends it\n")
    for name, value in facts.items():
        click.echo(f"  {name:<15} {value}")


def moment_of(text: str | None) -> int | None:
    """Parse a time; UTC by default.

    Raises:
        CommandError: it cannot be parsed.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(Exit.USAGE, "--start: not 2026-01-31T12:00:00Z") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def bound(port: int) -> socket.socket:
    """Bind the sandbox's listener.

    Raises:
        CommandError: the port is in use.
    """
    try:
        return listen(port)
    except OSError as error:
        raise CommandError(
            Exit.CONFIGURATION,
            f"--port: {HOST}:{port} cannot be bound: {error.strerror}",
        ) from error


async def run(
    app: SandboxApp,
    listener: socket.socket,
    journal: Path | None,
    clock_file: Path | None,
    on_started: Callable[[], None],
    *,
    ticking: bool,
    ends_with_stdin: bool,
) -> None:
    """Serve until SIGTERM, SIGINT or, if requested, the end of the parent process.

    Raises:
        CommandError: the journal, or the clock's file, cannot be used.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if ends_with_stdin:
        _on_stdin_closed(lambda: loop.call_soon_threadsafe(stop.set))
    kept = _kept(app.engine, journal) if journal else None
    try:
        if ticking:
            await _catch_up(app.engine, kept)
        if clock_file:
            _show_time(app.engine, clock_file)
        app.tell()
        await serve_app(app, listener, stop, on_started, ticking=ticking)
    finally:
        if kept:
            kept.close()


async def _catch_up(engine: Engine, kept: Journal | None) -> None:
    """Run what fell due while the sandbox was not running, as Stripe would have.

    It is delivered later: the waiting command need not wait for receivers.
    """

    def until(now: int) -> int:
        real = time.time()
        # Rounded up, because its time must never go back.
        missed = math.ceil(max(0.0, real - kept.written_at)) if kept else 0
        return max(now + missed, int(real))

    try:
        # The journal is written again: how much time was missed is no longer known.
        engine.note_time(await engine.advance(until))
    except Exception:
        # The time stays where it failed; the ticks try again.
        logging.getLogger(__name__).exception("the sandbox's time did not catch up")


def _show_time(engine: Engine, path: Path) -> None:
    """Write the engine's time to a file from now on: until it runs, that stands still.

    Raises:
        CommandError: the file cannot be written.
    """

    def write(now: int) -> None:
        draft = path.with_name(f"{path.name}.new")
        draft.touch(mode=0o600)
        draft.write_text(f"{now}\n")
        # A reader never sees a partly written file.
        draft.replace(path)

    try:
        write(engine.now)
    except OSError as error:
        raise CommandError(
            Exit.CONFIGURATION,
            f"--clock-file: {path} cannot be written: {error.strerror}",
        ) from error
    engine.show_time = write


def _on_stdin_closed(then: Callable[[], object]) -> None:
    """Call back when the parent process is gone, however it ended."""

    def wait() -> None:
        # Not `sys.stdin`: its lock, held here, is a fatal error of the interpreter when
        # this process ends by itself.
        while os.read(sys.stdin.fileno(), 1024):
            continue
        with suppress(RuntimeError):
            then()

    threading.Thread(target=wait, daemon=True).start()


def _require_preset(path: Path, entries: Sequence[Entry], name: str) -> None:
    """Refuse a journal that began with another preset: all ids would differ.

    Raises:
        CommandError: it did begin with another preset.
    """
    first = entries[0] if entries else None
    theirs = first.preset if isinstance(first, Reset) else None
    if theirs not in (None, name):
        raise CommandError(
            Exit.CONFIGURATION,
            f"--journal: {path} was begun with {theirs or 'no --catalog or --forward'}"
            ": serve it with the same, or remove it to begin anew",
        )


def _kept(engine: Engine, path: Path) -> Journal:
    try:
        journal = Journal(path)
        entries = journal.entries()
        _require_preset(path, entries, engine.preset_name)
        engine.replay(entries)
    except OSError as error:
        raise CommandError(
            Exit.CONFIGURATION, f"--journal: {path} cannot be used: {error.strerror}"
        ) from error
    except (JournalError, ApiError, KeyError, ValueError) as error:
        raise CommandError(
            Exit.CONFIGURATION,
            f"--journal: {path} was written by another version of the sandbox, or is "
            f"damaged ({error}); remove it to begin anew",
        ) from error
    if not entries:
        journal.note(engine.beginning)
    engine.record = journal.note
    return journal
