"""Keep who had a key before, and what is decided by hand.

E-mails are read anew.
"""

import re
import unicodedata
from typing import Final

import idna
import sqlalchemy as sa
from alembic import context, op

revision: Final = "0005"
down_revision: Final = "0004"

_MOMENT: Final = sa.DateTime(timezone=True)

# The release before changes e-mails too, and notes nothing. It knows nothing of links
# that were made by hand, and must not make others.
_TRIGGER: Final = """
create function email_changed() returns trigger language plpgsql as $$
begin
    new.email_since := date_trunc('second', now());
    insert into former_keys (kind, key, user_id, since, until)
    values ('email', old.email_key, old.user_id, old.email_since, new.email_since)
    on conflict do nothing;
    return new;
end $$;
create trigger email_changed before update on payment_accounts
    for each row when (
        current_setting('payments.saved_by', true) is distinct from 'save_v1'
        and new.email_key is distinct from old.email_key
    ) execute function email_changed();
create function link_kept() returns trigger language plpgsql as $$
begin
    new.user_id := old.user_id;
    return new;
end $$;
create trigger link_kept before update on payments
    for each row when (
        current_setting('payments.saved_by', true) is distinct from 'save_v1'
        and old.linked_by_hand
    ) execute function link_kept();
"""


def upgrade() -> None:
    _rekey_emails()
    op.add_column("payment_accounts", sa.Column("email_since", _MOMENT, nullable=True))
    op.add_column(
        "payments",
        sa.Column(
            "linked_by_hand", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    )
    op.add_column(
        "payment_accounts",
        sa.Column(
            "some_disputed", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    )
    op.execute(
        "update payment_accounts a set some_disputed = true where exists (select from"
        " payments p where p.user_id = a.user_id and p.dispute = 'open')"
        " and exists (select from subscriptions s where s.user_id = a.user_id)"
    )
    op.add_column("payments", sa.Column("as_of", _MOMENT, nullable=True))
    op.create_table(
        "former_keys",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("since", _MOMENT, nullable=True),
        sa.Column("until", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "kind in ('email', 'customer')", name=op.f("ck_former_keys_kind")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["payment_accounts.user_id"],
            name=op.f("fk_former_keys_user_id"),
        ),
        sa.PrimaryKeyConstraint(
            "kind", "key", "user_id", "until", name=op.f("pk_former_keys")
        ),
    )
    op.create_index(op.f("ix_former_keys_user_id"), "former_keys", ["user_id"])
    op.create_table(
        "changes_by_hand",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("instead_of", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action in ('bind_customer', 'link_payment', 'unlink_payment')",
            name=op.f("ck_changes_by_hand_action"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes_by_hand")),
    )
    op.create_index(op.f("ix_changes_by_hand_subject"), "changes_by_hand", ["subject"])
    for statement in re.split(r"(?m)^(?=create )", _TRIGGER)[1:]:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.execute("drop trigger email_changed on payment_accounts")
    op.execute("drop function email_changed()")
    op.execute("drop trigger link_kept on payments")
    op.execute("drop function link_kept()")
    op.drop_table("changes_by_hand")
    op.drop_table("former_keys")
    op.drop_column("payments", "as_of")
    op.drop_column("payment_accounts", "some_disputed")
    op.drop_column("payments", "linked_by_hand")
    op.drop_column("payment_accounts", "email_since")


def _rekey_emails() -> None:
    """Read anew the e-mails that have more than ASCII.

    Two accounts whose e-mails are one by now both stay: the first one has the key, the
    later one is listed, under a key that finds nothing any more. Of a payment the key
    is all that is left of its e-mail.
    """
    connection, findings = op.get_bind(), context.config.attributes["findings"]
    accounts = connection.execute(
        sa.text(
            "select user_id, email, email_key from payment_accounts"
            " where email ~ '[^[:ascii:]]' or email_key ~ '[^[:ascii:]]'"
            " order by created_at, user_id"
        )
    )
    for user_id, email, before in accounts.all():
        after = _key(email)
        if after == before:
            continue
        holder = connection.execute(
            sa.text(
                "select user_id, (created_at, user_id) < (select created_at, user_id"
                " from payment_accounts where user_id = :user)"
                " from payment_accounts where email_key = :key"
            ),
            {"key": after, "user": user_id},
        ).first()
        first, later = user_id, None
        if holder is not None:
            first, later = (holder[0], user_id) if holder[1] else (user_id, holder[0])
        if first == user_id:
            if later is not None:
                # The key is unique: a text that is no e-mail holds the place between
                # the two updates.
                _set_key(connection, user_id, f"{user_id} ")
                _set_key(connection, later, before)
            _set_key(connection, user_id, after)
        if later is not None and findings is not None:
            findings.append(
                f"user {later} has the e-mail of user {first} in another spelling,"
                " and is not found by it: give one of them another e-mail"
            )
    unlinked = connection.execute(
        sa.text(
            "select distinct email_key from payments"
            " where user_id is null and email_key ~ '[^[:ascii:]]'"
        )
    )
    for (before,) in unlinked.all():
        connection.execute(
            sa.text(
                "update payments set email_key = :after"
                " where user_id is null and email_key = :before"
            ),
            {"before": before, "after": _key(before)},
        )


def _set_key(connection: sa.Connection, user_id: str, key: str) -> None:
    connection.execute(
        sa.text("update payment_accounts set email_key = :key where user_id = :user"),
        {"key": key, "user": user_id},
    )


def _key(email: str) -> str:
    """Return an e-mail's key as this release makes it."""
    lower = unicodedata.normalize("NFC", email.strip()).lower()
    key = unicodedata.normalize("NFC", lower).rstrip(".")
    local, _, domain = key.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True, transitional=False)
    except idna.IDNAError:
        return key
    return f"{local}@{ascii_domain.decode()}"
