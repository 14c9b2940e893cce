"""`make fuzz`: sends our readers of hostile input what is nearly valid.

Rule 1: a reader raises what it states, and nothing else.
Rule 2: an input costs less than `CPU_S_MAX`, and never more memory than `MEMORY_MAX`.
Rule 3: an error does not hold what an input keeps secret (`CANARY`), nor do the errors
        behind it that a log would show.
Rule 4: the same seed makes the same inputs. A failure is printed as a `repr`, made
        smaller, and goes into `found.py`, whose inputs the tests read each time.

An input that is answered in a new way (another error, raised on another line, or
another kind of value) is one that others are made of from then on.
"""

import argparse
import logging
import re
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Final

import attrs
import structlog

from fuzz.mutation import Mutator, Seed
from fuzz.reader import CANARY, Reader
from fuzz.readers import READERS

CPU_S_MAX: Final = 0.5
# Beside what the process has when it begins.
MEMORY_MAX: Final = 1 << 30
SEEDS_MAX: Final = 500
# Of answers that are alike but for their words.
ALIKE_MAX: Final = 250
_SEED_BYTES_MAX: Final = 4_000
# Of an error: reasons are told apart, and what of them is of the input is not.
_NO_WORDS: Final = re.compile(r"[^a-z ]")
_WORDS_MAX: Final = 120
# How often a failure is made smaller.
_SMALLER_MAX: Final = 2_000
_SMALLER_S_MAX: Final = 10
_SHOWN_MAX: Final = 4_000


class FoundError(Exception):
    """What a reader must not do."""


@attrs.frozen
class Failure:
    reader: str
    input: bytes
    problem: str


@attrs.frozen
class Result:
    """What was sent to a reader, in how many seconds of processor time, and the end."""

    reader: str
    inputs: int
    seconds: float
    answers: int
    failure: Failure | None


def shown(error: BaseException) -> str:
    """Return what a log would say of an error, and of those that led to it."""
    chain, it = list[str](), error
    while True:
        chain.append(f"{error} {error.args!r} {vars(error)!r}")
        following = it.__cause__ or (
            None if it.__suppress_context__ else it.__context__
        )
        if following is None:
            return "\n".join(chain)
        error = it = following


# Where an error was raised, or that none was; and what was said.
Kind = tuple[object, object]


def answer(reader: Reader, data: bytes) -> Kind:
    """Return how an input is answered.

    Raises:
        FoundError: as it must not be.
    """
    began = time.thread_time()
    try:
        kind: Kind = (None, reader.read(data))
    except reader.errors as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        words = _NO_WORDS.sub("", str(error))[:_WORDS_MAX]
        place = trace and (type(error), trace.tb_frame.f_code, trace.tb_lineno)
        kind = (place, words)
        if CANARY in shown(error):
            raise FoundError("the error holds what the input keeps secret") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        raise FoundError(f"{type(error).__name__} at {where}: {error}"[:300]) from error
    if time.thread_time() - began > CPU_S_MAX and _is_slow(reader, data):
        raise FoundError(f"it takes more than {CPU_S_MAX} s")
    return kind


def _is_slow(reader: Reader, data: bytes) -> bool:
    """Say whether it is so again: once may be the collector's."""
    for _ in range(2):
        began = time.thread_time()
        with suppress(*reader.errors):
            reader.read(data)
        if time.thread_time() - began <= CPU_S_MAX:
            return False
    return True


def problem(reader: Reader, data: bytes) -> str | None:
    """Return what is wrong with how an input is answered; None: nothing."""
    try:
        answer(reader, data)
    except FoundError as error:
        return str(error)
    return None


def search(reader: Reader, inputs: int, random: Random) -> Result:
    """Send a reader so many inputs, until one fails."""
    began = time.process_time()
    seeds = [Seed.of(it) for it in reader.seeds]
    mutator, known, places = Mutator(random), set[Kind](), Counter[object]()
    for number in range(inputs):
        is_seed = number < len(reader.seeds)
        data = (
            reader.seeds[number] if is_seed else mutator.input(seeds, reader.bytes_max)
        )
        kind: Kind = (None, None)
        failed = False
        try:
            kind = answer(reader, data)
        except FoundError:
            failed = True
        if failed:
            # Not while the error is handled: it would be the context of each other one.
            failure = Failure(reader.name, *smaller(reader, data))
            seconds = time.process_time() - began
            return Result(reader.name, number + 1, seconds, len(known), failure)
        if kind not in known and places[kind[0]] < ALIKE_MAX:
            known.add(kind)
            places[kind[0]] += 1
            if not is_seed and len(seeds) < SEEDS_MAX and len(data) < _SEED_BYTES_MAX:
                seeds.append(Seed.of(data))
    seconds = time.process_time() - began
    return Result(reader.name, inputs, seconds, len(known), None)


def smaller(reader: Reader, data: bytes) -> tuple[bytes, str]:
    """Return a part of an input that fails, too, and how."""
    told = problem(reader, data) or "once only"
    tries, length, began = 0, len(data) // 2, time.process_time()
    while length:
        at = 0
        while (
            at < len(data)
            and tries < _SMALLER_MAX
            and time.process_time() - began < _SMALLER_S_MAX
        ):
            tries += 1
            less = data[:at] + data[at + length :]
            if (found := problem(reader, less)) is not None:
                data, told = less, found
            else:
                at += length
        length //= 2
    return data, told


def shares(readers: Sequence[Reader], inputs: int) -> Iterator[tuple[Reader, int]]:
    """Divide inputs among readers by their weights; each gets its seeds at least."""
    weights = sum(it.weight for it in readers)
    for it in readers:
        yield it, max(len(it.seeds), round(inputs * it.weight / weights))


def _limit_memory() -> None:
    """Let an input that takes too much fail as what it is: a `MemoryError`."""
    with open("/proc/self/statm") as file:  # noqa: PTH123  # no path of ours
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_MAX
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="for all readers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", help="this one alone")
    given = parser.parse_args()
    chosen = [it for it in READERS if given.reader in {None, it.name}]
    if not chosen:
        parser.error(f"--reader is one of {', '.join(it.name for it in READERS)}")
    if sys.platform == "linux":
        _limit_memory()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.FATAL)
    )
    logging.disable()
    failures, total, seconds = list[Failure](), 0, 0.0
    for reader, inputs in shares(chosen, given.inputs):
        found = search(reader, inputs, Random(f"{given.seed} {reader.name}"))  # noqa: S311  # no secret
        rate = found.inputs / max(found.seconds, 0.001)
        print(
            f"{found.reader:24} {found.inputs:8} inputs {rate:8.0f} /s"
            f" {found.answers:4} ways to answer",
            flush=True,
        )
        total, seconds = total + found.inputs, seconds + found.seconds
        if found.failure is not None:
            failures.append(found.failure)
    print(f"{total} inputs, {total / max(seconds, 0.001):.0f} /s, seed {given.seed}")
    for it in failures:
        print(f"\n{it.reader}: {it.problem}\n{it.input!r:.{_SHOWN_MAX}}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
