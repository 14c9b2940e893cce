-- Save groups of changes, each whole or not at all. Only this function writes accounts,
-- payments, subscriptions and events, and intents and jobs except for their claims and
-- overdue syncs (`work_queue`).
--
-- Rows are arrays of the types below; null means none. `grp` is the number of the
-- group, from 1. Versions are the loaded ones, 0 for a new row; a saved row gets the
-- next one.
--
-- `save_groups_v1` saves all groups with one statement per table, in one order of
-- tables, and of keys within each. It skips an account that is locked or was changed.
-- Any other guard that fails raises an error, and `save_v1` then saves each group
-- alone.
--
-- Created by migration 0024: after its release a change is a new version of the
-- functions and their types, in a new migration.

create type account_change_v1 as (
    grp int, user_id text, is_new boolean, version bigint, changed boolean,
    payment_status text,
    payment_expire_date timestamptz, latest_created_at timestamptz,
    latest_precedence smallint, latest_payment_id text, latest_buys_month boolean,
    latest_status text, latest_returned boolean, term_anchor timestamptz,
    term_months int, returned_at timestamptz, some_disputed boolean, cause text,
    sources text[], entitled_until timestamptz, grace_s bigint, status_by text, date_by text,
    grants jsonb, catalogue text, ends_at timestamptz
);

create type identity_change_v1 as (
    grp int, user_id text, is_new boolean, email text, email_key text,
    email_since timestamptz, customer_id text, card_id text, card_brand text, card_last4 text,
    card_exp_month smallint, card_exp_year smallint, card_ticket bigint
);

create type link_key_change_v1 as (grp int, key text, version bigint, claimed boolean);

create type former_key_change_v1 as (
    grp int, kind text, key text, user_id text, since timestamptz, until timestamptz
);

create type change_by_hand_v1 as (
    grp int, action text, subject text, user_id text, instead_of text,
    decided_by text, reason text, event_type text
);

create type payment_change_v1 as (
    grp int, id text, user_id text, state text, dispute text, amount_minor bigint,
    currency text, refunded_minor bigint, created_at timestamptz, customer_id text,
    claimed_by text, email_key text, invoice_id text, subscription_id text,
    invoice_known boolean, failure_code text, version bigint, sequence bigint,
    linked_by_hand boolean, as_of timestamptz
);

create type invoice_payment_v1 as (grp int, invoice_id text, payment_id text);

create type subscription_change_v1 as (
    grp int, gateway_id text, id text, user_id text, customer_id text, status text,
    product text, price text, quantity bigint, item_id text, currency text,
    created_at timestamptz, period_start timestamptz, period_end timestamptz,
    trial_start timestamptz, trial_end timestamptz, cancel_at timestamptz,
    cancel_at_period_end boolean, ended_at timestamptz, pinned_card text,
    latest_invoice_id text, pending_price text, pending_quantity bigint,
    pending_expires_at timestamptz, claimed_by text, intent_id text,
    paid_invoice_id text, paid_from timestamptz, paid_through timestamptz,
    known_until timestamptz, ticket bigint, plan_changed_at timestamptz,
    look_at timestamptz, version bigint, linked_by_hand boolean
);

create type period_change_v1 as (
    grp int, subscription_id text, invoice_id text, starts_at timestamptz,
    ends_at timestamptz, amount_paid_minor bigint
);

create type event_change_v1 as (
    grp int, id text, type text, object_id text, created_at timestamptz,
    api_version text, livemode boolean, state text, reason text, waits_for text,
    body bytea, user_id text
);

create type settled_event_v1 as (
    grp int, id text, type text, state text, reason text, waits_for text, user_id text
);

create type requested_job_v1 as (
    grp int, kind text, subject text, reason text, due_at timestamptz, attempts int,
    user_id text
);

create type finished_job_v1 as (
    grp int, kind text, subject text, fence bigint, asked bigint, due_at timestamptz,
    attempts int, again_at timestamptz, is_done boolean, state text, reason text,
    waits_for text, user_id text
);

create type intent_change_v1 as (
    grp int, id text, user_id text, kind text, subject text, state text, wanted text,
    calls text, outcome text, key text, fingerprint text, attempts int,
    due_at timestamptz, created_at timestamptz, version bigint, lease_no bigint,
    leased_until timestamptz, writer text, steps_version int
);

create function save_groups_v1(
    only_group int, at timestamptz, groups int, accounts account_change_v1[],
    identities identity_change_v1[], former former_key_change_v1[],
    by_hand change_by_hand_v1[], keys link_key_change_v1[],
    payments payment_change_v1[], invoiced invoice_payment_v1[],
    subscriptions subscription_change_v1[], periods period_change_v1[],
    events event_change_v1[], settled settled_event_v1[], requested requested_job_v1[],
    finished finished_job_v1[], intents intent_change_v1[]
) returns text[] language plpgsql as $$
#variable_conflict use_column
declare
    words text[] := array_fill('saved'::text, array[groups]);
    good int[];
    all_good boolean := only_group is null;
    some_known boolean := false;
    missed record;
    wanted bigint;
    done bigint;
begin
    if cardinality(keys) > 0 then
        -- The previous release holds these while it links or registers.
        perform pg_advisory_xact_lock(7451, k.hash) from (
            select distinct hashtext(t.key) as hash from unnest(keys) as t
            where only_group is null or t.grp = only_group order by 1
        ) as k;
    end if;

    -- Locked by one statement and written by another: one statement would carry all
    -- columns through each step of the plan, which costs more.
    select coalesce(array_agg(grp), '{}') into good from (
        select t.grp from unnest(accounts) as t
        join payment_accounts a on a.user_id = t.user_id and a.version = t.version
        where not t.is_new and (only_group is null or t.grp = only_group)
        order by a.user_id for no key update of a skip locked
    ) as held;
    if cardinality(good) > 0 then
        update payment_accounts a set
            payment_status = t.payment_status,
            payment_expire_date = t.payment_expire_date,
            latest_created_at = t.latest_created_at,
            latest_precedence = t.latest_precedence,
            latest_payment_id = t.latest_payment_id,
            latest_buys_month = t.latest_buys_month, latest_status = t.latest_status,
            latest_returned = t.latest_returned, term_anchor = t.term_anchor,
            term_months = t.term_months, returned_at = t.returned_at,
            some_disputed = t.some_disputed,
            version = t.version + 1, updated_at = at
        from unnest(accounts) as t
        where a.user_id = t.user_id and t.changed and t.grp = any(good);
    end if;
    if cardinality(good) < cardinality(accounts) then
        for missed in
            select t.grp, a.version = t.version as is_locked from unnest(accounts) as t
            left join payment_accounts a on a.user_id = t.user_id
            where not t.is_new and t.grp <> all(good)
                and (only_group is null or t.grp = only_group)
        loop
            all_good := false;
            words[missed.grp] :=
                case when missed.is_locked then 'locked' else 'changed' end;
        end loop;
    end if;
    if not all_good then
        select array_agg(n) into good from generate_series(1, groups) as n
        where words[n] = 'saved' and (only_group is null or n = only_group);
        if good is null then
            return words;
        end if;
    end if;

    if cardinality(identities) > 0 then
        insert into payment_accounts (
            user_id, email, email_key, email_since, customer_id, card_id, card_brand,
            card_last4, card_exp_month, card_exp_year, card_ticket, payment_status,
            payment_expire_date, latest_created_at, latest_precedence,
            latest_payment_id, latest_buys_month, latest_status, latest_returned,
            term_anchor, term_months, returned_at, some_disputed, version, created_at, updated_at
        )
        select t.user_id, i.email, i.email_key, i.email_since, i.customer_id, i.card_id,
            i.card_brand, i.card_last4, i.card_exp_month, i.card_exp_year, i.card_ticket,
            t.payment_status, t.payment_expire_date, t.latest_created_at,
            t.latest_precedence, t.latest_payment_id, t.latest_buys_month,
            t.latest_status, t.latest_returned, t.term_anchor, t.term_months,
            t.returned_at, t.some_disputed, 1, at, at
        from unnest(accounts) as t join unnest(identities) as i on i.grp = t.grp
        where t.is_new and (all_good or t.grp = any(good)) order by t.user_id;
        update payment_accounts a set
            email = t.email, email_key = t.email_key, email_since = t.email_since,
            customer_id = t.customer_id,
            card_id = t.card_id, card_brand = t.card_brand, card_last4 = t.card_last4,
            card_exp_month = t.card_exp_month, card_exp_year = t.card_exp_year,
            card_ticket = t.card_ticket
        from unnest(identities) as t
        where a.user_id = t.user_id and not t.is_new
            and (all_good or t.grp = any(good));
    end if;

    if cardinality(former) > 0 then
        insert into former_keys (kind, key, user_id, since, until)
        select t.kind, t.key, t.user_id, t.since, t.until from unnest(former) as t
        where all_good or t.grp = any(good)
        order by t.kind, t.key, t.user_id, t.until on conflict do nothing;
    end if;
    if cardinality(by_hand) > 0 then
        insert into changes_by_hand (
            at, action, subject, user_id, instead_of, decided_by, reason, event_type
        )
        select at, t.action, t.subject, t.user_id, t.instead_of, t.decided_by, t.reason,
            t.event_type
        from unnest(by_hand) as t where all_good or t.grp = any(good);
    end if;

    if cardinality(keys) > 0 then
        -- Several groups may store something unlinked under one key, whose version
        -- grows once; a group that gives an account a key must be alone with it.
        if exists (
            select from unnest(keys) as t where all_good or t.grp = any(good)
            group by t.key having bool_or(t.claimed) and count(*) > 1
        ) then
            raise exception 'a link key' using errcode = 'PG001';
        end if;
        insert into link_keys (key, version)
        select distinct t.key, 1 from unnest(keys) as t
        where t.version = 0 and (all_good or t.grp = any(good)) order by t.key;
        get diagnostics done = row_count;
        select count(distinct t.key) - done into wanted from unnest(keys) as t
        where all_good or t.grp = any(good);
        with held as (
            select l.key from (
                select distinct t.key, t.version from unnest(keys) as t
                where t.version > 0 and (all_good or t.grp = any(good))
            ) as t
            join link_keys l on l.key = t.key and l.version = t.version
            order by l.key for no key update of l
        )
        update link_keys l set version = l.version + 1 from held
        where l.key = held.key;
        get diagnostics done = row_count;
        if done <> wanted then
            raise exception 'a link key' using errcode = 'PG001';
        end if;
    end if;

    if cardinality(payments) > 0 then
        insert into payments (
            id, user_id, state, dispute, amount_minor, currency, refunded_minor,
            created_at, customer_id, claimed_by, email_key, invoice_id,
            subscription_id, invoice_known, failure_code, version, sequence,
            linked_by_hand, as_of, recorded_at, updated_at
        )
        select t.id, t.user_id, t.state, t.dispute, t.amount_minor, t.currency,
            t.refunded_minor, t.created_at, t.customer_id, t.claimed_by, t.email_key,
            t.invoice_id, t.subscription_id, t.invoice_known, t.failure_code, 1,
            t.sequence, t.linked_by_hand, t.as_of, at, at
        from unnest(payments) as t
        where t.version = 0 and (all_good or t.grp = any(good)) order by t.id;
        get diagnostics done = row_count;
        if done < cardinality(payments) then
            some_known := true;
            select count(*) into wanted from unnest(payments) as t
            where t.version > 0 and (all_good or t.grp = any(good));
            with held as (
                select p.id from unnest(payments) as t
                join payments p on p.id = t.id and p.version = t.version
                where t.version > 0 and (all_good or t.grp = any(good))
                order by p.id for no key update of p
            )
            update payments p set
                user_id = t.user_id, state = t.state, dispute = t.dispute,
                amount_minor = t.amount_minor, currency = t.currency,
                refunded_minor = t.refunded_minor, created_at = t.created_at,
                customer_id = t.customer_id, claimed_by = t.claimed_by,
                email_key = t.email_key, invoice_id = t.invoice_id,
                subscription_id = t.subscription_id, invoice_known = t.invoice_known,
                failure_code = t.failure_code, version = t.version + 1,
                sequence = t.sequence, linked_by_hand = t.linked_by_hand,
                as_of = t.as_of, updated_at = at
            from unnest(payments) as t, held where p.id = t.id and held.id = p.id;
            get diagnostics done = row_count;
            if done <> wanted then
                raise exception 'a payment' using errcode = 'PG001';
            end if;
        end if;
    end if;
    if cardinality(invoiced) > 0 then
        insert into invoice_payments (invoice_id, payment_id, recorded_at)
        select t.invoice_id, t.payment_id, at from unnest(invoiced) as t
        where all_good or t.grp = any(good)
        order by t.invoice_id, t.payment_id on conflict do nothing;
    end if;

    if cardinality(subscriptions) > 0 then
        insert into subscriptions as s (
            gateway_id, id, user_id, customer_id, status, product, price, quantity,
            item_id, currency, created_at, period_start, period_end, trial_start,
            trial_end, cancel_at, cancel_at_period_end, ended_at, pinned_card,
            latest_invoice_id, pending_price, pending_quantity, pending_expires_at,
            claimed_by, intent_id, paid_invoice_id, paid_from, paid_through,
            known_until, ticket, plan_changed_at, look_at, linked_by_hand, version,
            recorded_at, updated_at
        )
        select t.gateway_id, t.id, t.user_id, t.customer_id, t.status, t.product,
            t.price, t.quantity, t.item_id, t.currency, t.created_at, t.period_start,
            t.period_end, t.trial_start, t.trial_end, t.cancel_at,
            t.cancel_at_period_end, t.ended_at, t.pinned_card, t.latest_invoice_id,
            t.pending_price, t.pending_quantity, t.pending_expires_at, t.claimed_by,
            t.intent_id, t.paid_invoice_id, t.paid_from, t.paid_through,
            t.known_until, t.ticket, t.plan_changed_at, t.look_at, t.linked_by_hand,
            t.version + 1, at, at
        from unnest(subscriptions) as t
        where (all_good or t.grp = any(good)) and (
            t.version = 0
            or exists (select from subscriptions k where k.gateway_id = t.gateway_id)
        )
        order by t.gateway_id
        on conflict (gateway_id) do update set
            user_id = excluded.user_id, customer_id = excluded.customer_id,
            status = excluded.status, product = excluded.product,
            price = excluded.price, quantity = excluded.quantity,
            item_id = excluded.item_id, currency = excluded.currency,
            created_at = excluded.created_at, period_start = excluded.period_start,
            period_end = excluded.period_end, trial_start = excluded.trial_start,
            trial_end = excluded.trial_end, cancel_at = excluded.cancel_at,
            cancel_at_period_end = excluded.cancel_at_period_end,
            ended_at = excluded.ended_at, pinned_card = excluded.pinned_card,
            latest_invoice_id = excluded.latest_invoice_id,
            pending_price = excluded.pending_price,
            pending_quantity = excluded.pending_quantity,
            pending_expires_at = excluded.pending_expires_at,
            claimed_by = excluded.claimed_by, intent_id = excluded.intent_id,
            paid_invoice_id = excluded.paid_invoice_id,
            paid_from = excluded.paid_from, paid_through = excluded.paid_through,
            known_until = excluded.known_until, ticket = excluded.ticket,
            plan_changed_at = excluded.plan_changed_at, look_at = excluded.look_at,
            linked_by_hand = excluded.linked_by_hand, version = excluded.version,
            updated_at = at
        where s.version = excluded.version - 1;
        get diagnostics done = row_count;
        select count(*) into wanted from unnest(subscriptions) as t
        where all_good or t.grp = any(good);
        if done <> wanted then
            raise exception 'a subscription' using errcode = 'PG001';
        end if;
        some_known := some_known
            or exists (select from unnest(subscriptions) as t where t.version > 0);
    end if;
    if some_known then
        -- The events of a linked object belong to the user, those of an unlinked one to
        -- no user.
        update webhook_events e set user_id = t.user_id
        from (
            select p.grp, p.id, p.user_id from unnest(payments) as p where p.version > 0
            union all
            select s.grp, s.gateway_id, s.user_id from unnest(subscriptions) as s
            where s.version > 0
        ) as t
        where e.object_id = t.id and e.user_id is null and t.user_id is not null
            and (all_good or t.grp = any(good));
        update webhook_events e set user_id = null
        from (
            select p.grp, p.id from unnest(payments) as p
            where p.version > 0 and p.user_id is null
            union all
            select s.grp, s.gateway_id from unnest(subscriptions) as s
            where s.version > 0 and s.user_id is null
        ) as t, unnest(accounts) as a
        where a.grp = t.grp and e.user_id = a.user_id and e.object_id = t.id
            and (all_good or t.grp = any(good));
    end if;
    if cardinality(periods) > 0 then
        insert into paid_periods (
            subscription_id, invoice_id, starts_at, ends_at, amount_paid_minor, source,
            recorded_at
        )
        select distinct on (t.subscription_id, t.invoice_id) t.subscription_id,
            t.invoice_id, t.starts_at, t.ends_at, t.amount_paid_minor, 'invoice', at
        from unnest(periods) as t where all_good or t.grp = any(good)
        order by t.subscription_id, t.invoice_id
        on conflict (subscription_id, invoice_id) do update set
            starts_at = excluded.starts_at, ends_at = excluded.ends_at,
            amount_paid_minor = excluded.amount_paid_minor, source = excluded.source;
    end if;

    if cardinality(events) > 0 then
        with new as materialized (
            select t.* from unnest(events) as t
            where all_good or t.grp = any(good) order by t.id, t.type
        ), bodies as (
            -- After the events, like everything in a `with` that is not read.
            insert into event_bodies (received_on, id, type, body)
            select (at at time zone 'UTC')::date, t.id, t.type, t.body from new as t
        )
        insert into webhook_events (
            id, type, object_id, created_at, received_at, api_version, livemode, state,
            reason, waits_for, user_id
        )
        select t.id, t.type, t.object_id, t.created_at, at, t.api_version, t.livemode,
            t.state, t.reason, t.waits_for, t.user_id
        from new as t;
    end if;
    if cardinality(settled) > 0 then
        update webhook_events e set
            state = t.state, reason = t.reason, waits_for = t.waits_for,
            user_id = coalesce(t.user_id, e.user_id)
        from unnest(settled) as t
        where e.id = t.id and e.type = t.type and e.state not in ('applied', 'closed')
            and (all_good or t.grp = any(good));
        get diagnostics done = row_count;
        select count(*) into wanted from unnest(settled) as t
        where all_good or t.grp = any(good);
        if done <> wanted then
            raise exception 'an event' using errcode = 'PG001';
        end if;
    end if;

    if cardinality(requested) > 0 then
        insert into jobs as j (
            kind, subject, reason, due_at, asked, attempts, lease_no, dead, user_id
        )
        select distinct on (t.kind, t.subject) t.kind, t.subject, t.reason, t.due_at,
            count(*) over (partition by t.kind, t.subject), t.attempts, 0, false,
            t.user_id
        from unnest(requested) as t where all_good or t.grp = any(good)
        order by t.kind, t.subject, t.due_at
        on conflict (kind, subject) do update set
            reason = excluded.reason,
            due_at = case when j.dead then excluded.due_at
                else least(j.due_at, excluded.due_at) end,
            asked = j.asked + excluded.asked,
            -- A failing job that is requested again has its quick attempts again.
            attempts = case when j.dead or j.attempts >= 12 then 0 else j.attempts end,
            dead = false, finished_at = null,
            user_id = coalesce(j.user_id, excluded.user_id);
    end if;
    if cardinality(finished) > 0 then
        -- A job that was requested meanwhile is due again, and resolves nothing. A job
        -- whose lease another process has now is not written.
        with done as (
            update jobs j set
                due_at = case when j.asked = t.asked then t.due_at else t.again_at end,
                attempts = case when j.asked = t.asked then t.attempts else 0 end,
                leased_until = null, dead = j.asked = t.asked and t.is_done,
                finished_at = case when j.asked = t.asked and t.is_done then at end
            from unnest(finished) as t
            where j.kind = t.kind and j.subject = t.subject and j.lease_no = t.fence
                and not j.dead and (all_good or t.grp = any(good))
            returning j.kind || ' ' || j.subject as key, j.asked = t.asked as settles,
                t.state, t.reason, t.waits_for, t.user_id
        )
        update webhook_events e set
            state = done.state, reason = done.reason, waits_for = done.waits_for,
            user_id = coalesce(done.user_id, e.user_id)
        from done
        where e.waits_for = done.key and e.state = 'pending' and done.settles
            and done.state is not null;
    end if;
    if cardinality(intents) > 0 then
        insert into intents as i (
            id, user_id, kind, subject, state, wanted, calls, outcome, key, fingerprint,
            attempts, due_at, created_at, version, updated_at, lease_no, leased_until,
            writer, steps_version
        )
        select t.id, t.user_id, t.kind, t.subject, t.state, t.wanted, t.calls,
            t.outcome, t.key, t.fingerprint, t.attempts, t.due_at, t.created_at,
            t.version + 1, at, t.lease_no, t.leased_until, t.writer, t.steps_version
        from unnest(intents) as t
        where (all_good or t.grp = any(good)) and (
            t.version = 0 or exists (select from intents k where k.id = t.id)
        )
        order by t.id
        on conflict (id) do update set
            state = excluded.state, calls = excluded.calls, outcome = excluded.outcome,
            key = excluded.key, attempts = excluded.attempts, due_at = excluded.due_at,
            version = excluded.version, updated_at = at,
            lease_no = excluded.lease_no, leased_until = excluded.leased_until,
            writer = excluded.writer, steps_version = excluded.steps_version
        where i.version = excluded.version - 1;
        get diagnostics done = row_count;
        select count(*) into wanted from unnest(intents) as t
        where all_good or t.grp = any(good);
        if done <> wanted then
            raise exception 'an intent' using errcode = 'PG001';
        end if;
    end if;

    insert into account_log (
        user_id, version, at, payment_status, payment_expire_date, cause, sources,
        entitled_until, grace_s, status_by, date_by, grants, catalogue,
        ends_at
    )
    select t.user_id, t.version + 1, at, t.payment_status, t.payment_expire_date,
        t.cause, t.sources, t.entitled_until, t.grace_s, t.status_by, t.date_by,
        t.grants, t.catalogue, t.ends_at
    from unnest(accounts) as t
    where t.cause is not null and (all_good or t.grp = any(good)) order by t.user_id;
    return words;
end $$;

-- One word per group: saved; changed (the state is another now); locked (try again
-- shortly); taken (another account has the e-mail or the customer).
create function save_v1(
    at timestamptz, groups int, accounts account_change_v1[],
    identities identity_change_v1[], former former_key_change_v1[],
    by_hand change_by_hand_v1[], keys link_key_change_v1[],
    payments payment_change_v1[], invoiced invoice_payment_v1[],
    subscriptions subscription_change_v1[], periods period_change_v1[],
    events event_change_v1[], settled settled_event_v1[], requested requested_job_v1[],
    finished finished_job_v1[], intents intent_change_v1[]
) returns text[] language plpgsql
set lock_timeout = '100ms'
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set "payments.saved_by" = 'save_v1'
as $$
declare
    words text[];
    timeouts int := 0;
    what text;
begin
    begin
        return save_groups_v1(
            null, at, groups, accounts, identities, former, by_hand, keys,
            payments, invoiced, subscriptions, periods, events, settled, requested,
            finished, intents
        );
    exception
        -- A cardinality violation: two groups have the same row.
        when unique_violation or foreign_key_violation or cardinality_violation
            or sqlstate 'PG001' then
            null;
        when lock_not_available or deadlock_detected then
            timeouts := 1;
    end;
    words := array_fill('locked'::text, array[groups]);
    for n in 1..groups loop
        -- Each group that waits for a lock costs a timeout: two are enough. The others
        -- are still tried, because the lock does not concern them.
        if timeouts >= 2 then
            perform set_config('lock_timeout', '1ms', true);
        end if;
        begin
            words[n] := (save_groups_v1(
                n, at, groups, accounts, identities, former, by_hand, keys,
                payments, invoiced, subscriptions, periods, events, settled, requested,
                finished, intents
            ))[n];
        exception
            when unique_violation then
                get stacked diagnostics what = constraint_name;
                words[n] := case when what in (
                    'uq_payment_accounts_email_key', 'uq_payment_accounts_customer_id'
                ) then 'taken' else 'changed' end;
            when foreign_key_violation or cardinality_violation
                or sqlstate 'PG001' then
                words[n] := 'changed';
            when lock_not_available or deadlock_detected then
                timeouts := timeouts + 1;
        end;
    end loop;
    return words;
end $$;
