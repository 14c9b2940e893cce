"""What a command that did not finish prints, and its exit code."""

import click
import pytest

from payments_core.errors import Overloaded, RateLimited, TooManyDeclines
from payments_service.cli.exit_codes import Exit, exit_of


def of_click(cause: BaseException) -> click.Abort:
    """Return click's result for an exception, in a command or at a prompt."""
    try:
        try:
            raise cause
        except type(cause):
            raise click.Abort from None
    except click.Abort as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        of_click(KeyboardInterrupt()),
        BaseExceptionGroup("", [KeyboardInterrupt()]),
    ],
)
def test_what_was_interrupted_is_not_done(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """
    130, which shells know.
    """
    assert exit_of(error) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("error", [click.Abort(), of_click(EOFError())])
def test_what_was_not_confirmed_is_refused(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """
    By a no, or because nobody could answer.
    """
    assert exit_of(error) == Exit.REFUSED
    assert "nothing was done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TooManyDeclines(60), Exit.REFUSED),
        (RateLimited("reads", 1, 60, 60), Exit.REFUSED),
        (Overloaded(), Exit.DEPENDENCY_DOWN),
    ],
)
def test_what_was_asked_too_often_is_refused(
    capsys: pytest.CaptureFixture[str], error: Exception, code: Exit
) -> None:
    """
    5 says that something is down, which a script would wait for.
    """
    assert exit_of(error) == code
    assert "again" in capsys.readouterr().err
