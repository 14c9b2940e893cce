"""When each alert fires: a scenario for each, with the message that a person reads."""

from collections.abc import Mapping, Sequence
from typing import Final

from support.alerts import ABSENT, GONE, Case, Firing, Scenario

_WEBHOOK: Final = 'method="POST",route="/payments-gateway/api/webhooks/stripe"'
_READ_ROUTE: Final = "/payments-gateway/api/users/{user:str}/payment-status"
_READ: Final = f'method="GET",route="{_READ_ROUTE}"'
_REQUESTS: Final = "payments_http_requests_total"
_DURATION: Final = "payments_http_request_duration_seconds_bucket"
_REFUSED: Final = 'payments_webhooks_refused_total{reason="signature_'
NAN: Final = "NaN+0x{n}"


def _one(  # noqa: PLR0913  # a column each
    alert: str,
    minutes: int,
    series: str,
    values: str,
    summary: str,
    *,
    every: int = 1,
    **labels: str,
) -> Case:
    """Return a case of one series and of one alert."""
    scenario = Scenario(minutes, {series: values})
    return Case(scenario, [Firing(alert, summary, labels)], every)


_WEBHOOKS: Final = (
    Case(
        Scenario(
            11,
            {
                f'{_REQUESTS}{{{_WEBHOOK},status="200"': "0+8x{n}",
                f'{_REQUESTS}{{{_WEBHOOK},status="503"': "0+2x{n}",
            },
        ),
        [
            Firing(
                "PaymentsWebhooksFailing",
                "20% of Stripe's webhooks are answered 5xx: payments become known "
                "late, and Stripe holds back renewals",
            )
        ],
    ),
    # So many at once that they are refused before routing.
    Case(
        Scenario(11, {'payments_requests_shed_total{lane="webhooks"': "0+3x{n}"}),
        [
            Firing(
                "PaymentsWebhooksFailing",
                "25% of Stripe's webhooks are answered 5xx: payments become known "
                "late, and Stripe holds back renewals",
            )
        ],
    ),
    Case(
        Scenario(
            11,
            {
                f"{_DURATION}{{{_WEBHOOK}": "0+5x{n}",
                f'{_DURATION}{{{_WEBHOOK},le="10.0"': "0+10x{n}",
                f'{_DURATION}{{{_WEBHOOK},le="+Inf"': "0+10x{n}",
            },
        ),
        [
            Firing(
                "PaymentsWebhooksSlow",
                "One webhook in twenty takes longer than 9.25s: Stripe will "
                "count them as failed",
            )
        ],
    ),
    Case(
        Scenario(
            6,
            {
                f"{_REFUSED}mismatch": "0+9x{n}",
                "payments_webhooks_verified_total": "50x{n}",
            },
        ),
        [
            Firing(
                "PaymentsWebhooksRefused",
                "All webhooks are refused by their signature: the signing secret is "
                "not the endpoint's",
            )
        ],
    ),
    Case(
        Scenario(
            6,
            {
                f"web-1 {_REFUSED}stale": "0+9x{n}",
                "web-1 payments_webhooks_verified_total": "50x{n}",
            },
        ),
        [
            Firing(
                "PaymentsClockWrong",
                "web-1 refuses all webhooks as signed at another time: its clock is "
                "wrong",
                {"pod": "web-1"},
            )
        ],
    ),
    # A release whose pods have become unreachable.
    Case(
        Scenario(
            1650,
            {
                "web-1 payments_webhooks_verified": "0+1x1519 stale",
                "web-2 payments_webhooks_verified": "_x1520 0x300",
                _REFUSED: "0x{n}",
            },
        ),
        [
            Firing(
                "PaymentsWebhooksSilent",
                "No webhook has arrived for two hours; yesterday there were many at "
                "this time",
            )
        ],
        every=10,
    ),
    _one(
        "PaymentsWebhooksMissing",
        66,
        'payments_event_back_fill_events_total{outcome="applied"}',
        "0+1x{n}",
        "Events of an hour in Stripe's list that arrived by no webhook: 120",
    ),
)
_WORK: Final = (
    Case(
        Scenario(15, {"worker-1 ": GONE, "worker-2 ": GONE}),
        [
            Firing(
                "PaymentsNoWorker",
                "No worker runs: pending events and interrupted operations are not "
                "completed",
            )
        ],
    ),
    Case(
        Scenario(15, {"payments_jobs_": NAN, "payments_events_": NAN}),
        [
            Firing(
                "PaymentsBacklogUnknown",
                "No worker can read the backlog from the database",
            )
        ],
    ),
    _one(
        "PaymentsEventsWaiting",
        5,
        "worker-1 payments_events_oldest_pending_age_seconds",
        "901x{n}",
        "A Stripe event has been pending for 15m 1s: what it reports is not applied "
        "yet",
    ),
    _one(
        "PaymentsJobsLate",
        5,
        "worker-1 payments_jobs_oldest_due_age_seconds",
        "901x{n}",
        "A job has been overdue for 15m 1s: the workers do not keep up",
    ),
    _one(
        "PaymentsJobsFailing",
        15,
        "payments_jobs_failing",
        "2x{n}",
        "Jobs that used up their quick attempts, and are tried once a day: 2",
    ),
    _one(
        "PaymentsEventsQuarantined",
        15,
        'payments_events_open{state="quarantined"}',
        "1x{n}",
        "Quarantined events that wait for a person's decision: 1",
    ),
    _one(
        "PaymentsOperationsUnknown",
        15,
        'payments_intents_oldest_age_seconds{state="unknown"}',
        "14401x{n}",
        "For 4h 0m 1s the outcome of a call to Stripe is unknown: somebody may be "
        "charged and not know",
    ),
    _one(
        "PaymentsOperationsOpen",
        15,
        'payments_intents_oldest_age_seconds{state="sent"}',
        "7201x{n}",
        "An operation has been open for 2h 0m 1s: its user waits for an answer",
    ),
)
_STRIPE: Final = (
    _one(
        "PaymentsStripeUnreachable",
        23,
        'web-2 payments_gateway_breaker{state="closed"}',
        "1x9 0x60",
        "Stripe does not answer: no card or subscription can be changed",
    ),
    _one(
        "PaymentsStripeKeyRefused",
        5,
        'payments_gateway_key_refused{what="key"}',
        "1x{n}",
        "Stripe refuses our API key: no card or subscription can be changed",
    ),
    _one(
        "PaymentsStripeRightMissing",
        15,
        'worker-2 payments_gateway_key_refused{what="events"}',
        "1x{n}",
        "Our API key lacks a permission at Stripe: events",
        what="events",
    ),
    _one(
        "PaymentsDeclinesSurge",
        109,
        "payments_cards_declined_total",
        "0+0.1x100 10+3x60",
        "Operations that banks declined within 15 minutes: 49.2. Somebody may be "
        "testing cards",
    ),
)
_CALLERS: Final = (
    Case(
        Scenario(12, {"web-1 ": GONE, "web-2 ": GONE}),
        [
            Firing(
                "PaymentsDown",
                "No serving process answers callers and Stripe",
            )
        ],
    ),
    _one(
        "PaymentsErrors",
        6,
        f'{_REQUESTS}{{{_READ},status="503"',
        "0+5x{n}",
        "8.333% of callers' requests are answered 5xx",
    ),
    Case(
        Scenario(
            16,
            {
                f"{_DURATION}{{{_READ}": "0+9.8x{n}",
                f'{_DURATION}{{{_READ},le="2.5"': "0+10x{n}",
                f'{_DURATION}{{{_READ},le="+Inf"': "0+10x{n}",
            },
        ),
        [
            Firing(
                "PaymentsReadsSlow",
                "One read in a hundred takes longer than 1.75s",
            )
        ],
    ),
    _one(
        "PaymentsOverloaded",
        16,
        "web-1 payments_requests_shed_total",
        "0x5 1+1x60",
        "More webhooks arrive than may be in flight: some are answered 503",
        lane="webhooks",
    ),
    # One failure, the first of the process.
    _one(
        "PaymentsBug",
        10,
        f'web-1 {_REQUESTS}{{{_READ},status="500"',
        "0x9 1x60",
        f"{_READ_ROUTE} was answered 500, which is a bug of ours",
        route=_READ_ROUTE,
    ),
    _one(
        "PaymentsBug",
        10,
        f'web-1 {_REQUESTS}{{{_READ},status="500"',
        "_x10 1x60",
        f"{_READ_ROUTE} was answered 500, which is a bug of ours",
        route=_READ_ROUTE,
    ),
    _one(
        "PaymentsTokensRefused",
        3,
        "web-1 payments_revocations_lease_age_seconds",
        "1.1x{n}",
        "web-1 accepts no token: it cannot read which are revoked",
        pod="web-1",
    ),
    _one(
        "PaymentsTokensRefused",
        3,
        "web-1 payments_revocations_lease_age_seconds",
        NAN,
        "web-1 accepts no token: it cannot read which are revoked",
        pod="web-1",
    ),
    _one(
        "PaymentsKeysStale",
        5,
        "payments_keys_age_seconds",
        "3601x{n}",
        "The keys of PAYMENTS_JWT_KEYS can no longer be read",
        setting="PAYMENTS_JWT_KEYS",
    ),
    _one(
        "PaymentsKeysStale",
        5,
        "payments_keys_age_seconds",
        NAN,
        "The keys of PAYMENTS_JWT_KEYS can no longer be read",
        setting="PAYMENTS_JWT_KEYS",
    ),
    _one(
        "PaymentsSettingFileRefused",
        5,
        "web-1 payments_setting_file_refused",
        "1x{n}",
        "The file of PAYMENTS_JWT_KEYS changed and is invalid: the old one is used, "
        "and the next start fails",
        setting="PAYMENTS_JWT_KEYS",
    ),
)
_DATABASE: Final = (
    _one(
        "PaymentsDatabaseReadOnly",
        11,
        "payments_database_writable",
        "1x9 0x60",
        "The database accepts no writes, or does not answer: webhooks and changes are "
        "answered 503",
    ),
    _one(
        "PaymentsPoolExhausted",
        10,
        'web-1 payments_database_connections{state="used"}',
        "8x{n}",
        "web-1 uses 100% of its database connections: requests wait for one",
        pod="web-1",
    ),
    _one(
        "PaymentsEventLoopLagging",
        16,
        'web-1 payments_event_loop_lag_seconds_bucket{le="0',
        "0+30x{n}",
        "The event loop of web-1 is late by 990ms: it has too little CPU",
        pod="web-1",
    ),
    _one(
        "PaymentsRestarting",
        30,
        "worker-1 process_start_time_seconds",
        "1790000000x9 1790000600x9 1790001200x9 1790001800x9",
        "worker-1 was restarted 3 times within an hour",
        pod="worker-1",
    ),
)
_UPKEEP: Final = (
    _one(
        "PaymentsBackFillLate",
        5,
        "payments_event_back_fill_lag_seconds",
        "3601x{n}",
        "Stripe's list of events was last read up to 1h 0m 1s ago: lost webhooks stay "
        "lost",
    ),
    _one(
        "PaymentsSweepLate",
        5,
        "payments_sweep_age_seconds",
        "259201x{n}",
        "The last comparison of all with Stripe is 3d 0h 0m 1s old",
    ),
    _one(
        "PaymentsPurgeLate",
        5,
        "payments_purge_age_seconds",
        "86401x{n}",
        "For 1d 0h 0m 1s nothing was deleted: personal data is kept longer than "
        "promised",
    ),
    Case(
        Scenario(
            36 * 60,
            {"payments_sweep_age": NAN, "worker-1 payments_purge_age": NAN},
        ),
        [
            Firing(
                "PaymentsUpkeepNeverDone",
                "The sweep has never completed",
                {"loop": "sweep"},
            )
        ],
        every=60,
    ),
    _one(
        "PaymentsDriftFound",
        10,
        "worker-1 payments_drifts_total",
        "0x9 3x60",
        "The nightly comparison with Stripe found drift: payment_unknown",
        kind="payment_unknown",
    ),
    _one(
        "PaymentsFeedLate",
        5,
        "payments_feed_lag_seconds",
        "61x{n}",
        "Changes reach applications 1m 1s late: users who have paid may be refused "
        "there",
    ),
    _one(
        "PaymentsDeliveriesLate",
        15,
        "payments_delivery_lag_seconds",
        "3601x{n}",
        "A change waits for 1h 0m 1s to be delivered to crm",
        endpoint="crm",
    ),
    _one(
        "PaymentsDeliveriesDead",
        15,
        "payments_deliveries_dead",
        "4x{n}",
        "Changes that were given up after three days, and that crm does not know: 4",
        endpoint="crm",
    ),
)
CASES: Final[Sequence[Case]] = (
    *_WEBHOOKS,
    *_WORK,
    *_STRIPE,
    *_CALLERS,
    *_DATABASE,
    *_UPKEEP,
)


# Nothing is wrong, or not for long enough: no alert.
QUIET: Final[Mapping[str, Mapping[str, str]]] = {
    "usual": {},
    # At night nobody pays, and there is no division by zero.
    "nobody-calls": {
        _REQUESTS: "100x{n}",
        f'{_REQUESTS}{{{_READ},status="500"': "0x{n}",
        _DURATION: "100x{n}",
        "payments_webhooks": "100x{n}",
        "payments_cards_declined": "100x{n}",
        "payments_event_back_fill_events": "100x{n}",
    },
    "just-deployed": {
        "payments_sweep_age": NAN,
        "payments_purge_age": NAN,
        "payments_event_back_fill_lag": NAN,
        "payments_revocations_lease_age": "NaN NaN 0.2x{n}",
        "payments_keys_age": "NaN NaN 10x{n}",
        _REQUESTS: "_ _ 0+1x{n}",
        'payments_http_requests_total{method="POST",'
        'route="/payments-gateway/api/webhooks/stripe",status="503"': ABSENT,
        f'{_REQUESTS}{{{_READ},status="5': ABSENT,
    },
    # No optional feature: no keys at a URL, no file, no endpoint.
    "least": {
        "payments_keys_age": ABSENT,
        "payments_setting_file": ABSENT,
        "payments_delivery_lag": ABSENT,
        "payments_deliveries_dead": ABSENT,
    },
    # Pods of the previous release end while those of the next one start.
    "rolled": {
        "web-1 ": GONE,
        "worker-2 ": GONE,
        "web-2 process_start_time": "_x10 1790000600x60",
    },
    # One worker cannot reach the database, and the other one can.
    "one-worker-is-blind": {
        "worker-1 payments_jobs_": NAN,
        "worker-1 payments_events_": NAN,
        "worker-1 payments_intents_": NAN,
        "worker-1 payments_sweep_age": NAN,
        "worker-1 payments_purge_age": NAN,
        "worker-1 payments_event_back_fill_lag": NAN,
        "worker-1 payments_feed_lag": NAN,
        "worker-1 payments_deliver": NAN,
        "worker-1 payments_database_writable": NAN,
    },
    # Each exactly at its allowed limit.
    "at-its-limit": {
        "payments_events_oldest_pending": "900x{n}",
        "payments_jobs_oldest_due": "900x{n}",
        'payments_intents_oldest_age_seconds{state="unknown"}': "14400x{n}",
        'payments_intents_oldest_age_seconds{state="sent"}': "7200x{n}",
        "payments_event_back_fill_lag": "3600x{n}",
        "payments_sweep_age": "259200x{n}",
        "payments_purge_age": "86400x{n}",
        "payments_feed_lag": "60x{n}",
        "payments_delivery_lag": "3600x{n}",
        "payments_revocations_lease_age": "1x{n}",
        "payments_keys_age": "3600x{n}",
        "payments_cards_declined": "0+0.6x{n}",
        'payments_event_back_fill_events_total{outcome="applied"': "0+0.08x{n}",
        f'{_REQUESTS}{{{_READ},status="503"': "0+2.8x{n}",
        f'{_REQUESTS}{{{_WEBHOOK},status="503"': "0+0.9x{n}",
        'payments_database_connections{state="used"': "7.2x{n}",
        # 95 of 100 are in the bucket of 2.5 s, 99 of 100 in those of 1 s and 0.25 s.
        f'{_DURATION}{{{_WEBHOOK},le="0': "0+5x{n}",
        f'{_DURATION}{{{_WEBHOOK},le="1': "0+5x{n}",
        f'{_DURATION}{{{_WEBHOOK},le="10.0"': "0+10x{n}",
        f'{_DURATION}{{{_READ},le="0': "0+5x{n}",
        'payments_event_loop_lag_seconds_bucket{le="0.0': "0+30x{n}",
        'payments_event_loop_lag_seconds_bucket{le="0.1': "0+30x{n}",
    },
    # A small service: half an hour without a webhook is normal.
    "few-webhooks": {
        "payments_webhooks_verified": "100x{n}",
        f"{_REFUSED}mismatch": "0+0.07x{n}",
        f"{_REFUSED}stale": "0+0.15x{n}",
    },
    # Problems that end before a person could act.
    "short": {
        "web-1 up": "1x9 0 1x{n}",
        "web-2 up": "1x9 0 1x{n}",
        'payments_gateway_breaker{state="closed"}': "1x19 0x6 1x{n}",
        "payments_database_writable": "1x9 0 1x{n}",
        "payments_jobs_failing": "0x9 1x9 0x{n}",
        "payments_setting_file_refused": "0x9 1x3 0x{n}",
        "payments_requests_shed": "0x9 5x{n}",
    },
    # A single webhook failed; Stripe sends it again.
    "one-failed": {
        f'{_REQUESTS}{{{_WEBHOOK},status="200"': "0x{n}",
        f'web-1 {_REQUESTS}{{{_WEBHOOK},status="503"': "0x9 1x{n}",
        # And all of four callers at night.
        f"{_REQUESTS}{{{_READ}": "0x{n}",
        f'web-1 {_REQUESTS}{{{_READ},status="503"': "0x9 4x{n}",
    },
    # Requests that anybody may send, as often as they like.
    "forged": {
        f"{_REFUSED}mismatch": "0+500x{n}",
        f"{_REFUSED}missing": "0+500x{n}",
        f"{_REFUSED}stale": "0+500x{n}",
    },
}
# Webhooks stopped hours ago where a dozen come in two hours, or where a day has few.
FEW_WEBHOOKS: Final[Mapping[str, Mapping[str, str]]] = {
    "few-in-two-hours": {"payments_webhooks_verified": "0+0.07x1480 104x300"},
    "few-in-a-day": {"payments_webhooks_verified": "0x60 0+0.3x150 45x1500"},
}
