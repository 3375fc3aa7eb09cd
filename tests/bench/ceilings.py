"""What HTTP, PostgreSQL and Ray do alone on this machine: the rates a load's rate is compared with."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE

import psycopg

from tests.bench.whole import Running
from wedsync.testing.load import ceilings
from wedsync.testing.load.plan import WEBHOOK_BYTES

_SECONDS, _CONNECTIONS = 3.0, 8
_TABLE = "CREATE TABLE IF NOT EXISTS public.bench_commits (id bigserial PRIMARY KEY, body bytea NOT NULL)"


async def alone(running: Running) -> dict[str, float]:
    """Return how many webhooks, commits and calls there are in a second."""
    http = await ceilings.alone(running.home)
    return {
        **http,
        "postgres_commit_alone": round(await _commits(running.database_url), 1),
        "ray_call_alone": round(await _ray_calls(running), 1),
    }


async def _commits(database_url: str) -> float:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(_TABLE)
        began = time.monotonic()
        counts = await asyncio.gather(*(_commit_on(database_url, began) for _ in range(_CONNECTIONS)))
        took = time.monotonic() - began
        await admin.execute("DROP TABLE public.bench_commits")
    return sum(counts) / took


async def _commit_on(database_url: str, began: float) -> int:
    body, count = b"x" * WEBHOOK_BYTES, 0
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        while time.monotonic() - began < _SECONDS:
            await connection.execute("INSERT INTO public.bench_commits (body) VALUES (%s)", (body,))
            count += 1
    return count


async def _ray_calls(running: Running) -> float:
    """Ask another process: Ray makes its driver a node's guest for life."""
    command = (sys.executable, "-m", "tests.bench.ray_calls", str(_SECONDS))
    process = await asyncio.create_subprocess_exec(*command, env=running.ray_environment(), stdout=PIPE)
    said, _ = await process.communicate()
    return float(said.splitlines()[-1])
