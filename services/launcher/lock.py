"""One start per WEDSYNC_HOME: a lock the kernel takes back when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from wedsync.errors import FailedPrecondition


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home directory for us alone; or raise `FailedPrecondition` naming the holder."""
    path = home / "lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except PermissionError as error:
        raise FailedPrecondition(
            f"{home} belongs to another user: run as that user, or set WEDSYNC_HOME to a directory of yours"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise FailedPrecondition(_refusal(path.parent, holder)) from None
        if _is_still_the_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # the holder before us removed it between our open and our lock


def _is_still_the_file(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _refusal(home: Path, holder: str) -> str:
    return (
        f"WedSync already runs on {home} (pid {holder}).\n"
        f"Stop it with Ctrl-C or `kill {holder}`, or start a second one beside it:\n"
        "  WEDSYNC_HOME=.wedsync-2 WEDSYNC_PORTS=auto make run"
    )
