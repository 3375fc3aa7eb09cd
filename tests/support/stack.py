"""The whole system as a user starts it, on free ports and in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.support.processes import eventually
from wedsync.client import ConflictsClient, GatewayClient, HealthClient, SyncClient, open_channel

START_SECONDS, STOP_SECONDS = 90.0, 60.0


@dataclass(frozen=True)
class Stack:
    """A running system."""

    home: Path
    process: subprocess.Popen[str]

    @property
    def run(self) -> dict[str, Any]:
        """What the system says about itself: addresses, processes, where keys lie."""
        content: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return content

    @property
    def demo_key(self) -> str:
        """The API key of the demo's organization."""
        return Path(self.run["demo_key_file"]).read_text().strip()

    @property
    def http(self) -> str:
        """The gateway's HTTP address."""
        return str(self.run["http"]).rstrip("/")

    def channel(self, service: str, *, key: str | None = None) -> grpc.aio.Channel:
        """Return a channel to a service."""
        return open_channel(self.run["grpc"][service], api_key=key or self.demo_key)

    def kill(self, program: str) -> None:
        """End one program as a crash would; the supervisor starts it again."""
        before = self.run["pids"][program]
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self.run["pids"].get(program, before) != before, 30, f"{program} is started again")


@dataclass(frozen=True)
class Clients:
    """A client of every service, with the demo's key."""

    sync: SyncClient
    gateway: GatewayClient
    conflicts: ConflictsClient
    health: HealthClient


@contextlib.asynccontextmanager
async def clients(stack: Stack) -> Any:
    """Open clients of every service."""
    async with contextlib.AsyncExitStack() as opened:
        channels = {
            name: await opened.enter_async_context(stack.channel(name))
            for name in ("sync", "gateway", "conflicts", "health")
        }
        yield Clients(
            sync=SyncClient(channels["sync"]),
            gateway=GatewayClient(channels["gateway"]),
            conflicts=ConflictsClient(channels["conflicts"]),
            health=HealthClient(channels["health"]),
        )


@contextlib.contextmanager
def running_stack(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start the system, wait until it is ready, and end it with SIGTERM."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    env = {**kept, "WEDSYNC_HOME": str(home), "WEDSYNC_PORTS": "auto", **(environment or {})}
    home.mkdir(parents=True, exist_ok=True)
    with (home / "stack.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services"], env=env, stdout=log, stderr=subprocess.STDOUT, text=True
        )
    stack = Stack(home, process)
    try:
        eventually(lambda: _ready(stack), START_SECONDS, f"the system is ready: {home / 'stack.log'}")
        yield stack
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


def _ready(stack: Stack) -> bool:
    if stack.process.poll() is not None:
        raise AssertionError(f"the system ended: {(stack.home / 'stack.log').read_text()[-3000:]}")
    return (stack.home / "run.json").exists() and "wedsync demo" in (stack.home / "stack.log").read_text()
