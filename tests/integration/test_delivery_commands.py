"""Changes are sent to another service by the worker, and by hand."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import pytest

from payments_service.cli import main
from support import databases
from support.command_line import Answer, Inside, answer_of
from support.delivering import DeliveringWorld, changes
from support.receiver import Receiver, receiving

_DUE: Final = "update deliveries set due_at = now()"
_LATE: Final = """
update deliveries set first_tried_at = now() - interval '4 days' where position = 5
"""
# The one that is not open of the 10,000 that may be.
_ALMOST_FULL: Final = """
insert into deliveries (endpoint, position, user_id, due_at, attempts, lease_no, dead)
select 'crm', 1000 + it, 'u', now(), 0, 0, false from generate_series(1, 9999) as it
"""


@attrs.frozen
class Deployed:
    """A database of changes, a receiver, and the commands beside them."""

    world: DeliveringWorld
    receiver: Receiver
    run_inside: Inside

    def run(self, *words: str) -> Answer:
        return self.run_inside("deliveries", *words, env=self.world.env(0, 0))

    def sql(self, statement: str) -> None:
        databases.run(databases.execute(self.world.database_url, statement))

    @property
    def heard(self) -> list[tuple[str, int]]:
        data = [it.event["data"] for it in self.receiver.received]
        return [(it["user_id"], it["version"]) for it in data]

    def listed(self, *words: str) -> Sequence[str]:
        return [it["id"] for it in self.run("list", *words, "--json").json["items"]]


@pytest.fixture
def deployed(database_url: str, tmp_path: Path, inside: Inside) -> Iterator[Deployed]:
    with receiving() as receiver:
        world = DeliveringWorld(database_url, url=receiver.url, folder=tmp_path)
        yield Deployed(world, receiver, inside)


@pytest.fixture(scope="module")
def nothing(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """A deployment with an empty log, for everything that is refused."""
    with databases.copy_of(postgres, template) as url, receiving() as receiver:
        folder = tmp_path_factory.mktemp("endpoints")
        world = DeliveringWorld(url, url=receiver.url, folder=folder)
        yield Deployed(world, receiver, partial(answer_of, main))


def test_p32_f51_a_worker_delivers_what_was_logged_and_what_fails_is_replayed(
    deployed: Deployed,
) -> None:
    """
    Signed, each user's in order, and deleted after delivery; refused deliveries are
    listed, dead after three days, and delivered when they are replayed.
    """
    deployed.sql(changes(2, 4))
    deployed.world.once()

    assert sorted(deployed.heard) == [("u0", 1), ("u0", 2), ("u1", 1), ("u1", 2)]
    assert deployed.heard.index(("u0", 1)) < deployed.heard.index(("u0", 2))
    for came in deployed.receiver.received:
        deployed.world.assert_signed(came)
        assert came.path == "/hooks"
        assert came.event["type"] == "access.changed"
        assert came.event["timestamp"] == came.event["data"]["at"]
    assert deployed.listed() == []

    deployed.receiver.status = 500
    deployed.sql(changes(1, 2, first=3))
    deployed.world.once()
    assert deployed.listed() == ["crm:5", "crm:6"]
    shown = deployed.run("show", "crm:5", "--json").json
    assert (shown["state"], shown["attempts"]) == ("open", 1)
    assert shown["reason"] == "it answered 500"
    assert shown["body"]["data"]["version"] == 3
    assert shown["webhook_id"] == "chg_5"

    deployed.sql(f"{_DUE}; {_LATE}")
    deployed.world.once()
    assert deployed.listed("--dead") == ["crm:5"]

    deployed.receiver.status = 200
    replay = ("replay", "--endpoint", "crm", "--dead", "--json")
    told = deployed.run(*replay, "--dry-run").json
    assert told == {
        "complete": True,
        "replayed": False,
        "count": 1,
        "deliveries": ["crm:5"],
    }
    assert deployed.listed("--dead") == ["crm:5"]
    assert deployed.run(*replay).json == {**told, "replayed": True}
    deployed.sql(_DUE)
    deployed.world.once()
    assert deployed.heard[-2:] == [("u0", 3), ("u0", 4)]
    assert deployed.listed() == []


def test_a_delivery_is_shown_and_replayed_by_its_id(deployed: Deployed) -> None:
    """
    As text, and without changing anything in a dry run.
    """
    deployed.receiver.status = 410
    deployed.sql(changes(1, 1))
    deployed.world.once()

    shown = deployed.run("show", "crm:chg_1")
    assert "state: open\n" in shown.out
    assert "reason: it answered 410\n" in shown.out
    assert '"type": "access.changed"' in shown.out
    before = deployed.run("list", "--json").json
    dry = deployed.run("replay", "crm:1", "--dry-run")
    assert (dry.out, dry.err) == (
        "crm:1 would be due at once\n",
        "1 would be replayed\n",
    )
    assert deployed.run("list", "--json").json == before

    done = deployed.run("replay", "crm:1")

    assert (done.out, done.err) == ("crm:1 is due at once\n", "1 replayed\n")
    assert deployed.run("list", "--json").json["items"][0]["attempts"] == 0
    table = deployed.run("list")
    assert "crm:1" in table.out
    assert "chg_1" in table.out


def test_the_changes_of_a_time_are_replayed(deployed: Deployed) -> None:
    """
    Delivered or not: from the first time on and before the last.
    """
    deployed.sql(changes(1, 3))
    now = datetime.now(UTC)
    for version in (1, 2, 3):
        at = (now - timedelta(hours=4 - version)).isoformat()
        deployed.sql(
            f"update account_log set at = '{at}' where version = {version}"  # noqa: S608  # our own
        )
    deployed.world.once()
    assert deployed.listed() == []
    since, until = now - timedelta(hours=2.5), now - timedelta(hours=1.5)
    window = ("--since", since.isoformat(), "--until", until.isoformat())

    deployed.run("replay", "--endpoint", "crm", *window)

    assert deployed.listed() == ["crm:2"]
    deployed.run("replay", "--endpoint", "crm", "--since", since.isoformat())
    assert deployed.listed() == ["crm:2", "crm:3"]
    first = deployed.run("list", "--limit", "1")
    assert "crm:2" in first.out
    cursor = first.err.split()[-1]
    assert deployed.listed("--limit", "1", "--cursor", cursor) == ["crm:3"]

    deployed.sql("delete from deliveries")
    deployed.sql(_ALMOST_FULL)
    again = ("replay", "--endpoint", "crm", "--since", "2026-01-01")
    full = deployed.run(*again)
    assert (full.code, full.out) == (6, "crm:1 is due at once\n")
    assert full.err == (
        "1 replayed, then stopped\n"
        "payments: crm is at its limit of open deliveries: 2 are left, those after "
        "position 1; continue there when some have ended\n"
    )
    deployed.sql("delete from deliveries")
    assert deployed.run(*again, "--after", "1", "--json").json["deliveries"] == [
        "crm:2",
        "crm:3",
    ]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["show", "crm:1"], 3, "there is no delivery crm:1"),
        (["replay", "crm:1"], 3, "there is no delivery crm:1"),
        (["replay", "crm:1", "--dry-run"], 3, "there is no delivery crm:1"),
        (["show", "crm"], 2, "not an endpoint and a position: crm:12"),
        (["replay", "crm"], 2, "not an endpoint and a position: crm:12"),
        (["replay"], 2, "give either an id or --endpoint"),
        (
            ["replay", "crm:1", "--endpoint", "crm"],
            2,
            "give either an id or --endpoint",
        ),
        (["replay", "crm:1", "--dead"], 2, "only with --endpoint"),
        (["replay", "--endpoint", "crm"], 2, "give either --dead or --since"),
        (
            ["replay", "--endpoint", "crm", "--dead", "--since", "2026-01-01"],
            2,
            "give either --dead or --since",
        ),
        (["replay", "crm:1", "--until", "2026-01-01"], 2, "only with --since"),
        (["replay", "crm:1", "--after", "1"], 2, "only with --since"),
        (
            ["replay", "--endpoint", "crm", "--since", "2999-01-01"],
            2,
            "in the future",
        ),
        (
            [
                *("replay", "--endpoint", "crm", "--since", "2026-01-02"),
                *("--until", "2026-01-01"),
            ],
            2,
            "not after --since",
        ),
        (["list", "--cursor", "abc"], 2, "not a cursor of this service"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else None,
)
def test_what_cannot_be_done_is_said(
    nothing: Deployed, words: list[str], code: int, text: str
) -> None:
    """
    With the exit codes of the other commands.
    """
    answer = nothing.run(*words)
    assert answer.code == code
    assert text in answer.err


def test_a_file_that_cannot_be_used_ends_the_start(deployed: Deployed) -> None:
    """
    With exit code 4, and each fault by its place.
    """
    env = deployed.world.env(0, 0)
    Path(env["PAYMENTS_WEBHOOKS_OUT_FILE"]).write_text("[endpoints.crm]\nurll = 1")

    answer = deployed.run_inside("config", "check", env=env)

    assert answer.code == 4
    for fault in ("crm.urll: not a field of an endpoint; url", "crm.url: missing"):
        assert f"endpoints.{fault}" in answer.err
