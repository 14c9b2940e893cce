"""`payments doctor`: each wrong configuration is named, with its remedy.

The rows of docs/doctor.md are the tests here: each makes one thing wrong in a healthy
deployment, and exactly that is found.
"""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from faults.doctor.deployment import JWKS, OTHER, SECRET, Deployed
from faults.doctor.remedies import pasted
from faults.doctor.wrongs import ALSO, BY_HAND, WRONGS
from support import databases
from support.profiles import PROVES

PAGE: Final = Path(__file__).parents[3] / "docs" / "doctor.md"
# Those that need a deployment of their own; the others are in `TOGETHER`, too.
ALONE: Final = ("D25", "D26", "D30", "D35", "D36", "D37", "D47", "D66", "D75")
TOGETHER: Final = (
    (
        *("D02", "D05", "D08", "D12", "D13", "D16", "D17", "D18", "D20", "D21", "D24"),
        *("D61", "D73", "D74"),
    ),
    ("D01", "D03", "D06", "D22", "D67"),
    (
        *("D28", "D38", "D41", "D43", "D44", "D46", "D48", "D49", "D50", "D51"),
        *("D52", "D54", "D56", "D57", "D58", "D60"),
    ),
    ("D39", "D53", "D55", "D68", "D69"),
    ("D27", "D31", "D59"),
    ("D40", "D42", "D70"),
    ("D32", "D45", "D62"),
    ("D64", "D71"),
    ("D65", "D72"),
    ("D63",),
)


@pytest.mark.parametrize("ids", TOGETHER, ids="-".join)
def test_what_is_wrong_together_is_named_each(
    deployed: Deployed, ids: tuple[str, ...]
) -> None:
    """
    No problem hides another; everything that is named has a remedy.
    """
    for id_ in ids:
        WRONGS[id_].do(deployed)

    answer = deployed.doctor("--json")

    found = [one for one in answer.json["items"] if one["status"] == "wrong"]
    assert answer.code == 7
    assert all(one["remedy"] for one in found)
    for id_ in ids:
        it = WRONGS[id_]
        named = [one for one in found if it.words in one["text"]]
        assert {one["check"] for one in named} == {it.check}, id_
        for one in named:
            assert pasted(one["remedy"]) is not (id_ in BY_HAND), one


@pytest.mark.parametrize("id_", WRONGS if PROVES else ALONE)
def test_what_is_wrong_is_named(deployed: Deployed, id_: str) -> None:
    """
    By its check, with a remedy; the exit code is 7, and all other checks pass. No
    secret is shown.
    """
    it = WRONGS[id_]
    it.do(deployed)

    answer = deployed.doctor("--json")

    found = [one for one in answer.json["items"] if one["status"] != "ok"]
    [named, *_] = [one for one in found if it.words in one["text"]]
    assert (answer.code, answer.json["well"]) == (7, False)
    assert named["check"] == it.check
    assert pasted(named["remedy"]) is not (id_ in BY_HAND)
    assert {one["check"] for one in found} == {it.check} | ALSO.get(id_, set())
    for secret in (SECRET, OTHER, deployed.sandbox.api_key, json.loads(JWKS)["keys"]):
        assert str(secret) not in answer.out + answer.err


def test_the_page_has_a_row_for_each() -> None:
    """With the check that names it, and a reader's words for it."""
    rows = re.findall(r"(?m)^\| (D\d\d) \| .+ \| ([a-z -]+) \|", PAGE.read_text())
    assert rows == [(id_, it.check) for id_, it in WRONGS.items()]
    assert len(rows) >= 40


def test_a_deployment_that_is_well_is_said_to_be(deployed: Deployed) -> None:
    """Each check has a line, and the exit code is 0; the checks change nothing."""
    before = databases.digest(deployed.url)
    answer = deployed.doctor()
    lines = dict(re.findall(r"(?m)^ok +([a-z -]+): (.+)$", answer.out))
    assert answer.code == 0, answer.out
    assert len(lines) == len(answer.out.splitlines())
    assert list(lines) == [
        *("settings", "database", "schema", "mode", "writes", "erasure key"),
        "database clock",
        *("events", "jobs", "back-fill", "sweep", "drift", "erasures"),
        *("webhooks out", "key", "clock", "endpoints", "deliveries"),
    ]
    assert databases.digest(deployed.url) == before
