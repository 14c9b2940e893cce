-- Give revocations positions in commit order, and return them to processes.
--
-- A revocation locks the row of `revocation_head` before it writes anything, and holds
-- it until its commit: so a position is given only after all smaller ones are
-- committed. The call is one statement and its own transaction: the lock is not held
-- across a round trip.
--
-- A poll locks the same row, shared, and only then records what the process has heard
-- and reads, each with its own snapshot. So either a revocation is committed before the
-- poll reads, and is read; or it begins after the poll's commit, and sees that the
-- process has not heard of it. A row, not an advisory lock: if snapshots are taken too
-- early, as in `repeatable read`, a row that was changed since is an error.
--
-- The head has a mark, which is random and new with each revocation: a database that
-- returned a mark has all revocations up to it. The last marks that each process
-- received are stored. A process with an unknown mark received it from a database that
-- no longer exists, for example because a failover lost the last commits: their
-- positions are given again.
--
-- Created by migration 0021: after its release a change is a new version of the
-- functions, in a new migration.

-- Without the head nothing could be revoked.
create function begin_revocations_v1() returns void language sql as $$
    insert into revocation_head (singleton, position)
    select true, greatest(
        (select coalesce(max(t.position), 0) from invalidated_tokens t),
        (select coalesce(max(c.position), 0) from token_cut_offs c)
    )
    on conflict do nothing;
$$;

create function next_revocation_v1() returns bigint language plpgsql as $$
declare
    given bigint;
begin
    loop
        update revocation_head set position = position + 1, mark = gen_random_uuid()
        returning position into given;
        if found then
            return given;
        end if;
        perform begin_revocations_v1();
    end loop;
end $$;

-- Rows that the previous release writes have no position.
create function position_revocation_v1() returns trigger language plpgsql as $$
begin
    new.position := next_revocation_v1();
    return new;
end $$;

create trigger position_revocation before insert on invalidated_tokens
    for each row when (new.position is null)
    execute function position_revocation_v1();

create trigger position_revocation before insert on token_cut_offs
    for each row when (new.position is null)
    execute function position_revocation_v1();

create trigger position_later_revocation before update of at on token_cut_offs
    for each row when (new.at <> old.at and new.position = old.position)
    execute function position_revocation_v1();

-- Each of these returns the position of the revocation: the existing one, or the new
-- one. Of two times the later one holds: given by hand, one may be too early.
create function revoke_token_v1(
    of_issuer text, of_jti text, whose text, expires timestamptz, moment timestamptz
) returns bigint language plpgsql as $$
declare
    known bigint;
    given bigint;
begin
    select t.position into known from invalidated_tokens t
    where t.issuer = of_issuer and t.jti = of_jti and t.expires_at >= expires;
    if found then
        return known;
    end if;
    given := next_revocation_v1();
    insert into invalidated_tokens as t
        (issuer, jti, user_id, expires_at, invalidated_at, position)
    values (of_issuer, of_jti, whose, expires, moment, given)
    on conflict (issuer, jti) do update
    set expires_at = excluded.expires_at, position = excluded.position
    where t.expires_at < excluded.expires_at;
    if found then
        return given;
    end if;
    -- Another revocation was first, and is committed: it had the lock on the head.
    select t.position into known from invalidated_tokens t
    where t.issuer = of_issuer and t.jti = of_jti;
    return coalesce(known, given);
end $$;

create function revoke_issued_before_v1(whose text, moment timestamptz)
returns bigint language plpgsql as $$
declare
    known bigint;
    given bigint;
begin
    select c.position into known from token_cut_offs c
    where c.user_id = whose and c.at >= moment;
    if found then
        return known;
    end if;
    given := next_revocation_v1();
    insert into token_cut_offs as c (user_id, at, position) values (whose, moment, given)
    on conflict (user_id) do update set at = excluded.at, position = excluded.position
    where c.at < excluded.at;
    if found then
        return given;
    end if;
    select c.position into known from token_cut_offs c where c.user_id = whose;
    return coalesce(known, given);
end $$;

create function revoke_all_issued_before_v1(moment timestamptz)
returns bigint language plpgsql as $$
declare
    given bigint;
begin
    if exists (select from revocation_head where issued_before >= moment) then
        return (select position from revocation_head);
    end if;
    given := next_revocation_v1();
    update revocation_head set issued_before = greatest(issued_before, moment);
    return given;
end $$;

-- The first row is the head: the time up to which all tokens are revoked, its mark, and
-- whether what the process has applied is from this database; if not, it is the only
-- row. The others are the revocations after a position, in order: tokens with an
-- issuer, and users without.
create function poll_revocations_v1(
    process text, applied bigint, told uuid, after bigint,
    expires_from timestamptz, issued_from timestamptz, most bigint
) returns table (
    place bigint, issuer text, name text, moment timestamptz, mark text, is_ours boolean
)
language plpgsql
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
    head revocation_head%rowtype;
    ours boolean;
begin
    select * into head from revocation_head for share;
    if not found then
        perform begin_revocations_v1();
        select * into head from revocation_head for share;
    end if;

    -- Positions of another database do not count as heard. Nor do positions that are
    -- not given yet.
    update revocation_heartbeats b
    set heard = case
            when applied <= head.position and (told = head.mark or told = any (b.marks))
            then applied else 0
        end,
        at = clock_timestamp(),
        -- The mark that the process sent is kept: an answer may get lost, or be late.
        marks = case
            when b.marks[1] = head.mark then b.marks
            when told = any (b.marks) then (array[head.mark, told] || b.marks)[1:4]
            else (head.mark || b.marks)[1:4]
        end
    where b.process_id = process
    returning b.heard = applied into ours;
    if not found then
        ours := applied = 0
            or (applied <= head.position and told is not distinct from head.mark);
        insert into revocation_heartbeats (process_id, heard, at, marks)
        values (process, case when ours then applied else 0 end, clock_timestamp(),
            array[head.mark])
        on conflict on constraint pk_revocation_heartbeats do nothing;
    end if;

    return query select head.position, null::text, null::text, head.issued_before,
        head.mark::text, ours;
    if not ours then
        return;
    end if;
    return query
    select found_.place, found_.issuer, found_.name, found_.moment, null::text, true from (
        (
            select t.position as place, t.issuer, t.jti as name, t.expires_at as moment
            from invalidated_tokens t
            where t.position > after and t.expires_at >= expires_from
            order by t.position limit most
        )
        union all
        (
            select c.position, null, c.user_id, c.at from token_cut_offs c
            where c.position > after and c.at >= issued_from
            order by c.position limit most
        )
    ) as found_
    order by found_.place limit most;
end $$;
