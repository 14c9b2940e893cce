import gc
import os
import signal
import sys
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from hypothesis import settings

# Where the environment forbids bytecode, each worker would rewrite the asserts of 440
# files again, and each process that a test starts would compile its imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("default", max_examples=200, deadline=None, derandomize=False)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("prove", settings.get_profile("default"), max_examples=20_000)
_WITHOUT_A_WISH = "ci" if os.environ.get("CI") else "default"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _WITHOUT_A_WISH))

# The default in case no test configures it: a traceback in Python's format. structlog's
# default prints all local variables, which may hold a whole sandbox: minutes, and
# gigabytes.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ],
    # The stderr of the running test.
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)

# A test run in the background ignores Ctrl-C, and so would its child processes; a shell
# cannot even change that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """
    Run everything on asyncio; session-wide, so that wide fixtures may be async.
    """
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """
    Check that a test leaves no signal ignored: processes of later tests would inherit
    it.
    """
    before = ignored_signals()
    result = yield
    left = ignored_signals() - before
    assert not left, f"{item.nodeid} leaves signals ignored: {left}"
    return result


def ignored_signals() -> set[signal.Signals]:
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return {number for number in ends if signal.getsignal(number) is signal.SIG_IGN}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """
    Exclude the collected tests, and so all imports, from garbage collection.

    They stay until the end, and are half a million objects to traverse each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda it: it.get_closest_marker("starts_first") is None)


def pytest_terminal_summary(terminalreporter: Any) -> None:  # pytest's own
    """
    Print the figures that tests have measured: how many schedules a proof covers.
    """
    for report in terminalreporter.stats.get("passed", ()):
        for name, figure in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"{figure}")


pytest_plugins = [
    "support.command_line",
    "support.fixtures",
    "support.stripe_gateway",
]
