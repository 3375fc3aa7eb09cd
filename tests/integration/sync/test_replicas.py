"""Two servers over one database and one Ray."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.sync.conftest import Service, Site, new_wedding
from tests.unit.sync.builders import create
from wedsync.client.sync import CALLER
from wedsync.model.changes import Outcome

_EDITS = 40


@pytest.fixture(scope="module")
def other(site: Site) -> Iterator[Service]:
    """A second server beside the first."""
    with site.running("other") as running:
        yield running


def epoch(service: Service, wedding_id: str) -> int:
    """Return how often the wedding was taken over."""
    with psycopg.connect(service.database.admin_url) as admin:
        row = admin.execute("SELECT epoch FROM sync.weddings WHERE wedding_id = %s", [wedding_id]).fetchone()
    assert row is not None
    return int(row[0])


async def test_two_servers_agree_on_one_owner(service: Service, other: Service) -> None:
    """Edits of one wedding through both servers at once all meet its one owner: neither takes it away."""
    async with service.client() as one, other.client() as two:
        wedding_id = (await new_wedding(one)).wedding_id
        await one.apply_changes(wedding_id, [create(source=CALLER)])
        edits = [server.apply_changes(wedding_id, [create(source=CALLER)]) for server in (one, two) * _EDITS]
        results = [result for (result,) in await asyncio.gather(*edits)]
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert sorted(result.sequence for result in results) == list(range(2, 2 * _EDITS + 2))
        seen = [(await server.get_wedding(wedding_id)).sequence for server in (one, two)]
    assert seen == [2 * _EDITS + 1] * 2
    # Servers that do not agree take it from each other all the time; a starved owner may be loaded anew once.
    assert epoch(service, wedding_id) <= 2


async def test_a_server_that_is_killed_leaves_its_weddings_to_the_other(service: Service, site: Site) -> None:
    """Once the lease of the dead server's owner is over, the other goes on where it stopped."""
    with site.running("mortal") as mortal:
        async with mortal.client() as sync:
            wedding_id = (await new_wedding(sync)).wedding_id
            await sync.apply_changes(wedding_id, [create(source=CALLER)])
        assert mortal.child.pid is not None
        os.kill(mortal.child.pid, signal.SIGKILL)
        async with service.client() as sync:
            (result,) = await sync.apply_changes(wedding_id, [create(source=CALLER)], timeout=15)
    assert (result.outcome, result.sequence) == (Outcome.APPLIED, 2)
    assert epoch(service, wedding_id) == 2
