-- Load what the facts may concern: one snapshot, no lock.
--
-- A function, so that the plans are made once and for small lookups, whatever the
-- tables look like at that time. Its rows have types of their own: a later column does
-- not change what a connection has cached.
--
-- Starting a statement costs more than running it, and more for wider rows. So accounts
-- are read first, with a flag for each other kind of row: whether there is any. For most
-- events nothing else is known. A null array counts as empty.
--
-- Created by migration 0024: after its release a change is a new version of the
-- functions and their types, in a new migration.

create type loaded_subscription_v1 as (
    gateway_id text, user_id text, customer_id text, status text, product text,
    price text, quantity bigint, item_id text, currency text, created_at timestamptz,
    period_start timestamptz, period_end timestamptz, trial_start timestamptz,
    trial_end timestamptz, cancel_at timestamptz, cancel_at_period_end boolean,
    ended_at timestamptz, pinned_card text, latest_invoice_id text, pending_price text,
    pending_quantity bigint, pending_expires_at timestamptz, claimed_by text,
    intent_id text, paid_invoice_id text, paid_from timestamptz,
    paid_through timestamptz, known_until timestamptz, ticket bigint,
    plan_changed_at timestamptz, version bigint, linked_by_hand boolean
);

create type loaded_account_v1 as (
    user_id text, email text, email_key text, email_since timestamptz,
    customer_id text, payment_status text,
    latest_created_at timestamptz, latest_precedence smallint, latest_payment_id text,
    latest_buys_month boolean, latest_status text, latest_returned boolean,
    term_anchor timestamptz, term_months integer, returned_at timestamptz,
    some_disputed boolean,
    card_id text, card_brand text, card_last4 text, card_exp_month smallint,
    card_exp_year smallint, card_ticket bigint, version bigint
);

create type loaded_payment_v1 as (
    id text, user_id text, state text, dispute text, amount_minor bigint,
    currency text, refunded_minor bigint, created_at timestamptz, customer_id text,
    claimed_by text, email_key text, invoice_id text, subscription_id text,
    invoice_known boolean, failure_code text, version bigint, sequence bigint,
    linked_by_hand boolean, as_of timestamptz
);

create type loaded_period_v1 as (
    subscription_id text, invoice_id text, starts_at timestamptz, ends_at timestamptz,
    amount_paid_minor bigint
);

create type loaded_intent_v1 as (
    id text, user_id text, kind text, subject text, state text, wanted text,
    calls text, outcome text, key text, fingerprint text, attempts integer,
    due_at timestamptz, created_at timestamptz, version bigint, lease_no bigint,
    leased_until timestamptz, writer text, steps_version integer
);

create type loaded_event_v1 as (id text, type text, state text);

create type loaded_former_key_v1 as (
    kind text, key text, user_id text, since timestamptz, until timestamptz
);

create type loaded_link_key_v1 as (key text, version bigint);

-- `owned` are the subscriptions of the accounts. Each erased digest has its time; null
-- for both: the key is not that of the tombstones (`erased_v1`).
create type loaded_snapshot_v1 as (
    sequence bigint, accounts loaded_account_v1[], owned loaded_subscription_v1[],
    payments loaded_payment_v1[], subscriptions loaded_subscription_v1[],
    events loaded_event_v1[], periods loaded_period_v1[],
    unlinked_payments loaded_payment_v1[],
    unlinked_subscriptions loaded_subscription_v1[], link_versions loaded_link_key_v1[],
    former_keys loaded_former_key_v1[], intents loaded_intent_v1[],
    erased bytea[], erased_at timestamptz[]
);

-- Inlined by the planner: a row in the form that a load returns.
create function loaded_v1(p payments) returns loaded_payment_v1
language sql immutable as $$
    select row(
        p.id, p.user_id, p.state, p.dispute, p.amount_minor, p.currency,
        p.refunded_minor, p.created_at, p.customer_id, p.claimed_by, p.email_key,
        p.invoice_id, p.subscription_id, p.invoice_known, p.failure_code, p.version,
        p.sequence, p.linked_by_hand, p.as_of
    )::loaded_payment_v1
$$;

create function loaded_v1(a payment_accounts) returns loaded_account_v1
language sql immutable as $$
    select row(
        a.user_id, a.email, a.email_key, a.email_since, a.customer_id, a.payment_status,
        a.latest_created_at, a.latest_precedence, a.latest_payment_id,
        a.latest_buys_month, a.latest_status, a.latest_returned, a.term_anchor,
        a.term_months, a.returned_at, a.some_disputed, a.card_id, a.card_brand,
        a.card_last4, a.card_exp_month, a.card_exp_year, a.card_ticket, a.version
    )::loaded_account_v1
$$;

create function loaded_v1(s subscriptions) returns loaded_subscription_v1
language sql immutable as $$
    select row(
        s.gateway_id, s.user_id, s.customer_id, s.status, s.product, s.price,
        s.quantity, s.item_id, s.currency, s.created_at, s.period_start, s.period_end,
        s.trial_start, s.trial_end, s.cancel_at, s.cancel_at_period_end, s.ended_at,
        s.pinned_card, s.latest_invoice_id, s.pending_price, s.pending_quantity,
        s.pending_expires_at, s.claimed_by, s.intent_id, s.paid_invoice_id, s.paid_from,
        s.paid_through, s.known_until, s.ticket, s.plan_changed_at, s.version,
        s.linked_by_hand
    )::loaded_subscription_v1
$$;

-- Who had an e-mail at a given time: `payments_core.linking.EmailHolders`.
create function email_holder_v1(address text, moment timestamptz) returns text
language sql stable as $$
    with held as (
        select f.user_id, f.since, f.until from former_keys f
        where f.kind = 'email' and f.key = address
        union all select a.user_id, a.email_since, 'infinity' from payment_accounts a
        where a.email_key = address
    )
    select case
        when moment is null then (
            select min(user_id) from held having count(distinct user_id) = 1
        )
        else (
            select case
                when h.since is null or h.since <= moment
                    or not exists (
                        select from held e
                        where e.since is null or e.since < h.since
                    )
                then h.user_id end
            from held h where moment < h.until
            order by h.since nulls first, h.until, h.user_id limit 1
        )
    end
$$;

-- Whether a customer is not, and was not, bound to any user but these.
create function is_free_v1(customer text, users text[]) returns boolean
language sql stable as $$
    select not exists (
        select from payment_accounts b
        where b.customer_id = customer and b.user_id <> all(users)
    ) and not exists (
        select from former_keys f where f.kind = 'customer' and f.key = customer
            and f.user_id <> all(users)
    )
$$;

create function load_v1(
    user_ids text[], customer_ids text[], email_keys text[], payment_ids text[],
    event_ids text[], event_types text[], subscription_ids text[], periods_of text[],
    unlinked_users text[], unlinked_customers text[], unlinked_emails text[],
    unlinked_max int, link_key_names text[], intent_ids text[],
    idempotency_keys text[], open_intents_of text[], proof bytea, digests bytea[]
) returns loaded_snapshot_v1 language plpgsql stable
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Stable in spite of this: everything is read from one snapshot, the caller's.
    sequence bigint := nextval('gateway_tickets');
    users text[] := user_ids;
    accounts loaded_account_v1[];
    owned loaded_subscription_v1[];
    payments loaded_payment_v1[];
    subscriptions loaded_subscription_v1[];
    events loaded_event_v1[];
    periods loaded_period_v1[];
    unlinked_payments loaded_payment_v1[];
    unlinked_subscriptions loaded_subscription_v1[];
    link_versions loaded_link_key_v1[];
    former_keys loaded_former_key_v1[];
    intents loaded_intent_v1[];
    erased bytea[];
    erased_at timestamptz[];
    has_payments boolean;
    has_events boolean;
    has_former boolean;
    has_owned boolean;
    has_erased boolean;
begin
    select array_agg(loaded_v1(a)),
        -- Not by `exists`: it may be planned as a scan of all subscriptions.
        bool_or((
            select true from subscriptions s where s.user_id = a.user_id limit 1
        )),
        exists (select from payments p where p.id = any(payment_ids)),
        exists (select from webhook_events e where e.id = any(event_ids)),
        exists (
            select from former_keys f
            where f.kind = 'customer' and f.key = any(customer_ids)
        ) or exists (
            select from former_keys f where f.kind = 'email' and f.key = any(email_keys)
        ),
        exists (select from erased_keys)
    into accounts, has_owned, has_payments, has_events, has_former, has_erased
    from payment_accounts a
    where a.user_id = any(user_ids) or a.customer_id = any(customer_ids)
        or a.email_key = any(email_keys);
    if has_erased then
        select array_agg(e.digest), array_agg(e.at) into erased, erased_at
        from unnest(erased_v1(proof, digests)) as e;
    end if;
    if has_payments then
        select array_agg(loaded_v1(p)), users || array_agg(p.user_id)
            filter (where p.user_id is not null)
        into payments, users
        from payments p where p.id = any(payment_ids);
    end if;
    if cardinality(subscription_ids) > 0 then
        select array_agg(loaded_v1(s)), users || array_agg(s.user_id)
            filter (where s.user_id is not null)
        into subscriptions, users
        from subscriptions s where s.gateway_id = any(subscription_ids);
    end if;
    if has_events then
        select array_agg(row(e.id, e.type, e.state)::loaded_event_v1) into events
        from unnest(event_ids, event_types) as k(id, type)
        join webhook_events e on e.id = k.id and e.type = k.type;
    end if;
    if has_former or cardinality(unlinked_users) > 0 then
        select array_agg(row(f.kind, f.key, f.user_id, f.since, f.until)
            ::loaded_former_key_v1), users || coalesce(array_agg(f.user_id), '{}')
        into former_keys, users
        from (
            select f.* from former_keys f
            where f.kind = 'customer' and f.key = any(customer_ids)
            union select f.* from former_keys f
            where f.kind = 'email' and f.key = any(email_keys)
            union select f.* from former_keys f where f.user_id = any(unlinked_users)
        ) as f;
    end if;
    if cardinality(users) > coalesce(cardinality(user_ids), 0) then
        -- The owners of what was found.
        select array_agg(loaded_v1(a)), bool_or((
            select true from subscriptions s where s.user_id = a.user_id limit 1
        ))
        into accounts, has_owned
        from payment_accounts a
        where a.user_id = any(users) or a.customer_id = any(customer_ids)
            or a.email_key = any(email_keys);
    end if;
    if has_owned then
        select array_agg(loaded_v1(s)) into owned
        from unnest(accounts) as a join subscriptions s on s.user_id = a.user_id;
    end if;
    if cardinality(periods_of) > 0 then
        select array_agg(row(
            p.subscription_id, p.invoice_id, p.starts_at, p.ends_at, p.amount_paid_minor
        )::loaded_period_v1) into periods
        from paid_periods p where p.subscription_id = any(periods_of);
    end if;
    if cardinality(unlinked_users || unlinked_customers || unlinked_emails) > 0 then
        select array_agg(loaded_v1(p.u)) into unlinked_payments
        from (
            -- By each key's own index. What names another user, or has a customer that
            -- is bound to another user, is not theirs, and must not use up the limit.
            select u from (
                select id from payments
                where user_id is null and claimed_by = any(unlinked_users)
                union select id from payments where user_id is null
                    and claimed_by is null and customer_id = any(unlinked_customers)
                union select id from payments where user_id is null
                    and claimed_by is null and email_key = any(unlinked_emails)
                    and case
                        when exists (
                            select from former_keys f
                            where f.kind = 'email' and f.key = email_key
                        ) then
                            email_holder_v1(email_key, created_at) = any(unlinked_users)
                        -- At most one user ever had it.
                        else not exists (
                            select from payment_accounts a
                            where a.email_key = payments.email_key
                                and a.user_id <> all(unlinked_users)
                        )
                    end
            ) as keyed join payments u on u.id = keyed.id
            where not u.linked_by_hand and is_free_v1(u.customer_id, unlinked_users)
            order by u.id limit unlinked_max
        ) as p;
        select array_agg(loaded_v1(s.u)) into unlinked_subscriptions
        from (
            select u from (
                select gateway_id from subscriptions
                where user_id is null and claimed_by = any(unlinked_users)
                union select gateway_id from subscriptions where user_id is null
                    and claimed_by is null and customer_id = any(unlinked_customers)
            ) as keyed join subscriptions u on u.gateway_id = keyed.gateway_id
            where not u.linked_by_hand and is_free_v1(u.customer_id, unlinked_users)
            order by u.gateway_id limit unlinked_max
        ) as s;
    end if;
    if cardinality(link_key_names) > 0 then
        select array_agg(row(l.key, l.version)::loaded_link_key_v1)
        into link_versions from link_keys l where l.key = any(link_key_names);
    end if;
    if cardinality(intent_ids || idempotency_keys || open_intents_of) > 0 then
        select array_agg(row(
        i.id, i.user_id, i.kind, i.subject, i.state, i.wanted, i.calls, i.outcome,
        i.key, i.fingerprint, i.attempts, i.due_at, i.created_at, i.version,
        i.lease_no, i.leased_until, i.writer, i.steps_version
        )::loaded_intent_v1) into intents
        from (
            select o.* from intents o where o.id = any(intent_ids)
            union select o.* from intents o where o.key = any(idempotency_keys)
            union select o.* from intents o where o.user_id = any(open_intents_of)
                and o.state in ('new', 'sent', 'unknown')
        ) as i;
    end if;
    return row(
        sequence, accounts, owned, payments, subscriptions, events, periods,
        unlinked_payments, unlinked_subscriptions, link_versions, former_keys, intents,
        erased, erased_at
    )::loaded_snapshot_v1;
end $$;
