"""Readers of hostile input raise what they state; a few inputs of `make fuzz` for each.

T66, P14, P16: whatever the input is, reading it ends soon, and at worst with an error
that the reader states.
"""

from collections.abc import Callable
from random import Random

import pytest

from fuzz import inputs
from fuzz.found import FOUND
from fuzz.inputs import answer, problem, search, shown, smaller
from fuzz.mutation import Mutator, Seed
from fuzz.reader import CANARY, Reader
from fuzz.readers import READERS

INPUTS = 60


@pytest.mark.parametrize("reader", READERS, ids=lambda it: it.name)
def test_t66_each_reader_answers_whatever_comes(reader: Reader) -> None:
    """
    Inputs that once broke it, valid ones, and almost valid ones.
    """
    for data in FOUND.get(reader.name, ()):
        assert problem(reader, data) is None
    found = search(reader, len(reader.seeds) + INPUTS, Random(1))  # noqa: S311  # no secret

    assert found.failure is None
    assert found.answers


def test_each_input_that_was_found_is_a_readers() -> None:
    """
    A renamed reader takes them along.
    """
    assert set(FOUND) <= {it.name for it in READERS}
    assert len({it.name for it in READERS}) == len(READERS)


def test_the_same_seed_makes_the_same_inputs() -> None:
    """
    So a failure can be repeated.
    """
    seeds = [Seed.of(it) for it in READERS[1].seeds]

    def made(number: int) -> list[bytes]:
        mutator = Mutator(Random(number))  # noqa: S311  # no secret
        return [mutator.input(seeds, 10_000) for _ in range(50)]

    assert made(1) == made(1)
    assert made(1) != made(2)
    assert len(set(made(1))) > 45


# The search itself


def _untyped(data: bytes) -> object:
    return dict[bytes, object]()[data] if b"b" in data else None


def _deep(data: bytes) -> object:
    return _deep(data) if b"b" in data else None


def _telling(data: bytes) -> object:
    raise ValueError(data.decode("latin-1"))


def _telling_behind(data: bytes) -> object:
    try:
        return _telling(data)
    except ValueError as error:
        raise ValueError("it is none") from error


def _told_by_nobody(data: bytes) -> object:
    try:
        return _telling(data)
    except ValueError:
        raise ValueError("it is none") from None


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (_untyped, "KeyError"),
        (_deep, "RecursionError"),
        (_telling, "keeps secret"),
        (_telling_behind, "keeps secret"),
    ],
)
def test_what_a_reader_must_not_do_is_found(
    read: Callable[[bytes], object], told: str
) -> None:
    """
    The printed input is one that fails, and is not much longer than necessary.
    """
    seeds = [b"a", b"a long text around " + CANARY.encode() + b" and b behind it"]
    reader = Reader("bad", read, seeds, (ValueError,))

    found = search(reader, 100, Random(1)).failure  # noqa: S311  # no secret

    assert found is not None
    assert told in found.problem
    assert told in (problem(reader, found.input) or "")
    assert found.input in {b"b", CANARY.encode()}


def test_what_costs_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Here anything does.
    """
    reader = Reader("slow", len, [b"a"])
    assert problem(reader, b"a") is None

    monkeypatch.setattr(inputs, "CPU_S_MAX", -1.0)

    assert "more than" in (problem(reader, b"a") or "")


def test_what_a_log_would_not_show_is_no_failure() -> None:
    """
    An error that is raised `from None` hides the one before.
    """
    reader = Reader("good", _told_by_nobody, [CANARY.encode()], (ValueError,))

    assert problem(reader, CANARY.encode()) is None
    assert CANARY not in shown(ValueError("it is none"))
    assert smaller(reader, b"abc") == (b"abc", "once only")


def test_another_line_is_another_answer() -> None:
    """
    New inputs are made of those that were answered in a new way.
    """

    def read(data: bytes) -> object:
        if not data:
            raise ValueError("empty")
        if b"b" in data:
            raise ValueError("other")
        return data == b"a"

    reader = Reader("good", read, [b"a"], (ValueError,))

    assert len({answer(reader, it) for it in (b"", b"b", b"a", b"c")}) == 4
