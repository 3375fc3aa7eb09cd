"""A local Ray of one node, as a supervised tree of processes: token required, dashboard off, memory bounded.

Ray wants a directory with a short path for its sockets, so that one lies in the system's temporary directory;
it is removed when Ray ends. Whoever reaches Ray's ports with the token runs code: the token never leaves
`secrets_dir` and the environment of our own processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

from wedsync.runtime.embedded.local import free_port, port_is_free, read_or_create_secret
from wedsync.runtime.embedded.process import Child, ChildFailed, Launch, end_marked
from wedsync.runtime.embedded.ray_warden import MARKER, READY

_START_SECONDS = 70.0
_STOP_SECONDS = 15.0
_LONGEST_ROOT = 40  # a Unix socket path has 107 characters, and Ray's names need up to 60 of them
# Actors ask for no CPU; this only bounds how many worker processes Ray keeps idle.
_LOGICAL_CPUS = 64
_OBJECT_STORE_BYTES = 100_000_000  # arguments and results are small; Ray's minimum is 75 MB
# Ray replaces 127.0.0.1 by the machine's outer address, which may change or be missing on a laptop.
_NODE_ADDRESS = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"

_RAY_SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",  # the sync service fills its own warm pool
    "RAY_prestart_worker_first_driver": "0",
    "RAY_LOG_TO_STDERR": "0",
    "SPT_NOENV": "1",  # renamed worker processes keep their environment readable: we find them by it
}


class EmbeddedRay:
    """One local Ray; `state_dir` remembers what must be cleared away after a crash."""

    name = "ray"

    def __init__(
        self,
        state_dir: Path,
        secrets_dir: Path,
        log: Path,
        port: int | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._note = state_dir / "ray_scratch"
        self._token_file = secrets_dir.absolute() / "ray_token"
        self._log = log
        self._port = port
        self._env = dict(os.environ if env is None else env)
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid of the process that watches over Ray while it runs."""
        return self._child.pid if self._child else None

    @property
    def environment(self) -> dict[str, str]:
        """Return what a driver must have in its environment to be let in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token_file), **_RAY_SETTINGS}

    def start(self) -> str:
        """Start Ray and return its address (`host:port`) once a driver can connect."""
        read_or_create_secret(self._token_file)
        self._clear_leftovers()
        self._port = self._port or free_port()
        if not port_is_free(self._port):  # Ray itself would take most of a minute to say so
            raise ChildFailed(f"port {self._port}, which Ray is to use, is in use already")
        scratch = Path(tempfile.mkdtemp(prefix="wsray-", dir=_short_temporary_root()))
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(str(scratch))
        self._child = Child(self._launch(scratch, self._port))
        self._child.start()
        try:
            _wait_until_ready(scratch / READY, self._child)
        except ChildFailed:
            self.stop()
            raise
        return f"{_NODE_ADDRESS}:{self._port}"

    def stop(self) -> None:
        """End Ray and all its processes and remove its directory. Safe to repeat."""
        if self._child:
            self._child.stop()
            self._child = None
        self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """End what a Ray of ours left that could not end itself."""
        with contextlib.suppress(FileNotFoundError):
            scratch = self._note.read_text()
            end_marked(MARKER, scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            self._note.unlink()

    def _launch(self, scratch: Path, port: int) -> Launch:
        command = [sys.executable, "-m", "ray.scripts.scripts", *_ray_arguments(scratch, port)]
        places = {"RAY_TMPDIR": str(scratch), "TMPDIR": str(scratch), MARKER: str(scratch)}
        inherited = {k: v for k, v in self._env.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return Launch(
            name="ray",
            argv=[sys.executable, "-m", "wedsync.runtime.embedded.ray_warden", *command],
            log=self._log,
            env={**inherited, **self.environment, **places},
            stops=((SIGTERM, _STOP_SECONDS),),
            death_signal=SIGTERM,  # it must live on to end the rest
        )


def _ray_arguments(scratch: Path, port: int) -> list[str]:
    options = {
        "node-ip-address": _NODE_ADDRESS,
        "port": str(port),
        # Ray opens this one unasked; free, so that a second Ray on the machine can start.
        "ray-client-server-port": str(free_port()),
        "dashboard-agent-listen-port": "0",
        # One below: Ray opens its directory to everybody, and ours around it stays closed.
        "temp-dir": str(scratch / "r"),
        "num-cpus": str(_LOGICAL_CPUS),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
        "include-dashboard": "false",
        "include-log-monitor": "false",
        "log-color": "false",
    }
    flags = ["--head", "--no-monitor", "--disable-usage-stats"]
    return ["start", *flags, *(f"--{name}={value}" for name, value in options.items())]


def _short_temporary_root() -> str:
    root = tempfile.gettempdir()
    return root if len(root) <= _LONGEST_ROOT else "/tmp"  # noqa: S108  # macOS' own is too long


def _wait_until_ready(ready: Path, child: Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready.exists():
        child.require_running()
        if time.monotonic() > deadline:
            raise child.failure(f"is not ready within {_START_SECONDS:.0f} s")
