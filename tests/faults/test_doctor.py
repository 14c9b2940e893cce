"""`payments doctor`: each configuration that is wrong is named, with its remedy.

The rows of docs/doctor.md are the tests here: each makes one thing wrong in a
deployment that is well, and that alone is found.
"""

import asyncio
import base64
import json
import re
import secrets
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import attrs
import click
import pytest
import structlog

from payments_adapters.jwt import generate_jwks
from payments_adapters.postgres import schema
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import EVENT_TYPES
from payments_adapters.webhooks_out.signing import written
from payments_core.jobs.drift_counts import RECONCILIATION
from payments_sandbox import Sandbox, shapes
from payments_sandbox.permissions import PERMISSIONS
from payments_service.cli.root import payments
from payments_service.doctor import CheckResult, Status
from payments_service.doctor.checks import Check, CheckResults, ok, once_well, wrong
from payments_service.endpoint_roles import WEBHOOK_PATH, digest_of
from support import databases
from support.command_line import Answer, Inside
from support.commands import NOBODY
from support.jwks_server import serving_keys
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
delete from deliveries; delete from delivery_cursors;
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
_ARRIVED: Final = """
insert into webhook_events (id, type, created_at, received_at, livemode, state)
values ('{id}', 'charge.succeeded', now(), now(), false, 'applied')
"""
_BEHIND: Final = """
update checkpoints set reached_at = now() - interval '{span}' where name = '{name}'
"""
_SWEPT: Final = """
insert into checkpoints (name, due_at, attempts, lease_no)
values ('{name}', now(), 0, 1) on conflict do nothing;
update checkpoints set reached_at = now() - interval '{ago}', result = '{result}'
where name = '{name}'
"""
_DELIVERY: Final = """
insert into delivery_cursors values ('crm', 2) on conflict do nothing;
insert into deliveries (
    endpoint, position, user_id, due_at, attempts, lease_no, first_tried_at, dead
) values (
    'crm', {position}, 'ada', now(), 9, 1, now() - interval '2 hours', {dead}
)
"""
CRM: Final = f"""
[endpoints.crm]
url = "https://crm.example/hooks"
secrets = ["{written(secrets.token_bytes(32))}"]
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
    # An address with a key set that has no keys.
    keyless_url: str

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

    def swept(  # noqa: PLR0913  # each a member of the row
        self,
        found: dict[str, int],
        *,
        repaired: dict[str, int] | None = None,
        lost: int = 0,
        by: str = "sweep",
        ago: str = "2 hours",
        since: str | None = None,
    ) -> None:
        """Let a sweep have found so much, of each kind."""
        counts = {"found": found, "repaired": repaired or {}, "lost": lost}
        result = json.dumps({**counts, "since": since})
        self.sql(_SWEPT.format(name=by, ago=ago, result=result))

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


@pytest.fixture(scope="module")
def keyless_url() -> Iterator[str]:
    with serving_keys() as server:
        server.document = b'{"keys": []}'
        yield server.url


@pytest.fixture
def deployed(
    account: Sandbox, stored: tuple[str, str], inside: Inside, keyless_url: str
) -> Deployed:
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
    it = Deployed(account, *stored, inside, env, keyless_url)
    it.sql(_WELL.format(head=schema.head()))
    endpoint_made_at(it, datetime.now(UTC))
    return it


Deed = Callable[[Deployed], object]


def only_reads(deployed: Deployed) -> str:
    """Return the address of the database for sessions that only read."""
    return f"{deployed.url}?default_transaction_read_only=on"


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


def delivering(it: Deployed, *, dead: bool) -> None:
    """Let a delivery have failed for some time."""
    it.set(WEBHOOKS_OUT=CRM)
    it.sql(_DELIVERY.format(position=1 + dead, dead=dead))


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


def selling(named: str | None = None, **changed: str) -> Deed:
    """Return what sells a product by a catalogue that names its price.

    Or another price in its place; the price is otherwise as `changed` says.
    """

    def do(it: Deployed) -> None:
        for id_ in ("prod_sold", "prod_other"):
            it.api.post("products", id=id_, name=id_)
        active = changed.get("active", "true")
        price = it.api.post(
            "prices",
            currency="eur",
            unit_amount=900,
            product=changed.get("product", "prod_sold"),
            active=active,
            **({} if "recurring" in changed else {"recurring": {"interval": "month"}}),
        )
        it.set(
            CATALOGUE=f"[products.prod_sold]\nprices = ['{named or price['id']}']\n"
            "[prepaid]"
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
            "the file of PAYMENTS_JWT_KEYS_FILE cannot be read: No such file",
            JWT_KEYS=None,
            JWT_KEYS_FILE="/does/not/exist",
        ),
        "D23": setting("given twice", JWT_KEYS_FILE="/does/not/exist"),
        "D24": setting("not a whole number in 1..100", DATABASE_POOL_SIZE="0"),
        "D25": Wrong(
            "database",
            "does not let us in: [Errno 111] Connection refused",
            lambda it: it.set(DATABASE_URL=NOBODY),
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
        "D58": Wrong(
            "drift",
            "3 of 5 differences that the last sweep found, of what was made up "
            "to 2 h ago, are left: "
            "card 2, payment_missing 1",
            lambda it: it.swept(
                {"card": 4, "payment_missing": 1},
                repaired={"card": 2},
                by=RECONCILIATION,
            ),
        ),
        "D59": Wrong(
            "drift",
            "repaired what lost events left, 2 times",
            lambda it: it.swept(
                {"card": 3}, repaired={"card": 3}, lost=2, by=RECONCILIATION
            ),
        ),
        "D60": Wrong(
            "schema",
            "it is at 'garbage', a revision that no release has",
            lambda it: it.sql("update alembic_version set version_num = 'garbage'"),
        ),
        "D61": setting(
            "PAYMENTS_CATALOGUE: products.prod_a.name: empty",
            CATALOGUE="[products.prod_a]\nname = ''",
        ),
        "D62": Wrong(
            "catalogue",
            "prod_none: Stripe has none",
            lambda it: it.set(CATALOGUE="[products.prod_none]"),
        ),
        "D63": Wrong("catalogue", "price_none: Stripe has none", selling("price_none")),
        "D64": Wrong("catalogue", "not active", selling(active="false")),
        "D65": Wrong("catalogue", "not recurring", selling(recurring="")),
        "D66": Wrong("catalogue", "but of prod", selling(product="prod_other")),
        "D67": setting("endpoints.crm.url: missing", WEBHOOKS_OUT="[endpoints.crm]"),
        "D68": Wrong(
            "webhooks out",
            "crm: 1 dead, which were tried for three days",
            lambda it: delivering(it, dead=True),
        ),
        "D69": Wrong(
            "webhooks out",
            "crm: 1 open, one of which fails for 2 h",
            lambda it: delivering(it, dead=False),
        ),
        "D70": Wrong(
            "webhooks out",
            "crm: no worker has begun to deliver to it",
            lambda it: it.set(WEBHOOKS_OUT=CRM),
        ),
        "D71": Wrong(
            "signing keys",
            "PAYMENTS_JWT_KEYS_URL: no answer",
            lambda it: it.set(JWT_KEYS=None, JWT_KEYS_URL=f"{NOWHERE}/keys"),
        ),
        "D72": Wrong(
            "signing keys",
            "PAYMENTS_JWT_KEYS_URL: not 1 to 32 keys",
            lambda it: it.set(JWT_KEYS=None, JWT_KEYS_URL=it.keyless_url),
        ),
        "D73": setting(
            "given besides PAYMENTS_JWT_KEYS", JWT_KEYS_URL="https://example.com/keys"
        ),
        "D74": setting(
            "entry 1 has a scope that is not one of",
            KUBERNETES_ISSUER="cluster",
            KUBERNETES_KEYS_URL="https://example.com/keys",
            KUBERNETES_SCOPES="shop/shop=payments:write",
        ),
        "D75": Wrong(
            "writes",
            "the database takes none",
            lambda it: it.set(DATABASE_URL=only_reads(it)),
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
            *("schema", "mode", "writes", "database clock", "events", "jobs"),
            *("back-fill", "sweep", "drift", "erasure key", "erasures", "webhooks out"),
        },
        "D26": {
            *("mode", "events", "jobs", "back-fill", "sweep", "drift"),
            *("erasure key", "erasures"),
        },
        "D29": {"endpoints", "deliveries"},
        "D30": {"endpoints", "deliveries"},
        "D35": {"deliveries"},
    }
)


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
# What to do there is no command.
BY_HAND: Final = frozenset(
    {"D28", "D30", "D31", "D32", "D33", "D34", "D35", "D41", "D42", "D46", "D56"}
    | {"D62", "D63", "D64", "D65", "D66"}
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
        named = [one for one in found if it.words in one["text"]]
        assert {one["check"] for one in named} == {it.check}, id_
        for one in named:
            assert pasted(one["remedy"]) is not (id_ in BY_HAND), one


def pasted(remedy: str) -> bool:
    """Paste what is a command; say whether there was any."""
    commands = [shlex.split(it) for it in re.findall("`([^`]+)`", remedy)]
    for program, *words in commands:
        command: click.Command = payments
        if program != "payments":
            assert program in {"psql", "curl"}
            continue
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, remedy
            command = found
        # A command keeps by what names its help was asked for the first time.
        above = click.Context(payments, **payments.context_settings)
        # It refuses what it does not know, and what is missing.
        command.make_context("pasted", words, parent=above)
    return bool(commands)


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
    """Each check has a line, and the exit code is 0; nothing is changed by looking."""
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


def test_a_catalogue_is_compared_with_what_is_sold(deployed: Deployed) -> None:
    """Its version is said, so that it is known which one was looked at."""
    selling()(deployed)
    answer = deployed.doctor("--json")
    [found] = [it for it in answer.json["items"] if it["check"] == "catalogue"]
    assert (answer.code, found["status"]) == (0, "ok")
    assert re.fullmatch("all that version [0-9a-f]{12} names is sold", found["text"])


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


def test_an_event_that_nobody_follows_is_not_missed(deployed: Deployed) -> None:
    """It is listed as the others are, and nothing of it would be kept."""
    endpoint_made_at(deployed, datetime.now(UTC) - timedelta(hours=1))
    deployed.api.post("products", name="tea")
    deployed.sandbox.advance(datetime.now(UTC))
    listed = [it["type"] for it in deployed.sandbox.events()]
    answer = deployed.doctor()
    assert listed == ["product.created"]
    assert answer.code == 0, answer.out
    assert "nothing happened lately that should be here" in answer.out


def test_of_what_happened_that_alone_is_missed_that_is_not_here(
    deployed: Deployed,
) -> None:
    """All but one came; then all did."""
    lost(deployed)
    events = deployed.sandbox.events()
    missed, *came = [it["id"] for it in events if it["type"] in EVENT_TYPES]
    assert came

    def arrive(*ids: str) -> None:
        for id_ in ids:
            deployed.sql(_ARRIVED.format(id=id_))

    arrive(*came)
    some = {it["check"]: it for it in deployed.doctor("--json").json["items"]}
    arrive(missed)
    every = deployed.doctor()

    assert some["deliveries"]["text"].startswith("1 of the latest ")
    assert some["deliveries"]["text"].endswith(f": {missed}")
    assert every.code == 0, every.out
    assert f"all {1 + len(came)} of the latest events" in every.out


def test_the_endpoints_of_one_address_alone_are_looked_at(deployed: Deployed) -> None:
    """Where an account has those of several deployments."""
    deployed.another(url=URL.replace("//pay.", "//other."), status="disabled")
    every = deployed.doctor()
    ours = deployed.doctor("--url", "https://pay.example.com")
    other = deployed.doctor("--url", "https://other.example.com")
    none = deployed.doctor("--url", "https://none.example.com", "--json")
    assert (every.code, ours.code, other.code, none.code) == (7, 0, 7, 7)
    assert "is disabled" in every.out
    assert "is disabled" in other.out
    [wrong] = [it for it in none.json["items"] if it["status"] == "wrong"]
    assert "setup --url https://none.example.com --secret-file" in wrong["remedy"]


def test_a_first_sweep_that_never_came_to_its_end_is_late(deployed: Deployed) -> None:
    """As of a worker that is killed in it each time, which counts no failure."""
    first = (
        "update checkpoints set reached_at = null, attempts = 0, "
        "due_at = now() - interval '{}' where name = 'sweep'"
    )
    codes = list[int]()
    for ago in ("1 hour", "3 days"):
        deployed.sql(first.format(ago))
        answer = deployed.doctor()
        codes.append(answer.code)
        assert "sweep: its first turn is due at" in answer.out
    assert codes == [0, 7]


# What sweeps found


@pytest.mark.parametrize(
    ("found", "repaired", "remedies"),
    [
        ({"card": 1}, {}, {"payments reconcile --apply"}),
        ({"unreadable": 2}, {}, {"payments reconcile"}),
        ({"card": 3, "unreadable": 1}, {"card": 2}, None),
    ],
    ids=["by itself", "by a person", "both"],
)
def test_what_differs_still_is_repaired_or_decided(
    deployed: Deployed,
    found: dict[str, int],
    repaired: dict[str, int],
    remedies: set[str] | None,
) -> None:
    """What no repair can mend is named without it."""
    deployed.swept(found, repaired=repaired)
    answer = deployed.doctor("--json")
    [wrong] = [it for it in answer.json["items"] if it["status"] != "ok"]
    named = set(re.findall("`(.+?)`", wrong["remedy"]))
    assert named == (remedies or {"payments reconcile", "payments reconcile --apply"})


def test_what_a_sweep_repaired_is_well(deployed: Deployed) -> None:
    """It was down, or an event was closed; a sweep that found nothing says so, too."""
    said = []
    for found in ({}, {"card": 2}):
        deployed.swept(found, repaired=found)
        answer = deployed.doctor("--json")
        assert answer.code == 0
        said += [it["text"] for it in answer.json["items"] if it["check"] == "drift"]
    assert said == [
        "the last sweep, up to 2 h ago, found nothing that differs",
        "the last sweep, up to 2 h ago, repaired all that differed: 2",
    ]


@pytest.mark.parametrize("by_hand_later", [True, False])
def test_of_a_sweep_and_a_reconciliation_by_hand_the_later_one_counts(
    deployed: Deployed, *, by_hand_later: bool
) -> None:
    """Either may be the one that found something."""
    ago = ("2 hours", "1 hour")
    deployed.swept({"card": 1}, ago=ago[not by_hand_later])
    deployed.swept({}, by=RECONCILIATION, ago=ago[by_hand_later])
    assert deployed.doctor().code == (0 if by_hand_later else 7)


def test_what_a_longer_run_left_is_told_beside_a_shorter_one(
    deployed: Deployed,
) -> None:
    """The remedy goes back as far."""
    long, short = "2015-01-01T00:00:00+00:00", "2026-10-01T00:00:00+00:00"
    left = {"payment_missing": 1}
    deployed.swept(left, by=RECONCILIATION, ago="3 hours", lost=2, since=long)
    deployed.swept({}, since=short)

    answer = deployed.doctor("--json")

    told = [it for it in answer.json["items"] if it["check"] == "drift"]
    assert [it["status"] for it in told] == ["wrong", "ok"]
    assert "`payments reconcile --since 2015-01-01`" in told[0]["remedy"]
    deployed.swept({}, since=long)
    assert deployed.doctor().code == 0


# Who holds a lock


_WAITING: Final = """
select count(*) from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database()
"""
_READ: Final = (
    *("alembic_version", "checkpoints", "deployment", "erased_keys", "erasures"),
    *("jobs", "webhook_events"),
)


@contextmanager
def locked(url: str, *tables: str, until: int | None = None) -> Iterator[None]:
    """Lock tables to the end, or until so many wait for them at once."""
    held, over = threading.Event(), threading.Event()

    async def hold() -> None:
        async with (
            asyncpg.create_pool(url, min_size=2, max_size=2) as pool,
            pool.acquire() as watcher,
            pool.acquire() as holder,
            holder.transaction(),
        ):
            await holder.execute(f"lock table {', '.join(tables)}")
            held.set()
            if until is None:
                await asyncio.to_thread(over.wait)
            while not over.is_set() and await watcher.fetchval(_WAITING) < until:
                pass

    holding = threading.Thread(target=asyncio.run, args=[hold()])
    holding.start()
    held.wait()
    try:
        yield
    finally:
        over.set()
        holding.join()


def test_checks_wait_for_locks_side_by_side(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each on a connection of its own: that one waits makes no other one wait.
    """
    for module in ("store", "schema"):
        name = f"payments_adapters.postgres.{module}.COMMAND_TIMEOUT_S"
        monkeypatch.setattr(name, 60.0)
    # Schema, mode, erasure key, events, jobs, back-fill, sweep, drift, erasures.
    with locked(deployed.url, *_READ, until=9):
        answer = deployed.doctor()
    assert answer.code == 0, answer.out


@pytest.mark.parametrize(
    ("table", "check"), [("jobs", "jobs"), ("alembic_version", "schema")]
)
def test_a_check_that_cannot_look_because_of_a_lock_is_named(
    deployed: Deployed, table: str, check: str
) -> None:
    """With how to find who holds it; no other check is."""
    name = deployed.url.rpartition("/")[2]
    # A check that waits at all is told so: as after five seconds, but at once.
    deployed.sql(f"alter database {name} set lock_timeout = 1")
    try:
        with locked(deployed.url, table):
            answer = deployed.doctor("--json")
    finally:
        deployed.sql(f"alter database {name} reset lock_timeout")

    [found] = [it for it in answer.json["items"] if it["status"] != "ok"]
    assert (answer.code, found["check"], found["status"]) == (7, check, "unknown")
    assert "locked" in found["text"]
    assert pasted(found["remedy"])


# What a process needs to start


@pytest.mark.parametrize(
    "id_", ["D01", "D11", "D20", "D25", "D26", "D28", "D56", "D60"]
)
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
    # No bug of ours is told of it.
    assert "Traceback" not in answer.err
    assert asked == []


def test_a_process_can_start_while_the_database_only_reads(deployed: Deployed) -> None:
    """It is not ready until writes are back, and need not be started for it again."""
    WRONGS["D75"].do(deployed)
    answer = deployed.doctor("--start")
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_a_process_can_start_while_stripe_is_gone(deployed: Deployed) -> None:
    """What does not keep it from starting is no business of `--start`."""
    for id_ in ("D29", "D37", "D50"):
        WRONGS[id_].do(deployed)
    answer = deployed.doctor("--start")
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_a_worker_is_looked_at_by_what_a_worker_needs(deployed: Deployed) -> None:
    """It has no keys of callers and no secret of webhooks, and starts without."""
    for name in [it for it in deployed.env if "_JWT_" in it or "WEBHOOK" in it]:
        del deployed.env[name]

    assert deployed.doctor("--start", "--worker").code == 0
    serving = deployed.doctor("--start")
    assert serving.code == 7
    assert "PAYMENTS_JWT_KEYS: missing" in serving.out


def test_a_check_that_takes_too_long_says_so() -> None:
    """The others are not held up; a bug in one is told without its text.

    Its trace is in the log.
    """

    async def never() -> CheckResults:
        await asyncio.Event().wait()
        return ()

    async def broken() -> CheckResults:
        raise ValueError(SECRET)

    async def run() -> list[CheckResult]:
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

    async def look() -> CheckResults:
        looked.append("looked")
        return [ok("second", "well")]

    async def run(first: CheckResult) -> CheckResults:
        ended = asyncio.get_running_loop().create_future()
        ended.set_result([first])
        return await once_well(ended, Check("second", look)).run()

    [after_well] = asyncio.run(run(ok("first", "well")))
    assert (after_well.status, looked) == (Status.OK, ["looked"])
    [after_wrong] = asyncio.run(run(wrong("first", "it is not", "mend it")))
    assert (after_wrong.status, looked) == (Status.UNKNOWN, ["looked"])
