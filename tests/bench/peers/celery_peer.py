"""Celery with Valkey as its broker, a lock there for each wedding, and an inbox in PostgreSQL.

The broker forgets when it ends, so the door commits to an inbox first, which a task leaves once its work is
done; what stands there for long is handed over again. Tuned for two cores: messages are published in one
pipeline for whatever came together; no results, events, gossip or heartbeats; late acknowledgement, so
that a dead worker's tasks come back; threads, because a task mostly waits and forty processes cost more;
leaving the inbox does not wait for the disk, since work that is done twice is logged once.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from typing import Any

import celery
import orjson
import psycopg
import psycopg_pool
import redis
import uvloop

from tests.bench.peers.ingress import serve
from tests.bench.peers.settings import Settings
from tests.bench.peers.vendor import ThreadsVendor
from tests.bench.peers.work import COMMIT, SCHEMA, Edit

WORKERS = 2
_THREADS = 16
_TASK, _QUEUE = "work", "webhooks"
_LOCK_SECONDS, _LOCK_PATIENCE, _LOCK_LOOK = 30.0, 5.0, 0.01
_FORGOTTEN_SECONDS = 60
_SWEEP_SECONDS = 15.0

_INBOX = """
CREATE TABLE inbox (
  webhook_id text PRIMARY KEY, body jsonb NOT NULL, handed_over_at timestamptz NOT NULL DEFAULT now());
"""
_KEEP = """
INSERT INTO inbox (webhook_id, body)
SELECT e->>'webhook_id', e FROM jsonb_array_elements(%s::jsonb) e ON CONFLICT DO NOTHING
"""
_FORGOTTEN = """
UPDATE inbox SET handed_over_at = now()
WHERE webhook_id IN (
  SELECT webhook_id FROM inbox WHERE handed_over_at < now() - %s * interval '1 second'
  LIMIT 1000 FOR UPDATE SKIP LOCKED)
RETURNING body
"""
_LEAVE = "DELETE FROM inbox WHERE webhook_id = %s"
_FORGETFUL = "-c synchronous_commit=off"


def prepare(database_url: str) -> None:
    """Make the tables."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(SCHEMA)
        admin.execute(_INBOX)


async def ingress(settings: Settings) -> None:
    """Keep webhooks in the inbox, then publish a task for each."""
    app, pool = _app(settings), _pool(settings, at_most=4)
    publisher = _Publisher(app)
    async with pool:
        sweeps = asyncio.create_task(_sweep(pool, publisher))

        async def keep(edits: Sequence[Edit]) -> None:
            contents = [_content(edit) for edit in edits]
            async with pool.connection() as connection:
                await connection.execute(_KEEP, [orjson.dumps(contents).decode()], prepare=True)
            await asyncio.to_thread(publisher.publish, contents)

        await serve(settings, keep)
        await sweeps


def worker(settings: Settings) -> None:
    """Work tasks until SIGTERM."""
    app, work = _app(settings), _Work(settings)

    def run(task: Any, content: dict[str, Any]) -> None:
        work.run(task, content)

    app.task(name=_TASK, bind=True, acks_late=True, max_retries=None)(run)
    app.worker_main(
        [
            *("--quiet", "worker", "--pool=threads", f"--concurrency={_THREADS}", f"--queues={_QUEUE}"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"),
        ]
    )


class _Publisher:
    """Publishes on one connection that is kept, one batch after the other."""

    def __init__(self, app: Any) -> None:
        self._app, self._connection = app, app.connection_for_write()
        self._one = threading.Lock()

    def publish(self, contents: Sequence[dict[str, Any]]) -> None:
        """Hand over a task for each."""
        with self._one, self._app.amqp.Producer(self._connection, auto_declare=False) as producer:
            for content in contents:
                self._app.send_task(_TASK, (content,), producer=producer, queue=_QUEUE)


class _Work:
    """The task, and what it holds for as long as the process lives."""

    def __init__(self, settings: Settings) -> None:
        self._durable = psycopg_pool.ConnectionPool(
            settings.database_url, min_size=4, max_size=_THREADS, kwargs={"autocommit": True}
        )
        self._forgetful = psycopg_pool.ConnectionPool(
            settings.database_url,
            min_size=2,
            max_size=_THREADS,
            kwargs={"autocommit": True, "options": _FORGETFUL},
        )
        self._locks = redis.Redis.from_url(settings.redis_url)
        self._vendor = ThreadsVendor(settings.vendor_url, settings.vendor_token)

    def run(self, task: Any, content: dict[str, Any]) -> None:
        """Do one webhook's work, alone in its wedding."""
        edit = Edit(**content)
        lock = self._locks.lock(
            f"wedding:{edit.wedding_id}",
            timeout=_LOCK_SECONDS,
            blocking_timeout=_LOCK_PATIENCE,
            sleep=_LOCK_LOOK,
            thread_local=False,
        )
        try:
            with lock:
                self._alone(edit)
        except Exception as error:
            raise task.retry(exc=error, countdown=1) from error

    def _alone(self, edit: Edit) -> None:
        with self._durable.connection() as connection:
            told = connection.execute(COMMIT, edit.parameters(), prepare=True).fetchone()
        self._vendor.tell(edit, told[0] if told else None)
        with self._forgetful.connection() as connection:
            connection.execute(_LEAVE, [edit.webhook_id], prepare=True)


async def _sweep(pool: psycopg_pool.AsyncConnectionPool, publisher: _Publisher) -> None:
    """Hand over again what the broker forgot."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        async with pool.connection() as connection:
            rows = await (await connection.execute(_FORGOTTEN, [_FORGOTTEN_SECONDS])).fetchall()
        await asyncio.to_thread(publisher.publish, [row[0] for row in rows])


def _app(settings: Settings) -> Any:
    app = celery.Celery("peer", broker=settings.redis_url, set_as_current=True)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=_QUEUE,
        worker_prefetch_multiplier=4,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": _FORGOTTEN_SECONDS},
        broker_pool_limit=4,
    )
    return app


def _pool(settings: Settings, *, at_most: int) -> psycopg_pool.AsyncConnectionPool:
    return psycopg_pool.AsyncConnectionPool(
        settings.database_url, min_size=2, max_size=at_most, open=False, kwargs={"autocommit": True}
    )


def _content(edit: Edit) -> dict[str, Any]:
    return {
        "webhook_id": edit.webhook_id,
        "wedding_id": edit.wedding_id,
        "record_id": edit.record_id,
        "version": edit.version,
        "fields": dict(edit.fields),
    }


if __name__ == "__main__":
    if sys.argv[1] == "ingress":
        uvloop.run(ingress(Settings.from_env()))
    else:
        worker(Settings.from_env())
