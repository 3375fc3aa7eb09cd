"""Child processes that end with us: start, watch, end them with a limit, find what an earlier run left.

A child runs in a session of its own (a Ctrl-C in the terminal reaches only the supervisor), is ended by its
own gentle signal first and by SIGKILL at last, and on Linux dies with its supervisor even if that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from wedsync.errors import WedSyncError

_LAUNCHER = Path(__file__).with_name("launch.py")
# The kernel's death signal follows the *thread* that forked. This one lives as long as the process does.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
_POLL_SECONDS = 0.02
_TAIL_BYTES = 4096
_KILL_SECONDS = 10.0  # SIGKILL is not refused, but a process in the middle of disk I/O ends late


class ChildFailed(WedSyncError):
    """A child process did not come up or died; its last words are in the message."""

    reason = "CHILD_FAILED"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a child runs as when we are root."""

    uid: int
    gid: int
    reach_everything: bool = False


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start and how to end it."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    cwd: Path = Path("/")
    account: Account | None = None
    stops: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 10.0),)
    """Signals in the order they are tried, each with the seconds it is given; SIGKILL follows."""
    death_signal: signal.Signals = signal.SIGKILL
    """What the child gets when this process dies without ending it."""


@dataclass
class Child:
    """One child process, started at most once at a time."""

    launch: Launch
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """Return the name given at launch."""
        return self.launch.name

    @property
    def pid(self) -> int | None:
        """Return the pid while the process runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process; returns once it is forked, not once it is ready."""
        self.launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self.launch.log.open("ab") as log:
            self._process = _SPAWNER.submit(self._spawn, log.fileno()).result()

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        account = self.launch.account
        start = {
            "argv": list(self.launch.argv),
            "parent": os.getpid(),
            "death_signal": int(self.launch.death_signal),
            "uid": account.uid if account else None,
            "gid": account.gid if account else None,
            "reach_everything": bool(account and account.reach_everything),
        }
        return subprocess.Popen(  # noqa: S603  # our own argv, no shell
            [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(start)],
            env=dict(self.launch.env),
            cwd=self.launch.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def exited(self, within: float) -> bool:
        """Wait for at most the given seconds and say whether the process is gone."""
        process = self._process
        if process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(within)
        return process.returncode is not None

    @property
    def exit_status(self) -> int | None:
        """Return how the process ended: None while it runs, negative for a signal."""
        return self._process.poll() if self._process else None

    def require_running(self) -> None:
        """Look after a moment: raise `ChildFailed` with the end of the log if the process is gone."""
        if self.exited(within=_POLL_SECONDS):
            raise self.failure(f"ended with status {self.exit_status}")

    def failure(self, what: str) -> ChildFailed:
        """Return the error that says what went wrong and shows the end of the log."""
        log = self.launch.log
        return ChildFailed(f"{self.name} {what}. The end of {log}:\n{tail(log)}")

    def stop(self) -> None:
        """End the process and its group: its own signals first, SIGKILL at the end. Safe to repeat."""
        process = self._process
        if process is None:
            return
        for signum, seconds in self.launch.stops:
            if self.exited(within=0):
                break
            process.send_signal(signum)
            self.exited(within=seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILL_SECONDS)


def tail(log: Path, limit: int = _TAIL_BYTES) -> str:
    """Return the last lines of a log file, at most `limit` bytes of them."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - limit))
        return file.read().decode(errors="replace").strip()


def end_marked(name: str, value: str, seconds: float = 5.0) -> int:
    """Kill every process whose environment has this value, except ourselves; return how many there were."""
    deadline = time.monotonic() + seconds
    ended: set[int] = set()
    while found := [p for p in psutil.process_iter() if _carries(p, name, value)]:
        ended.update(process.pid for process in found)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=1.0)
        if time.monotonic() > deadline:
            raise ChildFailed(f"these processes do not end: {sorted(ended)}")
    return len(ended)


def _carries(process: psutil.Process, name: str, value: str) -> bool:
    try:
        ours = process.environ().get(name) == value
        return ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
