-- Make deliveries due again, up to the limit of open ones: only this function does so.
--
-- Each statement here has its own snapshot: open deliveries are counted after the
-- cursors are locked and any other replay has ended. No lock is held across a round
-- trip: a frozen client delays no endpoint.
--
-- Created by migration 0020: after its release a change is a new version of the
-- function, in a new migration.

-- For each delivery that may be replayed: whether it is due now, or the limit was
-- reached.
create function replay_deliveries_v1(
    endpoints text[], positions bigint[], moment timestamptz, open_max bigint
) returns table (of_endpoint text, of_position bigint, is_due boolean)
language plpgsql as $$
begin
    -- Taking changes over skips a locked cursor.
    perform from delivery_cursors c where c.endpoint = any(endpoints)
    order by c.endpoint for no key update;

    return query
    with named as (
        select distinct it.endpoint, it.position
        from unnest(endpoints, positions) as it (endpoint, position)
    ), wanted as (
        select c.endpoint, l.position, l.user_id, count(*) filter (
            where d.dead is distinct from false
        ) over (partition by c.endpoint order by l.position) as takes
        from named
        join delivery_cursors c
            on c.endpoint = named.endpoint and c.position >= named.position
        join account_log l
            on l.position = named.position and l.user_id not like 'erased/%'
        left join deliveries d on d.endpoint = c.endpoint and d.position = l.position
        where d.leased_until is null or d.leased_until <= moment
    ), rooms as (
        select c.endpoint, greatest(open_max - (
            select count(*) from (
                select from deliveries d
                where d.endpoint = c.endpoint and not d.dead limit open_max
            ) as opened
        ), 0) as count
        from delivery_cursors c where c.endpoint = any(endpoints)
    ), made as (
        insert into deliveries as d (
            endpoint, position, user_id, due_at, attempts, lease_no, dead
        )
        select w.endpoint, w.position, w.user_id, moment, 0, 0, false
        from wanted w join rooms on rooms.endpoint = w.endpoint
        where w.takes <= rooms.count
        order by w.endpoint, w.position
        on conflict on constraint pk_deliveries do update
            set due_at = moment, attempts = 0, first_tried_at = null, dead = false
            where d.leased_until is null or d.leased_until <= moment
        returning d.endpoint, d.position
    )
    select m.endpoint, m.position, true from made m
    union all
    select w.endpoint, w.position, false
    from wanted w join rooms on rooms.endpoint = w.endpoint where w.takes > rooms.count
    order by 1, 2;
end $$;
