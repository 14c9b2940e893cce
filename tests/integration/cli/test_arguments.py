"""What every command refuses: non-text, a foreign cursor, a number out of range."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click
import pytest

from payments_service.cli import main
from payments_service.cli.root import payments as root
from support import databases
from support.command_line import Answer, answer_of
from support.service import World

# The first is one byte of a command line, as Python represents it.
NO_TEXT: Final = {"not UTF-8": "\udcff", "NUL": "x\0y"}
FILES: Final = (click.Path, click.File)
HUGE: Final = str(2**63)
# More digits than Python parses.
ENDLESS: Final = "9" * 5_000


@pytest.fixture(scope="module")
def env(postgres: str, template: str) -> Iterator[Mapping[str, str]]:
    """A deployment with an empty database; Stripe does not answer."""
    with databases.copy_of(postgres, template) as url:
        yield {
            **World(url).env(0, 0),
            "PAYMENTS_STRIPE_API_BASE": "http://127.0.0.1:1",
            "PAYMENTS_STRIPE_API_KEY": "sk_test_" + "k" * 24,
        }


def commands(
    command: click.Command, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, *path, name)


def said(path: tuple[str, ...], command: click.Command, param: click.Parameter) -> str:
    """Return the name by which a message refers to a parameter."""
    return param.get_error_hint(click.Context(command, info_name=" ".join(path)))


def words(command: click.Command, param: click.Parameter, value: str) -> list[str]:
    """Return the arguments that give one parameter of a command a value."""
    if isinstance(param, click.Option):
        return [f"{param.opts[0]}={value}"]
    before = []
    for other in command.params:
        if other is param:
            break
        if isinstance(other, click.Argument):
            before.append("ada")
    return ["--", *before, value]


def refused(answer: Answer) -> bool:
    """Say whether a command ended with one of our messages, and not with a bug."""
    return answer.code not in {0, 1} and not any(
        it in answer.err for it in ("Traceback", "a bug", "asyncpg", "sqlalchemy")
    )


@pytest.mark.parametrize("kind", ["not UTF-8", "NUL"])
def test_no_command_takes_what_is_no_text(kind: str) -> None:
    """
    Each argument and each option of each command is checked before any request is sent:
    the message names it (exit code 2). A file name may contain anything.
    """
    value, taken, count = NO_TEXT[kind], [], 0
    for path, command in commands(root):
        for param in command.params:
            if getattr(param, "is_flag", False) or isinstance(param.type, FILES):
                continue
            answer = answer_of(main, *path, *words(command, param, value), env={})
            named = said(path, command, param) in answer.err
            if answer.code != 2 or not named or not refused(answer):
                taken.append((*path, param.name, answer.code, ascii(answer.err)))
            count += 1
    assert taken == []
    assert count > 100


def test_no_command_takes_a_number_that_is_out_of_range() -> None:
    """
    A number with more digits than Python parses is none; NaN is in no range.
    """
    for path, command in commands(root):
        for param in command.params:
            if isinstance(param.type, click.types.IntParamType):
                wrong = ENDLESS
            elif isinstance(param.type, click.types.FloatParamType):
                wrong = "nan"
            else:
                continue
            answer = answer_of(main, *path, *words(command, param, wrong), env={})
            assert answer.code == 2, (path, param.name, answer)
            assert said(path, command, param) in answer.err, (path, param.name)


def cursor(json: str) -> str:
    return base64.urlsafe_b64encode(json.encode()).decode().rstrip("=")


_AT: Final = "2026-11-27T00:00:00Z"
# By command: a cursor that Postgres would refuse, or that this service never issued.
CURSORS: Final[Mapping[str, Sequence[str]]] = {
    "audit": [
        f'["{_AT}", {HUGE}]',
        f'["{_AT}", {ENDLESS}]',
        f'["{_AT}", -1]',
        f'["{_AT}", "1"]',
        '["9999-12-31T23:59:59-23:59", 1]',
    ],
    "jobs": [
        f'["{_AT}", "payment"]',
        f'["{_AT}", "payment:ch_\\u0000"]',
        '["0001-01-01T00:00:00+23:59", "payment:ch_1"]',
    ],
    "token": ['["i\\u0000", "j"]', '["i", "j\\ud800"]'],
    "webhook": [
        f'["{_AT}", "evt_\\u0000", "charge.failed"]',
        f'["{_AT}", "evt_\\ud800", "charge.failed"]',
        '["2026-11-27T00:00:00", "evt_1", "charge.failed"]',
        '["9999-12-31T23:59:59-23:59", "evt_1", "charge.failed"]',
    ],
}


@pytest.mark.parametrize("group", CURSORS)
def test_a_list_takes_a_cursor_of_its_own_only(
    env: Mapping[str, str], group: str
) -> None:
    """
    Whatever time, number or name the cursor contains (exit code 2).
    """
    for json in (*CURSORS[group], "null", "[]", "{"):
        answer = answer_of(main, group, "list", f"--cursor={cursor(json)}", env=env)
        expected = (2, "payments: cursor: not a cursor of this service\n")
        assert (answer.code, answer.err) == expected, json


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("audit", "list", "--subject", HUGE), 0),
        (("jobs", "show", f"payment:{HUGE}"), 3),
        (("jobs", "retry", f"payment:{HUGE}"), 3),
        (("jobs", "retry", "--failing", "--limit", HUGE), 0),
        (("payment", "show", HUGE), 3),
        (("subscription", "change", "ada", "sub-1", "--quantity", HUGE), 2),
        (("subscription", "start", "ada", "--product=x", "--trial-days", HUGE), 2),
        (("subscription", "show", HUGE), 3),
        (("webhook", "show", HUGE), 3),
        (("webhook", "replay", HUGE), 3),
        (("webhook", "replay", "--state=open", "--limit", HUGE), 0),
        (("webhook", "link", HUGE, "--user", "ada", "--reason", "x"), 3),
        (("webhook", "close", HUGE, "--reason", "x"), 3),
        (("audit", "list", "--since", "0001-01-01T00:00:00+23:59"), 2),
        (("jobs", "list", "--since", "9999-12-31T23:59:59.999999Z"), 0),
        (("webhook", "list", "--since", "0001-01-01"), 0),
        (("webhook", "replay", "--type", "x" * 255), 0),
        (("webhook", "show", "x" * 100_000), 3),
        (("audit", "list", "--subject", "x" * 100_000), 0),
    ],
)
def test_what_is_larger_than_anything_is_found_nowhere(
    env: Mapping[str, str], command: tuple[str, ...], code: int
) -> None:
    """
    No number, time or name is too large for a command to answer.
    """
    answer = answer_of(main, *command, env=env)

    assert answer.code == code, answer.err
    assert code == 0 or refused(answer), answer.err
