"""DBOS: durable workflows in PostgreSQL, on a queue partitioned by wedding.

Tuned for two cores: the door enqueues whatever came together in one transaction; one at a time for each
partition and no other bound but a worker's own, which is what DBOS hands out in one sweep over all
partitions instead of a query for each; sweeps follow each other closely, and in a few processes; a workflow
is one whole, without steps to record, since its work may safely be done again; no listeners, no tracing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg_pool
import sqlalchemy
import uvloop
from dbos import DBOS, DBOSClient

from tests.bench.peers.ingress import serve
from tests.bench.peers.settings import Settings
from tests.bench.peers.vendor import Vendor, session
from tests.bench.peers.work import COMMIT, SCHEMA, Edit

WORKERS = 2
_AT_ONCE = 32
_SWEEP_SECONDS = 0.02
_TASK, _QUEUE, _NAME, _VERSION = "work", "webhooks", "peer", "1"


def prepare(database_url: str) -> None:
    """Make the tables."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(SCHEMA)
    _dbos(database_url, executor="prepare")
    DBOS.launch()
    DBOS.register_queue(
        _QUEUE,
        partition_concurrency=1,
        worker_concurrency=_AT_ONCE,
        polling_interval_sec=_SWEEP_SECONDS,
        on_conflict="always_update",
    )
    DBOS.destroy()


async def ingress(settings: Settings) -> None:
    """Enqueue a workflow for each webhook."""
    engine = sqlalchemy.create_engine(_sqlalchemy_url(settings.database_url), pool_size=4)
    client = DBOSClient(system_database_engine=engine, application_name=_NAME)

    def enqueue(edits: Sequence[Edit]) -> None:
        with engine.begin() as connection:
            for edit in edits:
                client.enqueue_in_transaction(connection, _options(edit), _content(edit))

    async def keep(edits: Sequence[Edit]) -> None:
        await asyncio.to_thread(enqueue, edits)

    await serve(settings, keep)


async def worker(settings: Settings) -> None:
    """Work workflows until SIGTERM."""
    pool = psycopg_pool.AsyncConnectionPool(
        settings.database_url, min_size=4, max_size=_AT_ONCE, open=False, kwargs={"autocommit": True}
    )
    async with pool, session() as calls:
        vendor = Vendor(calls, settings.vendor_url, settings.vendor_token)

        async def work(content: dict[str, Any]) -> None:
            edit = Edit(**content)
            async with pool.connection() as connection:
                done = await connection.execute(COMMIT, edit.parameters(), prepare=True)
                told = await done.fetchone()
            await vendor.tell(edit, told[0] if told else None)

        _dbos(settings.database_url, executor=str(settings.port))
        DBOS.workflow(name=_TASK)(work)
        DBOS.launch()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()
        await asyncio.to_thread(DBOS.destroy)


def _dbos(database_url: str, *, executor: str) -> Any:
    return DBOS(
        config={
            "name": _NAME,
            "system_database_url": database_url,
            "application_version": _VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
            "use_listen_notify": False,
        }
    )


def _options(edit: Edit) -> Any:
    return {
        "workflow_name": _TASK,
        "queue_name": _QUEUE,
        "workflow_id": edit.webhook_id,
        "queue_partition_key": edit.wedding_id,
        "app_version": _VERSION,
    }


def _content(edit: Edit) -> dict[str, Any]:
    return {
        "webhook_id": edit.webhook_id,
        "wedding_id": edit.wedding_id,
        "record_id": edit.record_id,
        "version": edit.version,
        "fields": dict(edit.fields),
    }


def _sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


if __name__ == "__main__":
    uvloop.run({"ingress": ingress, "worker": worker}[sys.argv[1]](Settings.from_env()))
