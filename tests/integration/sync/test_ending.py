"""The end of the service."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing

import psycopg
import pytest

from tests.integration.sync.conftest import Service, actor_processes, new_wedding, soon
from tests.unit.sync.builders import create
from wedsync.errors import Unavailable


async def test_sigterm_ends_it_in_order(service: Service) -> None:
    """SIGTERM tells watchers to come back, gives up every lease, ends the actors, and exits with 0."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        await sync.apply_changes(wedding.wedding_id, [create()])
        async with aclosing(sync.watch_wedding(wedding.wedding_id, resume=False)) as watch:
            await anext(watch)
            assert service.child.pid is not None
            os.kill(service.child.pid, signal.SIGTERM)
            with pytest.raises(Unavailable):
                await anext(watch)
    await soon(lambda: service.child.exited(within=0.01), 15, "the process has ended")
    assert service.child.exit_status == 0
    await soon(lambda: not actor_processes(), 10, "the actors have ended")
    with psycopg.connect(service.database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM sync.owners").fetchone() == (0,)
