"""The servers under the service go away without a word, and come back."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import redis

from tests.faults.bench import Bench
from tests.faults.conftest import StartTrial
from tests.faults.evidence import is_gone


@pytest.mark.short
async def test_valkey_killed_and_restarted_empty_costs_no_edit(bench: Bench, start_trial: StartTrial) -> None:
    """Edits go on without Valkey, and go on when another one with nothing in it stands in its place."""
    async with start_trial("Valkey killed") as trial:
        before, run_id = bench.valkey.pid, _run_id(bench)
        assert before
        trial.begin()
        os.kill(before, signal.SIGKILL)
        await trial.until(lambda: is_gone(before), "Valkey is gone")
        await trial.answered()
        bench.valkey.stop()
        await asyncio.to_thread(bench.valkey.start)
        assert _run_id(bench) != run_id
        await trial.answered()
        assert not trial.moved()


async def test_postgres_stopped_immediately_loses_nothing_that_was_answered(
    bench: Bench, start_trial: StartTrial
) -> None:
    """An immediate stop is a crash: what it recovers to holds every change that anybody was told of."""
    async with start_trial("PostgreSQL stopped immediately") as trial:
        before, started = bench.postgres.pid, bench.evidence.server_started()
        assert before
        trial.begin()
        os.kill(before, signal.SIGQUIT)
        await trial.until(lambda: is_gone(before), "PostgreSQL is gone")
        bench.postgres.stop()
        await asyncio.to_thread(bench.postgres.start)
        assert bench.evidence.server_started() > started
        assert "was not properly shut down" in (bench.home / "postgres.log").read_text()
        await trial.answered()


async def test_ray_restarted_as_a_whole_loses_nothing(bench: Bench, start_trial: StartTrial) -> None:
    """All of Ray dies with every owner; on the new one they start again."""
    async with start_trial("Ray killed and restarted") as trial:
        before = bench.ray_processes()
        trial.begin()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await trial.until(lambda: all(map(is_gone, before)), "every process of Ray is gone")
        await asyncio.to_thread(bench.ray.stop)
        await asyncio.to_thread(bench.ray.start)
        await trial.answered()
        assert trial.moved() == set(trial.weddings)


def _run_id(bench: Bench) -> str:
    with redis.Redis.from_url(bench.addresses["redis"]) as client:
        return str(client.info("server")["run_id"])
