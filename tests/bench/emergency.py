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
from wedsync.testing.load.stage import Account, Stage, connected, record

_FAN_OUT, _WEDDINGS, _RATE, _SECONDS = 8, 8, 5.0, 60.0
_ARCHIVES, _RECORDS = 100, 10_000
_BEGUN_SECONDS = 180.0


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Measure once while it is quiet and once during the backfill, which need not end."""
    wanted = whole.wanted
    running = await whole.system()
    today = datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    stage = await whole.stage(running, weddings=wanted.weddings or _WEDDINGS, fan_out=_FAN_OUT, day=today)
    trials, seconds = running.trials(stage), wanted.duration or _SECONDS
    for case in ("quiet", "backfill"):
        links = await _backfill(running, stage) if case == "backfill" else []
        origins = await stage.origins()
        before = await _read(running, links)
        result = await trials.prove(origins, poisson(origins, rate=wanted.rate or _RATE, seconds=seconds))
        read = await _read(running, links) - before
        row = shown(running, result, weddings=len(stage.weddings), fan_out=_FAN_OUT, seconds=seconds)
        yield {"case": case, "records read meanwhile": read, **row}
        exact(result)
        if links and not read:
            raise AssertionError("the backfill stood still, so nothing was proved")
    await whole.stop()  # what is still to be read in would be in the next scenario's way


async def _backfill(running: Running, stage: Stage) -> list[tuple[str, str]]:
    """Link weddings of another studio to a million records; return wedding and link ids."""
    key = running.target.keys[-1]
    account, other = await connected(running.target, running.sink, 2, f"archive-{time.monotonic_ns()}", key)
    links = [await _archive(running, account, other) for _ in range(_ARCHIVES)]
    async with asyncio.timeout(_BEGUN_SECONDS):
        while not await _read(running, links):  # noqa: ASYNC110  # a link tells nobody that it is read
            await asyncio.sleep(0.5)
    return links


async def _archive(running: Running, account: Account, other: Account) -> tuple[str, str]:
    sync, gateway, key = running.target.sync, running.target.gateway, account.key
    name = new_id()
    message = wedding_message("Archive", "2024-06-12", "Europe/Paris", wedding_id=name)
    await sync.create_wedding(message, api_key=key)
    archives = [(account.name, name, record(0), _RECORDS)]
    await running.sink.seed(archives=archives, collections=[(other.name, name, [])])
    for each in (other, account):
        link = await gateway.link_wedding(
            name, each.integration_id, scope={"collection_id": name}, api_key=key
        )
    return name, link.link_id


async def _read(running: Running, links: list[tuple[str, str]]) -> int:
    """Return how many records of the archives have been read so far."""
    key, total = running.target.keys[-1], 0
    for wedding_id, link_id in links:
        found = await running.target.gateway.list_links(wedding_id, api_key=key)
        total += sum(link.backfill.records for link in found if link.link_id == link_id)
    return total
