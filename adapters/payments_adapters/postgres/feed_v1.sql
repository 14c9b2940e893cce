-- Give positions to committed changes of the log that have none: only this function
-- does so.
--
-- The row of `feed_head` is locked before anything is read: each statement here has its
-- own snapshot, so the holder of the lock sees all positions given so far. A second
-- sequencer does not wait. An uncommitted change is not visible: it gets its position
-- later, greater than all before.
--
-- Created by migration 0019: after its release a change is a new version of the
-- function, in a new migration.

-- Numbers about `most` changes, oldest first, and returns how many.
create function give_positions_v1(most int) returns int language plpgsql
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    head feed_head%rowtype;
    given int;
begin
    -- Usually there is nothing to do, and nothing is locked.
    if not exists (select from account_log where position is null) then
        return 0;
    end if;
    select * into head from feed_head for no key update skip locked;
    if not found then
        if exists (select from feed_head) then
            -- Another sequencer has the lock.
            return 0;
        end if;
        -- Without the row the feed would stop.
        insert into feed_head (singleton, last)
        select true, coalesce(max(position), 0) from account_log
        on conflict do nothing;
        select * into head from feed_head for no key update skip locked;
        if not found then
            return 0;
        end if;
    end if;

    with oldest as (
        select user_id, version from account_log where position is null
        order by at limit most
    ), wanted as (
        -- With all earlier changes of the same user, because clocks may differ: those
        -- after the last one with a position. The version is compared so that they are
        -- found by their key, and not by the index of changes without a position.
        select l.user_id, l.version,
            count(*) over (partition by l.user_id) as of_user
        from (
            select user_id, max(version) as version from oldest group by user_id
        ) as o
        left join lateral (
            select n.version from account_log n
            where n.user_id = o.user_id and n.version <= o.version
                and coalesce(n.position, 0) <> 0
            order by n.version desc limit 1
        ) as given on true
        cross join lateral (
            select n.user_id, n.version from account_log n
            where n.user_id = o.user_id and n.version <= o.version
                and n.version > coalesce(given.version, 0)
            offset 0
        ) as l
    ), held as (
        select l.user_id, l.version, l.at, w.of_user from wanted w
        join account_log l on l.user_id = w.user_id and l.version = w.version
        where coalesce(l.position, 0) = 0
        order by l.user_id, l.version for no key update of l skip locked
    ), ready as (
        select user_id, version, of_user, count(*) over (partition by user_id) as held,
            max(at) over (partition by user_id order by version) as ready_at
        from held
    ), numbered as (
        -- If another transaction locks a row of a user, that user is left to the next
        -- run.
        select user_id, version,
            row_number() over (
                order by ready_at, user_id collate "C", version
            ) as number
        from ready where held = of_user
    )
    update account_log l set position = head.last + n.number
    from numbered n where l.user_id = n.user_id and l.version = n.version;
    get diagnostics given = row_count;
    if given = 0 then
        return 0;
    end if;
    update feed_head set last = head.last + given;

    -- The next end of access, as of the last logged change. Ends before the feed began
    -- are not reported.
    with newest as (
        select distinct on (user_id) *,
            -- Rows from before 0018 have one end of access, those from before 0016 only
            -- the date.
            case when grants is not null then ends_at
                when grace_s is not null then entitled_until
                else payment_expire_date end as moment
        from account_log
        where position > head.last and position <= head.last + given
            and user_id not like 'erased/%'
        order by user_id, version desc
    ), ends as (
        select user_id,
            case when moment > greatest(at, head.begun_at) then moment end as due_at
        from newest
    ), gone as (
        delete from access_ends e using ends
        where e.user_id = ends.user_id and ends.due_at is null
    )
    insert into access_ends as e (user_id, due_at)
    select user_id, due_at from ends where due_at is not null order by user_id
    on conflict (user_id) do update set due_at = excluded.due_at
    where e.due_at <> excluded.due_at;
    return given;
end $$;
