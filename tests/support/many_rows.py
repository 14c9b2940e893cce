"""Tables so large that an index is always the cheapest plan.

Users `u1`, `u2`, …, each with all kinds of rows; `u1` has as many of each as all others
together. Open, due, dead and unlinked rows are as many again.
"""

from typing import Final

COUNT: Final = 3_000
HEAVY: Final = "u1"
# Who has what everybody has.
LIGHT: Final = "u7"
ENDPOINT: Final = "crm"
_THEN: Final = "timestamptz '2026-01-01' + n * interval '1 second'"
_ALL: Final = f"generate_series(1, {COUNT}) n"
# So much work that the oldest jobs are few.
_MANY: Final = f"generate_series(1, {3 * COUNT}) n"
FILL: Final = f"""
-- No trigger for the release before notes what is filled.
set "payments.saved_by" = 'save_v1';
insert into payment_accounts (user_id, email, email_key, customer_id, payment_status,
    latest_status, latest_created_at, latest_precedence, latest_payment_id,
    latest_buys_month, latest_returned, version, created_at, updated_at)
select 'u' || n, 'a' || n || '@x.org', 'a' || n || '@x.org', 'cus_' || n,
    case when n % 2 = 0 then 'paid' else 'failed' end, 'paid', {_THEN}, 1, 'ch_' || n,
    true, false, case when n = 1 then {COUNT} + 1 else 2 end, now(), now()
from {_ALL};
insert into payments (id, user_id, state, dispute, amount_minor, currency,
    refunded_minor, created_at, customer_id, claimed_by, email_key, invoice_id, version,
    recorded_at, updated_at)
select 'ch_' || n, 'u' || n, 'succeeded', 'none', 100, 'eur', 0, {_THEN}, 'cus_' || n,
    null, null, 'in_' || n, 1, now(), now() from {_ALL}
union all
select 'ch_heavy_' || n, '{HEAVY}', 'succeeded', 'none', 100, 'eur', 0, {_THEN}, null,
    null, null, null, 1, now(), now() from {_ALL}
-- Of nobody, by each key: of users who are there, and of nobody who is.
union all
select 'ch_free_' || n, null, 'succeeded', 'none', 100, 'eur', 0, {_THEN},
    case n % 6 when 0 then 'cus_free' when 3 then 'cus_free_' || n end,
    case n % 6 when 1 then 'free' when 4 then 'free_' || n end,
    case n % 6 when 2 then 'free@x.org' when 5 then 'old' || n || '@x.org' end,
    null, 1, now(), now() from {_ALL};
insert into invoice_payments (invoice_id, payment_id, recorded_at)
select 'in_' || n, 'ch_' || n, now() from {_ALL};
insert into subscriptions (gateway_id, id, user_id, customer_id, status, product, price,
    quantity, item_id, currency, created_at, period_start, period_end,
    cancel_at_period_end, known_until, ticket, look_at, claimed_by, version,
    recorded_at, updated_at)
select 'sub_' || n, 'sub_' || n, 'u' || n, 'cus_' || n, 'active', 'prod', 'price', 1,
    'si', 'eur', {_THEN}, {_THEN}, {_THEN} + interval '30 days', false, {_THEN}, 1,
    {_THEN}, null, 1, now(), now() from {_ALL}
union all
select 'sub_free_' || n, 'sub_free_' || n, null, 'cus_free', 'active', 'prod', 'price',
    1, 'si', 'eur', {_THEN}, {_THEN}, {_THEN} + interval '30 days', false, {_THEN}, 1,
    null, case when n % 2 = 0 then 'free' end, 1, now(), now() from {_ALL};
insert into paid_periods (subscription_id, invoice_id, starts_at, ends_at,
    amount_paid_minor, source, recorded_at)
select 'sub_' || n, 'in_' || n, {_THEN}, {_THEN} + interval '30 days', 100, 'invoice',
    now() from {_ALL};
insert into webhook_events (id, type, object_id, user_id, created_at, received_at,
    livemode, state, waits_for, body)
select 'evt_' || n, 'charge.succeeded', 'ch_' || n, 'u' || n, {_THEN}, {_THEN}, false,
    'applied', null, null::bytea from {_ALL}
union all
select 'evt_heavy_' || n, 'charge.succeeded', 'ch_heavy_' || n, '{HEAVY}', {_THEN},
    {_THEN}, false, 'applied', null, null from {_ALL}
union all
select 'evt_pending_' || n, 'charge.updated', 'ch_x_' || n, null, {_THEN}, {_THEN},
    false, 'pending', 'payment ch_x_' || n, null from {_ALL}
union all
select 'evt_held_' || n, 'charge.updated', 'ch_y_' || n, null, {_THEN}, {_THEN}, false,
    'quarantined', null, null from {_ALL}
union all
select 'evt_closed_' || n, 'charge.updated', 'ch_z_' || n, null, {_THEN}, {_THEN},
    false, 'closed', null, '\\x7b7d'::bytea from {_ALL};
create table event_bodies_20260101 partition of event_bodies
for values from ('2026-01-01') to ('2026-01-02');
insert into event_bodies (received_on, id, type, body)
select (received_at at time zone 'UTC')::date, id, type, convert_to('{{}}', 'UTF8')
from webhook_events where body is null;
insert into account_log (user_id, version, at, payment_status, cause, sources, grace_s,
    position)
select 'u' || n, 1, {_THEN}, 'paid', '', array['e'], 0, n from {_ALL}
union all
select '{HEAVY}', n + 1, {_THEN}, 'paid', '', array['e'], 0, {COUNT} + n from {_ALL}
union all
select 'u' || n, 2, {_THEN}, 'paid', '', array['e'], 0, null from {_ALL} where n > 1;
insert into feed_head (singleton, last) values (true, 2 * {COUNT})
on conflict (singleton) do update set last = excluded.last;
insert into access_ends (user_id, due_at) select 'u' || n, {_THEN} from {_ALL};
insert into delivery_cursors (endpoint, position) values ('{ENDPOINT}', {COUNT});
insert into deliveries (endpoint, position, user_id, due_at, attempts, lease_no, dead)
select '{ENDPOINT}', n, 'u' || n, {_THEN}, 0, 0, n % 2 = 0 from {_ALL};
insert into link_keys (key, version)
select 'user u' || n, 1 from {_ALL}
union all
select 'customer cus_' || n, 1 from {_ALL};
insert into former_keys (kind, key, user_id, since, until)
select 'email', 'old' || n || '@x.org', 'u' || n, null, {_THEN} from {_ALL};
insert into changes_by_hand (at, action, subject, user_id, decided_by, reason)
select {_THEN}, 'retry_job', 's' || n, 'u' || n, 'operator', '' from {_ALL}
union all
select {_THEN}, 'retry_job', 's', '{HEAVY}', 'operator', '' from {_ALL};
insert into intents (id, user_id, kind, subject, state, wanted, calls, fingerprint,
    attempts, due_at, created_at, version, updated_at, key)
select 'int_' || n, 'u' || n % {COUNT} + 1, 'start_subscription', 'p' || n, 'new',
    '{{}}', '[]', 'f', 0, {_THEN} + interval '60 days', {_THEN}, 1, now(), 'key ' || n
from {_MANY}
union all
select 'int_done_' || n, 'u' || n, 'start_subscription', 'p', 'succeeded', '{{}}', '[]',
    'f', 0, {_THEN}, {_THEN}, 1, now(), null from {_ALL};
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at, user_id)
select 'payment', 'ch_x_' || n, '', {_THEN}, 1, 0, 0, false, null, null from {_MANY}
union all
select 'subscription', 'sub_done_' || n, '', {_THEN}, 1, 0, 1, true, {_THEN}, null
from {_ALL}
union all
select 'customer', 'cus_' || n, '', {_THEN}, 1, 12, 0, false, null, 'u' || n
from {_ALL};
insert into invalidated_tokens (issuer, jti, user_id, expires_at, invalidated_at,
    position)
select 'https://users.example', 'jti_' || n, 'u' || n, {_THEN}, {_THEN}, n from {_ALL};
insert into token_cut_offs (user_id, at, position)
select 'u' || n, timestamptz '2020-01-01' + n * interval '1 second', {COUNT} + n
from {_ALL};
insert into revocation_head (singleton, position) values (true, 2 * {COUNT})
on conflict (singleton) do update set position = excluded.position;
insert into listed_customers (sweep, customer_id)
select timestamptz '2026-01-31 12:00Z', 'cus_' || n from {_ALL};
insert into erased_keys (digest, at)
select decode(md5(n::text), 'hex'), {_THEN} from {_ALL};
"""  # noqa: S608  # our own numbers
