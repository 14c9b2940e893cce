-- Load histories: all payments of each account, and all paid periods of its
-- subscriptions and of the named ones; if there are more than `whole_max` payments,
-- plain ones as sums.
--
-- `payments_core.plain_payments` defines which payments are plain, and computes the
-- same in Python: a contract test compares them. This is a function for the same
-- reasons as `load_v1`; it is called in the same statement, and sees the same snapshot.
--
-- Created by migration 0024: after its release a change is a new version of the
-- function and its type, in a new migration.

create type payment_bucket_v1 as (
    user_id text, months integer, first_at timestamptz, until timestamptz,
    some_unknown boolean
);

create function history_v1(
    history_of text[], whole_history_of text[], periods_of text[], named text[],
    whole_max int,
    out own_payments loaded_payment_v1[], out buckets payment_bucket_v1[],
    out all_periods loaded_period_v1[]
) language plpgsql stable
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    account text;
    all_lives tstzmultirange;
    some_returned boolean;
    others loaded_payment_v1[];
    sums payment_bucket_v1[];
begin
    select array_agg(row(
        p.subscription_id, p.invoice_id, p.starts_at, p.ends_at, p.amount_paid_minor
    )::loaded_period_v1) into all_periods
    from (
        select gateway_id from unnest(periods_of) as gateway_id
        union select s.gateway_id from subscriptions s
        where s.user_id = any(history_of)
    ) as owned join paid_periods p on p.subscription_id = owned.gateway_id;
    select array_agg(loaded_v1(p.o)) into own_payments
    from (
        select o from payments o where o.user_id = any(history_of) limit whole_max + 1
    ) as p;
    if coalesce(cardinality(own_payments), 0) <= whole_max then
        return;
    end if;
    own_payments := null;
    foreach account in array history_of loop
        -- A life that ends before it begins does not count as one, though its start
        -- does.
        select range_agg(tstzrange(s.created_at, s.ended_at, '[]')) filter (
            where s.ended_at is null or s.ended_at >= s.created_at
        ) into all_lives
        from subscriptions s
        where s.user_id = account and s.status <> 'incomplete_expired';
        select exists (
            select from payments p
            where p.user_id = account and (p.state = 'refunded' or p.dispute = 'lost')
        ) into some_returned;
        with own as materialized (
            select s.customer_id, min(s.created_at) as first_began_at,
                range_agg(tstzrange(s.created_at, s.ended_at, '[]')) filter (
                    where s.ended_at is null or s.ended_at >= s.created_at
                ) as lives
            from subscriptions s
            where s.user_id = account and s.status <> 'incomplete_expired'
            group by s.customer_id
        ),
        judged as materialized (
            select p.id, p.created_at, case
                when account = any(whole_history_of)
                    or p.id in (select unnest(named)) then 'as it is'
                when p.created_at is null
                    or p.state not in ('succeeded', 'partially_refunded')
                    or p.dispute not in ('none', 'won') then 'as it is'
                when p.invoice_id is not null then case
                    when p.invoice_id in (
                        select w.invoice_id
                        from subscriptions s
                        join paid_periods w on w.subscription_id = s.gateway_id
                        where s.user_id = account group by w.invoice_id
                        having bool_and(w.amount_paid_minor is not null)
                    ) then 'says paid' else 'as it is' end
                when p.subscription_id is not null then 'as it is'
                when p.invoice_known or o.first_began_at is null
                    or p.created_at < o.first_began_at
                    then case when p.created_at <@ all_lives then 'says nothing'
                        else 'buys a month' end
                when p.created_at <@ o.lives and not some_returned then 'may have paid'
                else 'as it is' end as meaning
            from payments p left join own o on o.customer_id = p.customer_id
            where p.user_id = account
        ),
        latest as (
            select max(j.created_at) as moment from judged j
            where j.meaning not in ('as it is', 'says nothing')
        ),
        sorted as materialized (
            select j.id, j.created_at, j.meaning, j.meaning = 'says nothing'
                or (j.meaning <> 'as it is' and j.created_at < l.moment) as is_summed
            from judged j cross join latest l
        )
        select (
            select array_agg(row(
                account, b.months, b.first_at, b.until, b.some_unknown
            )::payment_bucket_v1)
            from (
                select count(*) filter (where s.meaning = 'buys a month') as months,
                    min(s.created_at) filter (where s.meaning = 'buys a month')
                        as first_at,
                    max(s.created_at) as until,
                    bool_or(s.meaning = 'may have paid') as some_unknown
                from sorted s where s.is_summed
                -- In UTC, whatever the session's time zone: a day is 24 hours here.
                group by date_bin('28 days', s.created_at, '0001-01-01 00:00+00')
            ) as b
        ), (
            select array_agg(loaded_v1(p))
            from sorted s join payments p on p.id = s.id where not s.is_summed
        ) into sums, others;
        buckets := buckets || sums;
        own_payments := own_payments || others;
    end loop;
end $$;
