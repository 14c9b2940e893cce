"""Lock files: the process that holds one owns the folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from payments_service.dev.postgres.errors import FolderInUse

POLL_SECONDS: Final = 0.02
# How long a server that lost its supervisor may take to die.
ORPHAN_SECONDS_MAX: Final = 15


@contextmanager
def locked(path: Path, seconds_max: float) -> Iterator[int]:
    """Hold a lock file and yield its descriptor; inherited descriptors hold it too.

    Raises:
        FolderInUse: another process held it for `seconds_max`.
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
