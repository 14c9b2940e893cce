"""The words that the code no longer uses: `docs/glossary.md` has those that hold.

Names are read by token, so a word inside a string does not count: names on the wire and
in the database stay as they were released. Sentences are searched for phrases only.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
OLD_NAMES: Final[Mapping[str, str]] = {
    "BadRequest": "HttpProblem",
    "Books": "RecordFacts",
    "Checkpoint": "PaymentSummary",
    "Courier": "WebhookSender",
    "Disagreement": "OwnershipConflict",
    "Doubt": "SyncNeeded",
    "Edge": "RequestContext",
    "Evidence": "Observation",
    "GatewayBusy": "GatewayNotAttempted",
    "GatewaySilent": "GatewayOutcomeUnknown",
    "GivenUp": "Expired",
    "GuardedGateway": "RateLimitedGateway",
    "HealIntents": "ResumeIntents",
    "KEY_LIVES": "IDEMPOTENCY_KEY_TTL",
    "ABANDONED_AFTER": "GIVE_UP_AFTER",
    "Notice": "SyncNeeded",
    "NotYet": "RetryLater",
    "PaidTerm": "PaidPeriod",
    "PinCard": "SetSubscriptionCard",
    "PlanEnd": "SetCancelAtPeriodEnd",
    "ReachAccount": "GetAuthorizedAccount",
    "SILENCE": "REISSUE_AFTER",
    "SILENT": "OUTCOME_UNKNOWN",
    "SURELY": "EVENT_CLOCK_SLACK",
    "Sighting": "PaymentEffect",
    "Standing": "Entitlement",
    "Term": "PrepaidMonths",
    "Verdict": "MergeResult",
    "Wanted": "OperationParams",
    "WorkOffJobs": "RunWork",
    "_silent": "_outcome_unknown",
    "agenda": "scheduled",
    "checkpoint": "summary",
    "claimed_by": "metadata_user_id",
    "courier": "sender",
    "cut_off": "revoke_issued_before",
    "folded": "with_summary",
    "is_dead": "is_revoked",
    "known_until": "as_of",
    "look_at": "next_sync_at",
    "poisoned": "server_error_cached",
    "put_off": "reschedule",
    "require_reach": "require_access",
    "take_up": "resume",
    "ticket": "sequence",
    "torn": "contradicted",
    "weigh": "merge_observation",
    "work_off": "run",
}
OLD_FILES: Final[Mapping[str, str]] = {
    "agenda": "scheduler",
    "answers": "request_results",
    "books": "record_facts",
    "courier": "webhook_sender",
    "delivery": "webhook_delivery",
    "edge": "request_context",
    "evidence": "subscription_merge",
    "exits": "exit_codes",
    "generations": "api_versions",
    "group_commit": "ingest_queue",
    "guarded_gateway": "rate_limited_gateway",
    "ops": "health",
    "queries": "a file for each store",
    "reading": "api_reader",
    "revocation": "tokens",
    "objects": "a file for each object",
    "sales": "service_with_sandbox",
    "shop": "sdk_client",
    "standing": "entitlement",
    "story": "demo",
    "till": "deployment",
    "translation": "event_reader",
    "world": "state",
}
OLD_PHRASES: Final = (
    "whoever waits",
    "whoever asks",
    "nobody knows, ask again",
    "living subscription",
    "living token",
    "take up",
    "taken up again",
    "a twin in the environment",
    "words on stderr",
    "looks at stripe a delivery",
    "has the first word",
    "is nobody's yet",
    "told to end",
)
_SANDBOX: Final = "entrypoints/sandbox/payments_sandbox"
# Why a word stays in this file.
NAMES_THAT_STAY: Final[Mapping[tuple[str, str], str]] = {
    (f"{_SANDBOX}/resources/charges.py", "Evidence"): "Stripe's, of a dispute",
    ("tests/faults/deliveries.py", "checkpoint"): "a function of anyio",
    ("tests/unit/ingest_queue/test_failures.py", "poisoned"): "facts of a bad event",
}
# Why a word stays everywhere.
STAYS_EVERYWHERE: Final[Mapping[str, str]] = {
    "Standing": "a public name of the core, which stays for who imports it",
}
# A released migration does not change.
EXEMPT: Final = re.compile(
    r"/migrations/|^docs/decisions/|^CHANGELOG|^tests/architecture/test_words\.py$"
)


def files(*suffixes: str) -> Iterator[str]:
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        text=True,
    )
    for name in listed.splitlines():
        wanted = name.endswith(suffixes) and not EXEMPT.search(name)
        if wanted and (ROOT / name).exists():
            yield name


def names_in(text: str) -> Iterator[tuple[int, str]]:
    """Return the names of a module, with their lines, except columns of a table."""
    before = ("", "")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and before not in {
            ("c", "."),
            ("excluded", "."),
        }:
            yield token.start[0], token.string
        before = (before[1], token.string)


def old_names_in(name: str, text: str) -> list[str]:
    return [
        f"{name}:{line}: {word}, say {OLD_NAMES[word]}"
        for line, word in names_in(text)
        if word in OLD_NAMES
        and word not in STAYS_EVERYWHERE
        and (name, word) not in NAMES_THAT_STAY
    ]


# Between two words of a sentence: spaces, or a new line with the start of a comment or
# the quotes of a continued string.
_BETWEEN: Final = r"(?:[ \t]+|[ \t]*['\"]?[ \t]*\n[ \t]*(?:#+|--|>|[rf]?['\"])?[ \t]*)"


def old_phrases_in(name: str, text: str) -> list[str]:
    found = [
        (text.count("\n", 0, it.start()) + 1, phrase)
        for phrase in OLD_PHRASES
        for it in re.finditer(
            rf"\b{phrase.replace(' ', _BETWEEN)}\b", text, flags=re.IGNORECASE
        )
    ]
    return [f"{name}:{line}: {phrase}" for line, phrase in sorted(found)]


def test_no_name_is_an_old_word() -> None:
    """
    Classes, functions, arguments, attributes and variables, in code and tests.
    """
    found = [
        it
        for name in files(".py")
        for it in old_names_in(name, (ROOT / name).read_text())
    ]
    assert found == []


def test_no_file_has_an_old_name() -> None:
    """
    Neither a module nor its test file.
    """
    found = [
        f"{name}: say {OLD_FILES[stem]}"
        for name in files(".py")
        if (stem := Path(name).stem.removeprefix("test_")) in OLD_FILES
    ]
    assert found == []


def test_no_sentence_has_an_old_phrase() -> None:
    """
    Docstrings, comments, messages, help texts and pages.
    """
    found = [
        it
        for name in files(".py", ".md", ".sql", ".toml")
        for it in old_phrases_in(name, (ROOT / name).read_text())
    ]
    assert found == []


# Texts for people say Stripe; code says gateway, because there could be another.
_GATEWAY: Final = re.compile(r"\b(?<!payments-)gateway\b")
# Also read by people, although it is a docstring: a command's help.
_COMMANDS: Final = re.compile(r"/(cli|processes|dev)/")


def told_of_the_gateway(name: str, text: str) -> list[str]:
    """Return the strings of a module that say gateway and are not docstrings."""
    tree = ast.parse(text)
    silent = {id(it.value) for it in ast.walk(tree) if isinstance(it, ast.Expr)}
    if _COMMANDS.search(name):
        silent -= {
            id(it.body[0].value)
            for it in ast.walk(tree)
            if isinstance(it, ast.FunctionDef)
            and any("command" in ast.unparse(by) for by in it.decorator_list)
            and isinstance(it.body[0], ast.Expr)
        }
    return [
        f"{name}:{it.lineno}: {it.value}"
        for it in ast.walk(tree)
        if isinstance(it, ast.Constant) and id(it) not in silent
        # A single word is a name: of a field, a code.
        if isinstance(it.value, str) and " " in it.value and _GATEWAY.search(it.value)
    ]


def test_what_a_person_reads_says_stripe() -> None:
    """
    Messages, help texts, log lines and metrics of everything that we ship.
    """
    found = [
        it
        for name in files(".py")
        if name.startswith(("core/", "adapters/", "entrypoints/service/"))
        for it in told_of_the_gateway(name, (ROOT / name).read_text())
    ]
    assert found == []


def test_a_sentence_that_says_gateway_is_found() -> None:
    """
    In a message and in a command's help; not in a docstring of code, or a name.
    """
    message = 'raise Error("the gateway did not answer")'
    help_ = '@group.command()\ndef show():\n    """Ask the gateway."""'
    code = 'def show():\n    """Ask the gateway."""\n    it = "gateway"'
    assert len(told_of_the_gateway("core/a.py", message)) == 1
    assert len(told_of_the_gateway("a/cli/b.py", help_)) == 1
    assert told_of_the_gateway("a/cli/b.py", code) == []
    assert told_of_the_gateway("a.py", '"payments-gateway is up"') == []


def test_a_word_that_stays_is_there() -> None:
    """
    An exemption that is no longer needed must be removed.
    """
    for name, word in NAMES_THAT_STAY:
        assert word in {it for _, it in names_in((ROOT / name).read_text())}, name
    public = (ROOT / "core/payments_core/__init__.py").read_text()
    assert set(STAYS_EVERYWHERE) <= {it for _, it in names_in(public)}


@pytest.mark.parametrize("text", ["ticket = 1", "it.ticket", "f(ticket=1)", "Doubt()"])
def test_an_old_name_is_found(text: str) -> None:
    """
    As a variable, an attribute, an argument or a class; not as a column or a string.
    """
    assert len(old_names_in("a.py", text)) == 1
    assert not old_names_in("a.py", "table.c.ticket")
    assert not old_names_in("a.py", "'ticket'")
    assert old_phrases_in("a.md", "Whoever waits may go.") == ["a.md:1: whoever waits"]


@pytest.mark.parametrize(
    "text",
    [
        "whoever\nwaits",
        "\n    # Whoever\n    # waits",
        '\n    "whoever "\n    "waits"',
        '\n    "whoever"\n    f" waits"',
        "\n-- whoever\n-- waits",
    ],
)
def test_an_old_phrase_is_found_across_lines(text: str) -> None:
    """
    In a paragraph, a comment, or a string that continues in the next line.
    """
    number = 1 + text.startswith("\n")

    assert old_phrases_in("a.py", text) == [f"a.py:{number}: whoever waits"]
