"""SQL text, made once at import from the tables.

The hot path is written here as SQL, with arrays: one round trip for a whole batch.
Other statements are SQLAlchemy's, next to the code that runs them. The write path is
three database functions: `load_v1.sql` and `save_v1.sql`, and `history_v1.sql` in the
first one's statement if histories are needed.
"""

import re
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from payments_core.job_key import JobKind


def columns(table: sa.Table) -> tuple[str, ...]:
    """Return the names of a table's columns, in the order of composite values."""
    return tuple(column.name for column in table.c)


_ACCOUNT: Final = """
select a.*, (
    select array_agg(loaded_v1(s)) from subscriptions s where s.user_id = a.user_id
) as subscriptions
from payment_accounts a
"""
# As one value: a function that returns columns is scanned, and each row copied twice.
_LOAD: Final = f"load_v1({', '.join(f'${n}' for n in range(1, 19))}) as loaded"
LOAD: Final = f"select {_LOAD}"
# In one statement, so from one snapshot.
LOAD_WITH_HISTORIES: Final = f"""
select {_LOAD}, h.own_payments, h.buckets, h.all_periods
from history_v1($19, $20, $8, $4, $21) h
"""  # noqa: S608  # our own names
SAVE: Final = f"select save_v1({', '.join(f'${n}' for n in range(1, 17))})"


def _saved_rows(sql: str) -> Mapping[str, "itemgetter[tuple[object, ...]]"]:
    """Return the arrays that `save_v1` takes, in order; each builds its rows.

    By name: a row without one of the columns raises a KeyError.
    """
    types = dict(re.findall(r"create type (\w+) as \(([^)]*)\)", sql))
    (arguments,) = re.findall(r"create function save_v1\(([^)]*)\)", sql)
    return {
        name: itemgetter(*(column.split()[0] for column in types[type_].split(",")))
        for name, type_ in re.findall(r"(\w+) (\w+)\[\]", arguments)
    }


SAVED_ROWS: Final = _saved_rows(Path(__file__).with_name("save_v1.sql").read_text())

FIND_INTENT: Final = "select * from intents where id = $1"
# Written as in `ix_intents_declined`, so that the index is used.
DECLINES_OF: Final = """
    select created_at from intents
    where user_id = $1 and created_at > $2
        and (outcome::jsonb #>> '{refusal,code}' = 'card_declined'
            or outcome::jsonb #>> '{decline,code}' = 'card_declined')
    order by created_at desc limit $3"""

# The kinds of jobs that this release knows; a later one may know more.
JOB_KINDS: Final = ", ".join(f"'{kind.value}'" for kind in JobKind)

# Unlinked things whose account was created meanwhile, by each of their keys. A thing
# that names a user belongs to that user, unless its customer is bound to another.
# "is not distinct from": a function that is compared by "=" becomes a join key, and is
# called for every unlinked payment.
_NOT_ANOTHERS: Final = "is_free_v1(t.customer_id, array[a.user_id])"
LINKABLE: Final = f"""
select distinct user_id from (
    select a.user_id from payments t
    join payment_accounts a on a.user_id = t.claimed_by
    where t.user_id is null and not t.linked_by_hand and {_NOT_ANOTHERS}
    union select a.user_id from payments t
    join payment_accounts a on a.customer_id = t.customer_id
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
    union select f.user_id from payments t
    join former_keys f on f.kind = 'customer' and f.key = t.customer_id
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
    union select a.user_id from payments t
    join payment_accounts a on a.email_key = t.email_key
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
        and {_NOT_ANOTHERS}
        and email_holder_v1(t.email_key, t.created_at) is not distinct from a.user_id
    union select a.user_id from payments t
    join former_keys a on a.kind = 'email' and a.key = t.email_key
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
        and {_NOT_ANOTHERS}
        and email_holder_v1(t.email_key, t.created_at) is not distinct from a.user_id
    union select a.user_id from subscriptions t
    join payment_accounts a on a.user_id = t.claimed_by
    where t.user_id is null and not t.linked_by_hand and {_NOT_ANOTHERS}
    union select a.user_id from subscriptions t
    join payment_accounts a on a.customer_id = t.customer_id
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
    union select f.user_id from subscriptions t
    join former_keys f on f.kind = 'customer' and f.key = t.customer_id
    where t.user_id is null and not t.linked_by_hand and t.claimed_by is null
) as found order by user_id limit $1
"""  # noqa: S608  # our own names

FIND_ACCOUNT: Final = f"{_ACCOUNT} where a.user_id = $1"
# For each row found, in a lateral join: the limit prevents another join plan.
FIND_ACCOUNT_FOUND: Final = f"{_ACCOUNT} where a.user_id = found.user_id limit 1"
FIND_ACCOUNT_BY_EMAIL: Final = f"{_ACCOUNT} where a.email_key = $1"
_VERSION: Final = "select user_id, version from payment_accounts where"
FIND_VERSION: Final = f"{_VERSION} user_id = $1"
FIND_VERSION_BY_EMAIL: Final = f"{_VERSION} email_key = $1"
FIND_PAYMENT: Final = "select * from payments where id = $1"
FIND_CUSTOMER_OWNER: Final = (
    "select user_id from payment_accounts where customer_id = $1"
)

# Each look-up uses the key; run on every request if there are too many to cache.
IS_REVOKED: Final = """
select exists (select from invalidated_tokens where issuer = $1 and jti = $2)
    or exists (select from token_cut_offs where user_id = $3 and at >= $4)
    or exists (select from revocation_head where issued_before >= $4)
"""
