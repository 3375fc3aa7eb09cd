"""One sync service as a process."""

from __future__ import annotations

import os
import signal
import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from services.launcher.units import grpc_serving
from tests.support.processes import eventually
from wedsync.runtime.embedded.process import Child, tail

_START_SECONDS = 60.0


@dataclass
class Replica:
    """It can be killed, and started again on its ports."""

    child: Child
    port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """Where it serves."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        pid = self.child.pid
        assert pid is not None, "the service runs"
        return pid

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.child.start()
        serving, log = grpc_serving(self.port), self.child.launch.log
        eventually(lambda: serving() or self.child.exited(0), _START_SECONDS, f"it serves: {tail(log)}")
        self.child.require_running()

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: self.child.exited(0), 10, "the service is gone")

    def metric(self, name: str, **labels: str) -> float:
        """Return a counter or gauge of its own; 0 where it was never counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())
