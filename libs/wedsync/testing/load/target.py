"""The system under load, as any customer reaches it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wedsync.client import GatewayClient, SyncClient, open_channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running system and keys of the organizations that use it."""

    run: Mapping[str, Any]
    """What its run file says."""
    keys: Sequence[str]
    """One API key of each organization."""
    sync: SyncClient
    gateway: GatewayClient

    @property
    def http(self) -> str:
        """Where webhooks are sent."""
        return str(self.run["http"])


@contextlib.asynccontextmanager
async def a_target(home: Path, keys: Sequence[str] = ()) -> AsyncIterator[Target]:
    """Connect to the system that runs in a home directory; without keys, as its demo organization."""
    run = run_file(home)
    known = list(keys) or [demo_key(run)]
    async with (
        open_channel(run["grpc"]["sync"], api_key=known[0]) as sync,
        open_channel(run["grpc"]["gateway"], api_key=known[0]) as gateway,
    ):
        yield Target(run=run, keys=known, sync=SyncClient(sync), gateway=GatewayClient(gateway))


def run_file(home: Path) -> dict[str, Any]:
    """Return what a running system says about itself."""
    run: dict[str, Any] = json.loads((home / "run.json").read_text("utf-8"))
    return run


def demo_key(run: Mapping[str, Any]) -> str:
    """Return the API key of the demo's organization."""
    return Path(run["demo_key_file"]).read_text("utf-8").strip()
