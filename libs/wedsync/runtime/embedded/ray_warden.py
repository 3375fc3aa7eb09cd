"""Start a local Ray, stay with it, and end all of it: a child process of `wedsync.runtime.embedded.ray`.

`ray start` leaves daemons behind that belong to nobody. This process adopts them (Linux), ends when one of
them does, and, asked to end by a signal or by its parent's death, kills everything and removes the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from wedsync.runtime.embedded.process import end_marked

MARKER = "WEDSYNC_RAY_SCRATCH"
"""Environment variable of every process of one Ray; its value is the Ray's temporary directory."""

READY = "ready"
"""File in that directory that appears once Ray answers."""

_PR_SET_CHILD_SUBREAPER = 36
_START_SECONDS = 60.0
_WATCH_SECONDS = 0.5
_ESSENTIAL = frozenset({"gcs_server", "raylet"})


def main(command: list[str]) -> int:
    """Start Ray with the command and watch over it; return 0 if it ended because we were asked to."""
    asked = Asked(signal.SIGTERM, signal.SIGINT)
    _adopt_orphans()
    scratch = Path(os.environ[MARKER])
    try:
        # Ray's daemons are whole when the command returns.
        subprocess.run(command, check=True, timeout=_START_SECONDS)  # noqa: S603  # our own argv, no shell
        (scratch / READY).touch()
        while not asked.within(_WATCH_SECONDS):
            _reap()
            if missing := _ESSENTIAL - _running(scratch):
                sys.stderr.write(f"Ray lost {', '.join(sorted(missing))}\n")
                return 1
    finally:
        end_marked(MARKER, str(scratch))
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


class Asked:
    """Whether a signal has asked us to end.

    A handler may interrupt whoever holds the very lock that it wants, so it takes none: it writes to a pipe.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for signum in signals:
            signal.signal(signum, lambda *_: None)

    def within(self, seconds: float) -> bool:
        """Say whether one came, waiting so long for it."""
        return bool(select.select([self._reader], [], [], seconds)[0])


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _running(scratch: Path) -> set[str]:
    """Return the names of the daemons that work for this directory; their command lines carry it."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() in _ESSENTIAL and any(str(scratch) in part for part in process.cmdline()):
                found.add(process.name())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
