"""The system account that the server runs as: PostgreSQL refuses root."""

import ctypes
import os
import pwd
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs

_CLONE_NEWUSER: Final = 0x10000000  # linux/sched.h


@attrs.frozen
class Account:
    """The server's account; `uid` and `gid` own its files, outside of a namespace."""

    uid: int
    gid: int
    become: Callable[[], None]

    @classmethod
    def choose(cls) -> "Account":
        uid, gid = os.geteuid(), os.getegid()
        if uid != 0:
            return cls(uid, gid, _stay)
        nobody = pwd.getpwnam("nobody")
        ids = nobody.pw_uid, nobody.pw_gid
        inside = cls(uid, gid, partial(_enter_user_namespace, *ids))
        return inside if inside.reaches(Path("/")) else cls(*ids, partial(_drop, *ids))

    def reaches(self, path: Path) -> bool:
        """Say whether the account is available and can execute, or enter, the path."""
        child = os.fork()
        if child == 0:
            try:
                self.become()
                os._exit(0 if os.access(path, os.X_OK) else 1)
            finally:
                os._exit(1)
        return os.waitpid(child, 0)[1] == 0

    def own(self, *paths: Path) -> None:
        """Change the owner of files and whole folders; only root needs to, and can."""
        for path in paths if os.geteuid() == 0 else ():
            os.lchown(path, self.uid, self.gid)
            if path.is_dir() and not path.is_symlink():
                self.own(*path.iterdir())


def _stay() -> None:
    """Keep the present account."""


def _enter_user_namespace(uid: int, gid: int) -> None:
    """Become `uid` and `gid` in a user namespace without other users."""
    outside = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # The kernel accepts a map of groups only from a process that denied `setgroups`.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside[1]} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside[0]} 1")


def _drop(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
