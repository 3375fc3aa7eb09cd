"""Edits of weddings that take place today, brought to eight vendors while a million records are read in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.running import Running
from tests.bench.whole import Whole
from wedsync.client import wedding_message
from wedsync.model.ids import new_id
from wedsync.testing.load.plan import poisson
from wedsync.testing.load.stage import Account, connected, record

_FAN_OUT, _WEDDINGS, _RATE, _SECONDS = 8, 8, 5.0, 40.0
_ARCHIVES, _RECORDS = 100, 10_000
_BEGUN_SECONDS = 180.0
_READ = "SELECT count(*) FROM gateway.vendor_activities WHERE backfill"


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Measure once while it is quiet and once during the backfill, which need not end."""
    wanted = whole.wanted
    running = await whole.system()
    today = datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    stage = await whole.stage(running, weddings=wanted.weddings or _WEDDINGS, fan_out=_FAN_OUT, day=today)
    trials, seconds = running.trials(stage), wanted.duration or _SECONDS
    for case in ("quiet", "backfill"):
        if case == "backfill":
            await _backfill(running)
        origins = await stage.origins()
        before = running.ask(_READ)
        result = await trials.prove(origins, poisson(origins, rate=wanted.rate or _RATE, seconds=seconds))
        read = running.ask(_READ) - before
        row = shown(running, result, weddings=len(stage.weddings), fan_out=_FAN_OUT, seconds=seconds)
        yield {"case": case, "records read meanwhile": read, **row}
        exact(result)
        if case == "backfill" and not read:
            raise AssertionError("the backfill stood still, so nothing was proved")
    await whole.stop()  # what is still to be read in would be in the next scenario's way


async def _backfill(running: Running) -> None:
    """Link weddings of another studio to a million records, and return once they are being read."""
    key, before = running.target.keys[-1], running.ask(_READ)
    account, other = await connected(running.target, running.sink, 2, f"archive-{time.monotonic_ns()}", key)
    for _ in range(_ARCHIVES):
        await _archive(running, account, other)
    async with asyncio.timeout(_BEGUN_SECONDS):
        while running.ask(_READ) == before:  # noqa: ASYNC110  # tables set no event
            await asyncio.sleep(0.5)


async def _archive(running: Running, account: Account, other: Account) -> None:
    sync, gateway, key = running.target.sync, running.target.gateway, account.key
    name = new_id()
    message = wedding_message("Archive", "2024-06-12", "Europe/Paris", wedding_id=name)
    await sync.create_wedding(message, api_key=key)
    archives = [(account.name, name, record(0), _RECORDS)]
    await running.sink.seed(archives=archives, collections=[(other.name, name, [])])
    for each in (other, account):
        await gateway.link_wedding(name, each.integration_id, scope={"collection_id": name}, api_key=key)
