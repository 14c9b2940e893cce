"""PostgreSQL without installing it, for development and tests; never for production.

Three processes: the *owner* is whoever enters `embedded_postgres`, the *supervisor* is
`supervisor` run as a program, and the *server* is its child.

Rule 1: the supervisor holds the read end of a pipe. The owner leaves or dies, however,
        and the supervisor stops the server and removes an ephemeral folder.
Rule 2: the supervisor dies, however, and the kernel stops the server (Linux only).
        The server dies, however, and the supervisor ends: the owner sees one process.
Rule 3: `owner.lock` says that the folder has an owner; a second one is refused.
        The server and all its children inherit `server.lock`: who gets it knows that
        none of them is left, and only then touches the data.
Rule 4: a cluster is made beside its place and moved there whole, so that `data` is
        never half a cluster.
Rule 5: PostgreSQL refuses root. Root enters a user namespace that calls it nobody or,
        where that is forbidden, becomes nobody. No user is added, and no folder but
        our own changes hands.

In the folder: `data`, `password`, `server.log`, `server.log.1` of the run before, and
the locks.
"""

from payments_service.dev.postgres.errors import (
    EmbeddedPostgresError,
    FolderInUse,
    NoPostgres,
    OtherVersion,
    StartFailed,
)
from payments_service.dev.postgres.server import EmbeddedPostgres, embedded_postgres

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "FolderInUse",
    "NoPostgres",
    "OtherVersion",
    "StartFailed",
    "embedded_postgres",
]
