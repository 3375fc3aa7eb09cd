"""A second machine of the Ray cluster, as far as one machine can play it: a raylet and its workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from tests.faults.evidence import marked
from wedsync.runtime.embedded.process import end_marked
from wedsync.runtime.embedded.ray_warden import MARKER

_ADDRESS = "127.0.0.3"  # the first node's is 127.0.0.2
_START_SECONDS = 60


@dataclass(frozen=True)
class Node:
    """The running node; its processes carry its directory in their environment."""

    scratch: str

    @property
    def raylet(self) -> int:
        """The process by which the cluster knows the node."""
        [pid] = [process.pid for process in marked(MARKER, self.scratch) if process.name() == "raylet"]
        return pid

    @property
    def actors(self) -> set[int]:
        """The processes of wedding actors that live here."""
        found = set()
        for process in marked(MARKER, self.scratch):
            with contextlib.suppress(psutil.Error):
                if "WeddingActor" in " ".join(process.cmdline()):
                    found.add(process.pid)
        return found

    @property
    def pids(self) -> list[int]:
        """All of its processes."""
        return [process.pid for process in marked(MARKER, self.scratch)]

    def signal(self, number: signal.Signals) -> None:
        """Do this to the whole machine."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def second_node(address: str, environment: Mapping[str, str]) -> Iterator[Node]:
    """Join a node to the Ray at this address; in the end nothing of it is left."""
    scratch = tempfile.mkdtemp(prefix="wsray2-")
    options = {
        "address": address,
        "node-ip-address": _ADDRESS,
        "num-cpus": "64",
        "object-store-memory": "100000000",
        "dashboard-agent-listen-port": "0",
        "temp-dir": f"{scratch}/r",
    }
    try:
        subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--disable-usage-stats"]
            + [f"--{name}={value}" for name, value in options.items()],
            env={**environment, "RAY_TMPDIR": scratch, "TMPDIR": scratch, MARKER: scratch},
            check=True,
            capture_output=True,
            timeout=_START_SECONDS,
        )
        yield Node(scratch)
    finally:
        end_marked(MARKER, scratch)
        shutil.rmtree(scratch, ignore_errors=True)
