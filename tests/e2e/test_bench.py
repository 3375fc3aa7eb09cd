"""`wedsync bench` against a running system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.stack import Stack, clients

_SECONDS = 110
_STAGES = ("accept", "commit", "send_to_vendor")
_SHARES = ("p50", "p95", "p99", "max")


async def test_a_load_loses_and_doubles_nothing_and_leaves_no_link(stack: Stack) -> None:
    """Every edit told by signed webhooks is with all other vendors once; at the end nothing is linked."""
    found = _loaded(stack)
    assert (found["lost"], found["doubled"], found["rejected"]) == (0, 0, 0)
    assert found["accepted"] > 0
    assert found["achieved_rate"] > 0
    assert all(found["latency_ms"][stage][share] > 0 for stage in _STAGES for share in _SHARES)
    assert all(found["cpu_us_per_webhook"][name] > 0 for name in ("gateway", "sync", "actors", "postgres"))
    assert set(found["ratios"]) == {"http_accept_alone"}
    await _nothing_is_linked(stack)


def _loaded(stack: Stack) -> dict[str, Any]:
    options = ["--rate", "10", "--duration", "4", "--weddings", "4", "--fan-out", "2", "--json"]
    command = [sys.executable, "-c", "from wedsync.cli import main; main()", "bench", "steady", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    done = subprocess.run(
        command,
        env={**kept, "WEDSYNC_HOME": str(stack.home)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _nothing_is_linked(stack: Stack) -> None:
    async with clients(stack) as opened:
        used = [entry async for entry in opened.gateway.list_integrations() if entry.vendor == "partner_api"]
        assert used
        assert all(entry.HasField("disconnect_time") for entry in used)
