"""procrastinate: jobs in PostgreSQL, one lock for each wedding.

Tuned for two cores: the door defers whatever came together in one statement; jobs that are done are deleted,
so that fetching stays quick; fetching and finishing commit without waiting for the disk, since a job whose
end is forgotten is only done again; the work itself waits for it. Its asynchronous worker holds many jobs
while the vendor thinks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg_pool
import uvloop
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job

from tests.bench.peers.ingress import serve
from tests.bench.peers.settings import Settings
from tests.bench.peers.vendor import Vendor, session
from tests.bench.peers.work import COMMIT, SCHEMA, Edit

WORKERS = 2
_AT_ONCE = 24
"""Jobs a worker holds; more only waits for the same core."""
_TASK, _QUEUE = "work", "webhooks"
_FORGETFUL = "-c synchronous_commit=off"
_POLL_SECONDS = 1.0
_STALLED_LOOK_SECONDS = 15.0


def prepare(database_url: str) -> None:
    """Make the tables."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(SCHEMA)
    with App(connector=_connector(database_url)).open() as app:
        app.schema_manager.apply_schema()


async def ingress(settings: Settings) -> None:
    """Defer a job for each webhook."""
    async with App(connector=_connector(settings.database_url)).open_async() as app:

        async def keep(edits: Sequence[Edit]) -> None:
            await app.job_manager.batch_defer_jobs_async([_job(edit) for edit in edits])

        retries = asyncio.create_task(_retry_stalled(app))
        await serve(settings, keep)
        await retries


async def _retry_stalled(app: App) -> None:
    """Hand out again what a worker held that died: procrastinate leaves that to its users."""
    while True:
        await asyncio.sleep(_STALLED_LOOK_SECONDS)
        for job in await app.job_manager.get_stalled_jobs(queue=_QUEUE):
            await app.job_manager.retry_job(job)


async def worker(settings: Settings) -> None:
    """Work jobs until SIGTERM."""
    app = App(connector=_connector(settings.database_url, options=_FORGETFUL))
    pool = psycopg_pool.AsyncConnectionPool(
        settings.database_url, min_size=4, max_size=_AT_ONCE, open=False, kwargs={"autocommit": True}
    )
    async with app.open_async(), pool, session() as calls:
        vendor = Vendor(calls, settings.vendor_url, settings.vendor_token)

        async def work(**arguments: Any) -> None:
            edit = Edit(**arguments)
            async with pool.connection() as connection:
                done = await connection.execute(COMMIT, edit.parameters(), prepare=True)
                told = await done.fetchone()
            await vendor.tell(edit, told[0] if told else None)

        app.task(name=_TASK, queue=_QUEUE, retry=True)(work)
        await app.run_worker_async(
            queues=[_QUEUE],
            concurrency=_AT_ONCE,
            delete_jobs="successful",
            fetch_job_polling_interval=_POLL_SECONDS,
        )


def _connector(database_url: str, **options: str) -> PsycopgConnector:
    return PsycopgConnector(conninfo=database_url, min_size=2, max_size=8, kwargs=options or None)


def _job(edit: Edit) -> Job:
    return Job(
        id=None,
        queue=_QUEUE,
        lock=edit.wedding_id,
        queueing_lock=None,
        task_name=_TASK,
        task_kwargs={
            "webhook_id": edit.webhook_id,
            "wedding_id": edit.wedding_id,
            "record_id": edit.record_id,
            "version": edit.version,
            "fields": edit.fields,
        },
    )


if __name__ == "__main__":
    uvloop.run({"ingress": ingress, "worker": worker}[sys.argv[1]](Settings.from_env()))
