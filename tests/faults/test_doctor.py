"""`payments doctor`: each configuration that is wrong is named, with its remedy.

The rows of docs/doctor.md are the tests here: each makes one thing wrong in a
deployment that is well, and that alone is found.
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs
import pytest
import structlog

from payments_adapters.jwt import generate_jwks
from payments_adapters.postgres import schema
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_sandbox import Sandbox, shapes
from payments_sandbox.permissions import PERMISSIONS
from payments_service.doctor import Finding, Status
from payments_service.doctor.findings import Check, Findings, ok, once_well, wrong
from payments_service.endpoint_roles import WEBHOOK_PATH, digest_of
from support import databases
from support.command_line import Answer, Inside
from support.commands import NOBODY
from support.profiles import PROVES
from support.sandbox import Api, conforming
from support.service import new_secret

PAGE: Final = Path(__file__).parents[2] / "docs" / "doctor.md"
URL: Final = "https://pay.example.com" + WEBHOOK_PATH
SECRET: Final = new_secret()
OTHER: Final = new_secret()
JWKS: Final = generate_jwks("test")
_WELL: Final = """
update alembic_version set version_num = '{head}';
delete from webhook_events; delete from jobs; delete from checkpoints;
delete from deployment; delete from erased_keys; delete from erasures;
insert into deployment (singleton, livemode) values (true, false);
insert into checkpoints (name, reached_at, due_at, attempts, lease_no)
values ('events', now(), now(), 0, 1), ('sweep', now(), now(), 0, 1)
"""
_EVENT: Final = """
insert into webhook_events (id, type, created_at, received_at, livemode, state)
values (
    'evt_{state}', 'invoice.paid', now(), now() - interval '1 hour', false, '{state}'
)
"""
_BEHIND: Final = """
update checkpoints set reached_at = now() - interval '{span}' where name = '{name}'
"""
NOWHERE: Final = "http://127.0.0.1:1"
_JOB: Final = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead)
values (
    'payment', 'ch_{attempts}', 'x', now() + interval '{due}', 1, {attempts}, 1, false
)
"""


def jwks_of(secret: str) -> str:
    """Return a key set whose key is this secret."""
    key = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    return json.dumps(
        {"keys": [{"kty": "oct", "alg": "HS256", "kid": "stolen", "k": key}]}
    )


@attrs.frozen
class Deployed:
    """A deployment that is well, until a test makes it otherwise."""

    sandbox: Sandbox
    url: str
    empty_url: str
    run: Inside
    env: dict[str, str]

    @property
    def api(self) -> Api:
        return Api(self.sandbox.engine)

    def set(self, **values: str | None) -> None:
        """Set variables, by what follows `PAYMENTS_`; None takes one away."""
        for name, value in values.items():
            self.env.pop(f"PAYMENTS_{name}", None)
            if value is not None:
                self.env[f"PAYMENTS_{name}"] = value

    def sql(self, statement: str) -> None:
        databases.run(databases.execute(self.url, statement))

    def endpoint(self, **fields: Any) -> None:
        """Let the endpoint be otherwise."""
        world = self.sandbox.engine.world
        [it] = world.all("webhook_endpoint")
        world.change(it, None, **fields)

    def another(self, **fields: Any) -> None:
        """Let there be another endpoint like it."""
        world = self.sandbox.engine.world
        first, *others = world.all("webhook_endpoint")
        id_ = f"we_other{len(others)}"
        world.create({**first, "id": id_, **fields}, None)

    def marks(self, role: str, *, days: int = 0, secret: str = SECRET) -> Any:
        since = datetime.now(UTC) - timedelta(days=days)
        return {
            "payments_gateway": role,
            "payments_gateway_secret": digest_of(secret),
            "payments_gateway_since": since.isoformat(),
        }

    def doctor(self, *words: str) -> Answer:
        return self.run("doctor", *words, env=self.env)


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with conforming() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def stored(postgres: str, template: str) -> Iterator[tuple[str, str]]:
    with (
        databases.copy_of(postgres, template) as url,
        databases.empty(postgres) as none,
    ):
        yield url, none


@pytest.fixture
def deployed(account: Sandbox, stored: tuple[str, str], inside: Inside) -> Deployed:
    env = {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_DATABASE_URL": stored[0],
        "PAYMENTS_STRIPE_API_BASE": account.url,
        "PAYMENTS_STRIPE_API_KEY": account.api_key,
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": SECRET,
        "PAYMENTS_JWT_ISSUER": "users",
        "PAYMENTS_JWT_AUDIENCE": "payments",
        "PAYMENTS_JWT_KEYS": JWKS,
        "PAYMENTS_DEV_DIR": "/nowhere",
    }
    it = Deployed(account, *stored, inside, env)
    it.sql(_WELL.format(head=schema.head()))
    endpoint_made_at(it, datetime.now(UTC))
    return it


Deed = Callable[[Deployed], object]


@attrs.frozen
class Wrong:
    """What is wrong, by what check it is named, and with which words."""

    check: str
    words: str
    do: Deed


def setting(words: str, **values: str | None) -> Wrong:
    return Wrong("settings", words, lambda it: it.set(**values))


def endpoint_made_at(it: Deployed, moment: datetime) -> None:
    """Begin anew at Stripe: with nothing but an endpoint that is made then."""
    it.sandbox.reset()
    it.sandbox.advance(moment)
    it.api.post(
        "webhook_endpoints",
        url=URL,
        enabled_events=["*"],
        api_version=API_VERSION,
        metadata=it.marks("in_use"),
    )


def lost(it: Deployed) -> None:
    """Let events happen that nobody delivers, and a while pass."""
    endpoint_made_at(it, datetime.now(UTC) - timedelta(hours=1))
    it.sandbox.trigger("charge.succeeded", "ada")
    it.sandbox.advance(datetime.now(UTC))


def forgotten_roll(it: Deployed) -> None:
    it.endpoint(metadata=it.marks("in_use", days=4))
    it.another(metadata=it.marks("in_use", days=3))


def thin_beside(it: Deployed) -> None:
    world = it.sandbox.engine.world
    world.create(
        {
            **shapes.event_destination(world, enabled_events=["*"], name="thin"),
            "metadata": it.marks("in_use"),
            "webhook_endpoint": {"url": URL},
        },
        None,
    )


def lacking(*resources: str) -> Deed:
    """Return what lets the key lack the right to read these."""

    def do(it: Deployed) -> None:
        kept = {name for name in PERMISSIONS if name.endswith("_read")}
        it.set(
            STRIPE_API_KEY=it.sandbox.restricted_key(
                *(kept - {f"{name}_read" for name in resources})
            )
        )

    return do


LIVE: Final = {"ENV": "production", "STRIPE_API_BASE": None}
WRONGS: Final[Mapping[str, Wrong]] = MappingProxyType(
    {
        "D01": setting("PAYMENTS_ENV: missing", ENV=None),
        "D02": setting("PAYMENTS_ENV: not one of", ENV="staging"),
        "D03": setting("PAYMENTS_DATABASE_URL: missing", DATABASE_URL=None),
        "D04": setting("not a postgresql:// address", DATABASE_URL="mysql://h/d"),
        "D05": setting(
            "host or port cannot be read", DATABASE_URL="postgresql://u@h:port/d"
        ),
        "D06": setting("WEBHOOK_SECRETS: missing", STRIPE_WEBHOOK_SECRETS=None),
        "D07": setting("does not start with whsec_", STRIPE_WEBHOOK_SECRETS="x" * 40),
        "D08": setting(
            "less than 24 characters", STRIPE_WEBHOOK_SECRETS="whsec_" + "k" * 8
        ),
        "D09": setting("is there twice", STRIPE_WEBHOOK_SECRETS=f"{SECRET},{SECRET}"),
        "D10": setting(
            "Stripe makes none like that", STRIPE_WEBHOOK_SECRETS="whsec_" + "0" * 40
        ),
        "D11": setting("a live key", STRIPE_API_KEY="sk_live_" + "k" * 24),
        "D12": setting("not a Stripe key", STRIPE_API_KEY="pk_test_k3jf93kd"),
        "D13": setting("nor a loopback address", STRIPE_API_BASE="https://example.com"),
        "D14": setting("a test key", **LIVE),
        "D15": setting("STRIPE_API_KEY: missing", **LIVE, STRIPE_API_KEY=None),
        "D16": setting("PAYMENTS_JWT_ISSUER: missing", JWT_ISSUER=None),
        "D17": setting("PAYMENTS_JWT_AUDIENCE: missing", JWT_AUDIENCE=None),
        "D18": setting("PAYMENTS_JWT_KEYS", JWT_KEYS="no keys"),
        "D19": setting("also a secret of Stripe's", JWT_KEYS=jwks_of(SECRET)),
        "D20": setting("PAYMENTS_GRACE_DAYS is one", GRACE_DAY="3"),
        "D21": setting("enableServiceLinks", SERVICE_PORT="tcp://10.0.0.1:80"),
        "D22": setting(
            "its file cannot be read", JWT_KEYS=None, JWT_KEYS_FILE="/does/not/exist"
        ),
        "D23": setting("given twice", JWT_KEYS_FILE="/does/not/exist"),
        "D24": setting("not a whole number in 1..100", DATABASE_POOL_SIZE="0"),
        "D25": Wrong(
            "database", "it does not answer", lambda it: it.set(DATABASE_URL=NOBODY)
        ),
        "D26": Wrong(
            "schema", "is empty", lambda it: it.set(DATABASE_URL=it.empty_url)
        ),
        "D27": Wrong(
            "schema",
            "it is at 0001",
            lambda it: it.sql("update alembic_version set version_num = '0001'"),
        ),
        "D28": Wrong(
            "mode",
            "belongs to production",
            lambda it: it.sql("update deployment set livemode = true"),
        ),
        "D29": Wrong(
            "stripe", "did not answer", lambda it: it.set(STRIPE_API_BASE=NOWHERE)
        ),
        "D30": Wrong(
            "key", "refuses it", lambda it: it.set(STRIPE_API_KEY="sk_test_k3jf93kd")
        ),
        "D31": Wrong("key", "none is set", lambda it: it.set(STRIPE_API_KEY=None)),
        "D32": Wrong("key", "may not read Events", lacking("event")),
        "D33": Wrong("key", "may not read Charges and refunds", lacking("charge")),
        "D34": Wrong("key", "may not read Subscriptions", lacking("subscription")),
        "D35": Wrong("endpoints", "may not see them", lacking("webhook")),
        "D36": Wrong(
            "endpoints",
            "none sends to",
            lambda it: it.endpoint(url="https://example.com", metadata={}),
        ),
        "D37": Wrong(
            "endpoints", "is disabled", lambda it: it.endpoint(status="disabled")
        ),
        "D38": Wrong(
            "endpoints",
            "sends version 2025-03-31.basil",
            lambda it: it.endpoint(api_version="2025-03-31.basil"),
        ),
        "D39": Wrong(
            "endpoints",
            "types that nobody sends: charge.captured, charge.dispute.closed",
            lambda it: it.endpoint(enabled_events=["invoice.paid"]),
        ),
        "D40": Wrong(
            "endpoints",
            "what it sends is refused",
            lambda it: it.endpoint(metadata=it.marks("in_use", secret=OTHER)),
        ),
        "D41": Wrong(
            "endpoints",
            "1 of 2 secrets are of no endpoint",
            lambda it: it.set(STRIPE_WEBHOOK_SECRETS=f"{SECRET},{OTHER}"),
        ),
        "D42": Wrong("endpoints", "each event comes twice", thin_beside),
        "D43": Wrong(
            "endpoints",
            "made by a run that broke off",
            lambda it: it.another(status="disabled", metadata=it.marks("made")),
        ),
        "D44": Wrong(
            "endpoints",
            "to be enabled",
            lambda it: it.another(
                status="disabled", metadata=it.marks("waiting", days=3)
            ),
        ),
        "D45": Wrong(
            "endpoints",
            "send the same",
            forgotten_roll,
        ),
        "D46": Wrong(
            "clock", "s ahead of ours", lambda it: it.sandbox.advance("1 minute")
        ),
        "D47": Wrong("deliveries", "events are not here", lost),
        "D48": Wrong(
            "events",
            "1 pending, the oldest for 60 min",
            lambda it: it.sql(_EVENT.format(state="pending")),
        ),
        "D49": Wrong(
            "events",
            "1 quarantined",
            lambda it: it.sql(_EVENT.format(state="quarantined")),
        ),
        "D50": Wrong(
            "jobs",
            "1 overdue, the oldest for 60 min",
            lambda it: it.sql(_JOB.format(due="-1 hour", attempts=0)),
        ),
        "D51": Wrong(
            "jobs",
            "1 failing",
            lambda it: it.sql(_JOB.format(due="1 hour", attempts=12)),
        ),
        "D52": Wrong(
            "back-fill",
            "up to 60 min ago",
            lambda it: it.sql(_BEHIND.format(name="events", span="1 hour")),
        ),
        "D53": Wrong(
            "back-fill",
            "it never ran",
            lambda it: it.sql("delete from checkpoints where name = 'events'"),
        ),
        "D54": Wrong(
            "sweep",
            "up to 3 d ago",
            lambda it: it.sql(_BEHIND.format(name="sweep", span="3 days")),
        ),
        "D55": Wrong(
            "sweep",
            "it failed 4 times",
            lambda it: it.sql(
                "update checkpoints set reached_at = null, attempts = 4 "
                "where name = 'sweep'"
            ),
        ),
        "D56": Wrong(
            "erasure key",
            "none is set",
            lambda it: it.sql("insert into erased_keys values ('x', now())"),
        ),
        "D57": Wrong(
            "erasures",
            "1 began more than a day ago",
            lambda it: it.sql(
                "insert into erasures values "
                "('erased/1', '{}', now() - interval '25 hours')"
            ),
        ),
    }
)
# What follows from it, and is said, too.
ALSO: Final[Mapping[str, set[str]]] = MappingProxyType(
    {
        "D01": {"key", "endpoints", "mode"},
        "D02": {"key", "endpoints", "mode"},
        **{id_: {"deliveries"} for id_ in ("D03", "D04", "D05")},
        "D06": {"endpoints"},
        **{id_: {"key", "endpoints"} for id_ in ("D07", "D08", "D09", "D10")},
        **{id_: {"key", "endpoints"} for id_ in ("D11", "D12", "D13")},
        **{id_: {"key", "endpoints", "mode"} for id_ in ("D14", "D15")},
        "D25": {
            *("schema", "mode", "database clock", "events", "jobs", "back-fill"),
            *("sweep", "erasure key", "erasures"),
        },
        "D26": {
            *("mode", "events", "jobs", "back-fill", "sweep"),
            *("erasure key", "erasures"),
        },
        "D29": {"endpoints", "deliveries"},
        "D30": {"endpoints", "deliveries"},
        "D35": {"deliveries"},
    }
)


# Those that need a deployment of their own; the others are in `TOGETHER`, too.
ALONE: Final = ("D25", "D26", "D30", "D35", "D36", "D37", "D47")
TOGETHER: Final = (
    ("D02", "D05", "D08", "D12", "D13", "D16", "D17", "D18", "D20", "D21", "D24"),
    ("D01", "D03", "D06", "D22"),
    (
        *("D28", "D38", "D41", "D43", "D44", "D46", "D48", "D49", "D50", "D51"),
        *("D52", "D54", "D56", "D57"),
    ),
    ("D39", "D53", "D55"),
)


@pytest.mark.parametrize("ids", TOGETHER, ids="-".join)
def test_what_is_wrong_together_is_named_each(
    deployed: Deployed, ids: tuple[str, ...]
) -> None:
    """
    One does not hide another; all that is named has a remedy.
    """
    for id_ in ids:
        WRONGS[id_].do(deployed)

    answer = deployed.doctor("--json")

    found = [one for one in answer.json["items"] if one["status"] == "wrong"]
    assert answer.code == 7
    assert all(one["remedy"] for one in found)
    for id_ in ids:
        it = WRONGS[id_]
        named = {one["check"] for one in found if it.words in one["text"]}
        assert named == {it.check}, id_


@pytest.mark.parametrize("id_", WRONGS if PROVES else ALONE)
def test_what_is_wrong_is_named(deployed: Deployed, id_: str) -> None:
    """
    By its check, with a remedy; the exit code is 7, and what is well stays well. No
    secret is shown.
    """
    it = WRONGS[id_]
    it.do(deployed)

    answer = deployed.doctor("--json")

    found = [one for one in answer.json["items"] if one["status"] != "ok"]
    [named, *_] = [one for one in found if it.words in one["text"]]
    assert (answer.code, answer.json["well"]) == (7, False)
    assert named["check"] == it.check
    assert named["remedy"]
    assert {one["check"] for one in found} == {it.check} | ALSO.get(id_, set())
    for secret in (SECRET, OTHER, deployed.sandbox.api_key, json.loads(JWKS)["keys"]):
        assert str(secret) not in answer.out + answer.err


def test_the_page_has_a_row_for_each() -> None:
    """With the check that names it, and a reader's words for it."""
    rows = re.findall(r"(?m)^\| (D\d\d) \| .+ \| ([a-z -]+) \|", PAGE.read_text())
    assert rows == [(id_, it.check) for id_, it in WRONGS.items()]
    assert len(rows) >= 40


def test_a_deployment_that_is_well_is_said_to_be(deployed: Deployed) -> None:
    """Each check has a line, and the exit code is 0; nothing is changed by looking."""
    before = databases.digest(deployed.url)
    answer = deployed.doctor()
    lines = dict(re.findall(r"(?m)^ok +([a-z -]+): (.+)$", answer.out))
    assert answer.code == 0, answer.out
    assert len(lines) == len(answer.out.splitlines())
    assert list(lines) == [
        *("settings", "database", "schema", "mode", "erasure key", "database clock"),
        *("events", "jobs", "back-fill", "sweep", "erasures", "key", "clock"),
        *("endpoints", "deliveries"),
    ]
    assert databases.digest(deployed.url) == before


def test_what_was_before_the_endpoint_is_not_missed(deployed: Deployed) -> None:
    """
    An account may have a long history when the service is put beside it.
    """
    now = datetime.now(UTC)
    deployed.sandbox.reset()
    deployed.sandbox.advance(now - timedelta(days=1))
    deployed.sandbox.trigger("charge.succeeded", "ada")
    deployed.sandbox.advance(now - timedelta(hours=1))
    deployed.api.post(
        "webhook_endpoints",
        url=URL,
        enabled_events=["*"],
        api_version=API_VERSION,
        metadata=deployed.marks("in_use"),
    )
    deployed.sandbox.advance(datetime.now(UTC))

    answer = deployed.doctor()
    assert answer.code == 0, answer.out


# What a process needs to start


@pytest.mark.parametrize("id_", ["D01", "D11", "D20", "D25", "D26", "D28", "D56"])
def test_what_a_process_cannot_start_with_is_named(
    deployed: Deployed, id_: str
) -> None:
    """
    Stripe is not asked, whatever it would say.
    """
    asked = list[object]()
    deployed.sandbox.engine.watch = lambda request, _: asked.append(request)
    WRONGS[id_].do(deployed)

    answer = deployed.doctor("--start", "--json")

    assert answer.code == 7
    assert WRONGS[id_].words in answer.out
    assert {it["check"] for it in answer.json["items"]} <= {
        *("settings", "database", "schema", "mode", "erasure key"),
    }
    assert asked == []


def test_a_process_can_start_while_stripe_is_gone(deployed: Deployed) -> None:
    """What does not keep it from starting is no business of `--start`."""
    for id_ in ("D29", "D37", "D50"):
        WRONGS[id_].do(deployed)
    answer = deployed.doctor("--start")
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_a_check_that_takes_too_long_says_so() -> None:
    """The others are not held up; a bug in one is told without its text.

    Its trace is in the log.
    """

    async def never() -> Findings:
        await asyncio.Event().wait()
        return ()

    async def broken() -> Findings:
        raise ValueError(SECRET)

    async def run() -> list[Finding]:
        checks = [Check("slow", never), Check("broken", broken)]
        return [it for one in checks for it in await one.run(within_s=0)]

    with structlog.testing.capture_logs() as lines:
        slow, bug = asyncio.run(run())
    assert slow.status is bug.status is Status.UNKNOWN
    assert "no answer within" in slow.text
    assert bug.text == "it cannot be told (ValueError)"
    [line] = lines
    assert (line["check"], type(line["exc_info"])) == ("broken", ValueError)


def test_what_needs_a_database_does_not_wait_for_one_that_is_not_there() -> None:
    """Each would wait for it again; they say that they could not look."""
    looked = list[str]()

    async def look() -> Findings:
        looked.append("looked")
        return [ok("second", "well")]

    async def run(first: Finding) -> Findings:
        ended = asyncio.get_running_loop().create_future()
        ended.set_result([first])
        return await once_well(ended, Check("second", look)).run()

    [after_well] = asyncio.run(run(ok("first", "well")))
    assert (after_well.status, looked) == (Status.OK, ["looked"])
    [after_wrong] = asyncio.run(run(wrong("first", "it is not", "mend it")))
    assert (after_wrong.status, looked) == (Status.UNKNOWN, ["looked"])
