"""What HTTP, PostgreSQL and Ray do in a second alone: no system made of them does more."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

import psycopg

from tests.bench.alone.told import a_program, give, heard
from tests.bench.figures import Row
from tests.bench.peers import costs
from tests.bench.peers.servers import Servers, servers
from tests.bench.whole import Whole
from tests.support.database import MigratedDatabase, copy_of_template, migrated_template
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.testing.load.ceilings import a_server, flood

_CALL_SECONDS = 4.0
_COMMITTERS, _WEDDINGS_EACH = 4, 64
_COMMITS = {1: 1_000, 8: 4_000, 32: 8_000}
"""How many together, and how many of them on each connection: a second or more of work."""
_ACTORS, _CALLS = 4, (1, 25)
_ADD = """
WITH made AS (
  INSERT INTO sync.weddings (wedding_id, title, day, time_zone)
  SELECT w, 'Okafor', '2027-06-12', 'Europe/Paris' FROM unnest(%s::uuid[]) w RETURNING wedding_id)
INSERT INTO sync.wedding_members (wedding_id, organization_id, role, created_at)
SELECT wedding_id, 'studio', 'planner', now() FROM made
"""


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Measure one after the other, on servers of their own; nothing else runs beside them."""
    await whole.stop()
    home = whole.home / "alone"
    home.mkdir()  # once, before anything runs
    yield {"system": "HTTP accept", "together": 1, **await _accepts(home)}
    async with servers(home) as found:
        template = await asyncio.to_thread(migrated_template, found.admin_url)
        for size in _COMMITS:
            with copy_of_template(template, found.admin_url) as database:
                row = await _commits(found, database, size)
            yield {"system": "Postgres commit", "together": size, **row}
    async with _a_ray(home) as (address, ray):
        for size in _CALLS:
            yield {"system": "Ray call", "together": size, **await _calls(address, ray, size)}


async def _accepts(home: Path) -> Row:
    async with a_server() as server:
        groups = {"server": [server.pid]}
        before = costs.used(groups)
        rate, count = await flood(home, server)
        return _row(before, costs.used(groups), count, count / rate)


async def _commits(found: Servers, database: MigratedDatabase, size: int) -> Row:
    ids = [[new_id() for _ in range(_WEDDINGS_EACH)] for _ in range(_COMMITTERS)]
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(_ADD, [[each for part in ids for each in part]])
    async with contextlib.AsyncExitStack() as opened:
        programs = await asyncio.gather(
            *(
                opened.enter_async_context(
                    a_program("committing", database.app_url("sync"), str(size), str(_COMMITS[size]), *part)
                )
                for part in ids
            )
        )
        groups = {"owners": [each.pid for each in programs], costs.POSTGRES: [found.postgres]}
        before = costs.used(groups)
        for program in programs:
            await give(program)
        told = await asyncio.gather(*map(heard, programs))
        after = costs.used(groups)
    return _row(before, after, sum(each["done"] for each in told), max(each["seconds"] for each in told))


async def _calls(address: str, ray: EmbeddedRay, size: int) -> Row:
    env = {**os.environ, **ray.environment}
    arguments = (address, str(_ACTORS), str(size), str(_CALL_SECONDS))
    async with a_program("calling", *arguments, env=env) as caller:
        groups = {"caller": [caller.pid], "ray": [ray.pid or 0]}
        before = costs.used(groups)
        await give(caller)
        told = await heard(caller)
        after = costs.used(groups)
    return _row(before, after, told["done"], told["seconds"])


def _row(before: Mapping[str, float], after: Mapping[str, float], done: int, seconds: float) -> Row:
    return {
        "per_second": round(done / seconds),
        "seconds": round(seconds, 1),
        "cpu_us_each": costs.microseconds_each(before, after, done),
    }


@contextlib.asynccontextmanager
async def _a_ray(home: Path) -> AsyncIterator[tuple[str, EmbeddedRay]]:
    ray = EmbeddedRay(home / "ray", home / "secrets", home / "ray.log")
    try:
        yield await asyncio.to_thread(ray.start), ray
    finally:
        await asyncio.to_thread(ray.stop)
