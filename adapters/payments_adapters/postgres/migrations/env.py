"""Run by Alembic; the connection comes from `schema`."""

from alembic import context
from sqlalchemy import text

from payments_adapters.postgres.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA)
with context.begin_transaction():
    # Two migrations at once take turns; the lock ends with the transaction.
    connection.execute(text("select pg_advisory_xact_lock(7450)"))
    # While this waits for a lock, each later read of the table waits behind it: an idle
    # transaction would block the service. It gives up instead, and is run again.
    connection.execute(text("set local lock_timeout = '3s'"))
    context.run_migrations()
