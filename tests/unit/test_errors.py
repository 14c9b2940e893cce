import inspect
from collections.abc import Iterator

import pytest

from payments_core import PaymentsError, Rejected, Unavailable, Untrusted, errors


def family(kind: type[PaymentsError]) -> Iterator[type[PaymentsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


KINDS = list(family(PaymentsError))


def an_error(kind: type[PaymentsError]) -> PaymentsError:
    """Make an error, with a word for each of its parameters."""
    own = inspect.signature(kind.__init__).parameters.values()
    wanted = [p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    return kind(*(f"<{name}>" for name in wanted if name != "self"))


def test_every_error_has_a_code_of_its_own() -> None:
    """
    Clients branch on `code`; two errors may not share one.
    """
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))
    assert all(vars(kind).get("code") for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_whose_fault_it_is(kind: type[PaymentsError]) -> None:
    """
    Exactly one of three answers, except for the root itself.
    """
    answers = [issubclass(kind, top) for top in (Rejected, Unavailable, Untrusted)]
    assert sum(answers) == (kind is not PaymentsError)


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if "__init__" in vars(k)], ids=lambda kind: kind.code
)
def test_every_error_builds_its_own_sentence(kind: type[PaymentsError]) -> None:
    """
    It is made from data, and its text is not empty.
    """
    assert str(an_error(kind))


def test_the_whole_family_lives_in_one_module() -> None:
    """
    One table at the edge must contain them all.
    """
    assert {kind.__module__ for kind in KINDS} == {errors.__name__}


@pytest.mark.parametrize(
    ("error", "retry_after_s"),
    [
        (errors.AccountNotFound(), None),
        (errors.Overloaded(), 1),
        (errors.StoreUnavailable(), 1),
        (errors.OperationInProgress("intent-1"), 1),
        (errors.SyncedRecently(4), 4),
        (errors.RateLimited("reads", 1, 60, 7), 7),
        (errors.TooManyDeclines(3_600), 3_600),
    ],
)
def test_an_error_says_when_to_ask_again(
    error: PaymentsError, retry_after_s: int | None
) -> None:
    """
    An error that may be retried, and one that waits for work in progress.
    """
    assert error.retry_after_s == retry_after_s
