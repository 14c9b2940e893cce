"""PostgreSQL without installing it, for development and tests; never for production.

There are three processes: the *owner* enters `embedded_postgres`, the *supervisor* is
`supervisor` run as a program, and the *server* is the supervisor's child.

Rule 1: the supervisor holds the read end of a pipe. If the owner leaves the block or
        dies in any way, the supervisor stops the server and removes an ephemeral
        folder.
Rule 2: if the supervisor dies in any way, the kernel stops the server (Linux only). If
        the server dies, the supervisor exits: the owner watches one process.
Rule 3: `owner.lock` means that the folder has an owner; a second owner is refused. The
        server and all its children inherit `server.lock`: a process that gets this lock
        knows that none of them runs, and only then changes the data.
Rule 4: a cluster is created in a temporary folder and then renamed to `data`, so that
        `data` is never an incomplete cluster.
Rule 5: PostgreSQL refuses root. Root enters a user namespace in which it is the user
        `nobody` or, if that is not allowed, becomes `nobody`. No user is added, and no
        folder but our own changes its owner.

The folder has `data`, `password`, `server.log`, `server.log.1` of the previous run, and
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
