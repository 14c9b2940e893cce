"""Possible problems of a deployment: the rows of docs/doctor.md."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from faults.doctor.deployment import OTHER, SECRET, URL, Deployed, endpoint_made_at
from payments_adapters.webhooks_out.signing import written
from payments_core.jobs.drift_counts import RECONCILIATION
from payments_sandbox import shapes
from payments_sandbox.permissions import PERMISSIONS
from support.commands import NOBODY
from support.databases import direct

_EVENT: Final = """
insert into webhook_events (id, type, created_at, received_at, livemode, state)
values (
    'evt_{state}', 'invoice.paid', now(), now() - interval '1 hour', false, '{state}'
)
"""
_BEHIND: Final = """
update checkpoints set reached_at = now() - interval '{span}' where name = '{name}'
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


Deed = Callable[[Deployed], object]


def only_reads(deployed: Deployed) -> str:
    """Return the address of the database for sessions that only read."""
    # A pooler does not accept such a setting.
    return f"{direct(deployed.url)}?default_transaction_read_only=on"


@attrs.frozen
class Wrong:
    """A problem, the check that names it, and the expected words."""

    check: str
    words: str
    do: Deed


def setting(words: str, **values: str | None) -> Wrong:
    return Wrong("settings", words, lambda it: it.set(**values))


def lost(it: Deployed) -> None:
    """Create events that are not delivered, and let some time pass."""
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
    """Make a delivery fail for some time."""
    it.set(WEBHOOKS_OUT=CRM)
    it.sql(_DELIVERY.format(position=1 + dead, dead=dead))


def lacking(*resources: str) -> Deed:
    """Return a function that removes the key's right to read these."""

    def do(it: Deployed) -> None:
        kept = {name for name in PERMISSIONS if name.endswith("_read")}
        it.set(
            STRIPE_API_KEY=it.sandbox.restricted_key(
                *(kept - {f"{name}_read" for name in resources})
            )
        )

    return do


def selling(named: str | None = None, **changed: str) -> Deed:
    """Return a function that sells a product by a catalogue that names its price.

    Or another price instead; `changed` are the price's other differences.
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
        "D09": setting("appears twice", STRIPE_WEBHOOK_SECRETS=f"{SECRET},{SECRET}"),
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
            "refuses the connection: [Errno 111] Connection refused",
            lambda it: it.set(DATABASE_URL=NOBODY),
        ),
        "D26": Wrong(
            "schema", "is empty", lambda it: it.set(DATABASE_URL=it.empty_url)
        ),
        "D27": Wrong(
            "schema",
            "the schema is at 0001",
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
            "key",
            "refuses the key",
            lambda it: it.set(STRIPE_API_KEY="sk_test_k3jf93kd"),
        ),
        "D31": Wrong("key", "no key is set", lambda it: it.set(STRIPE_API_KEY=None)),
        "D32": Wrong("key", "no permission to read Events", lacking("event")),
        "D33": Wrong(
            "key", "no permission to read Charges and refunds", lacking("charge")
        ),
        "D34": Wrong(
            "key", "no permission to read Subscriptions", lacking("subscription")
        ),
        "D35": Wrong("endpoints", "no permission to read them", lacking("webhook")),
        "D36": Wrong(
            "endpoints",
            "no endpoint sends to",
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
            "no endpoint sends these types: charge.captured, charge.dispute.closed",
            lambda it: it.endpoint(enabled_events=["invoice.paid"]),
        ),
        "D40": Wrong(
            "endpoints",
            "its events are refused",
            lambda it: it.endpoint(metadata=it.marks("in_use", secret=OTHER)),
        ),
        "D41": Wrong(
            "endpoints",
            "1 of 2 secrets belong to no endpoint",
            lambda it: it.set(STRIPE_WEBHOOK_SECRETS=f"{SECRET},{OTHER}"),
        ),
        "D42": Wrong("endpoints", "each event arrives twice", thin_beside),
        "D43": Wrong(
            "endpoints",
            "created by an interrupted run",
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
            "send the same events",
            forgotten_roll,
        ),
        "D46": Wrong(
            "clock", "s ahead of ours", lambda it: it.sandbox.advance("1 minute")
        ),
        "D47": Wrong("deliveries", "events have not arrived", lost),
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
            "it has never run",
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
            "no key is set",
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
            "3 of 5 differences remain that the last sweep, up to 2 h ago, found: "
            "card 2, payment_missing 1",
            lambda it: it.swept(
                {"card": 4, "payment_missing": 1},
                repaired={"card": 2},
                by=RECONCILIATION,
            ),
        ),
        "D59": Wrong(
            "drift",
            "repaired 2 differences from lost events",
            lambda it: it.swept(
                {"card": 3}, repaired={"card": 3}, lost=2, by=RECONCILIATION
            ),
        ),
        "D60": Wrong(
            "schema",
            "the schema is at 'garbage', a revision that no release has",
            lambda it: it.sql("update alembic_version set version_num = 'garbage'"),
        ),
        "D61": setting(
            "PAYMENTS_CATALOGUE: products.prod_a.name: empty",
            CATALOGUE="[products.prod_a]\nname = ''",
        ),
        "D62": Wrong(
            "catalogue",
            "prod_none: not found at Stripe",
            lambda it: it.set(CATALOGUE="[products.prod_none]"),
        ),
        "D63": Wrong(
            "catalogue", "price_none: not found at Stripe", selling("price_none")
        ),
        "D64": Wrong("catalogue", "not active", selling(active="false")),
        "D65": Wrong("catalogue", "not recurring", selling(recurring="")),
        "D66": Wrong(
            "catalogue", "belongs to prod_other", selling(product="prod_other")
        ),
        "D67": setting("endpoints.crm.url: missing", WEBHOOKS_OUT="[endpoints.crm]"),
        "D68": Wrong(
            "webhooks out",
            "crm: 1 dead, after three days of attempts",
            lambda it: delivering(it, dead=True),
        ),
        "D69": Wrong(
            "webhooks out",
            "crm: 1 open, one of which has failed for 2 h",
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
            "the database accepts no writes",
            lambda it: it.set(DATABASE_URL=only_reads(it)),
        ),
    }
)
# Its consequences, which are reported, too.
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
# The remedy there is not a command.
BY_HAND: Final = frozenset(
    {"D28", "D30", "D31", "D32", "D33", "D34", "D35", "D41", "D42", "D46", "D56"}
    | {"D62", "D63", "D64", "D65", "D66"}
)
