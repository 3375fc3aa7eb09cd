"""The same code and SQL on PostgreSQL as Debian installs it; collected only where it is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.gateway.store.activities import Answer
from tests.support.database import MigratedDatabase, migrated_template
from tests.support.external_servers import POSTGRES_BINS, external_postgres
from tests.support.gateway_store import Stores, a_commit, an_edit, an_item, new_tenant, opened_stores
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.runtime.roles import SERVICES


@pytest.fixture(scope="module", params=POSTGRES_BINS, ids=lambda folder: f"postgresql-{folder.parent.name}")
def external_database(request: pytest.FixtureRequest) -> Iterator[MigratedDatabase]:
    """A database on an installed server with all roles and every service's newest schema."""
    bin_dir: Path = request.param
    with external_postgres(bin_dir) as url:
        yield migrated_template(url)


@pytest.fixture
async def external_stores(external_database: MigratedDatabase) -> AsyncIterator[Stores]:
    """The gateway's stores on it."""
    async with opened_stores(external_database) as opened:
        yield opened


def test_every_service_migrates(external_stores: Stores) -> None:
    """Roles and schemas of all services come into being on the installed version, 15 or newer."""
    [version] = external_stores.sql("SELECT current_setting('server_version_num')::int AS number")
    assert version["number"] >= 150_000
    found = external_stores.sql(
        "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'alembic_version'"
    )
    assert {row["schemaname"] for row in found} == set(SERVICES)


async def test_an_edit_goes_in_and_out(external_stores: Stores) -> None:
    """Accept, claim, translate, resolve, project, claim again and deliver work as on the embedded server."""
    stores, tenant = external_stores, await new_tenant(external_stores)
    arrival = tenant.arrival(delivery_key="d")
    assert [each.known_as for each in await stores.inbound.accept([arrival])] == [arrival.webhook_id]
    [webhook] = await stores.inbound.claim(5)
    change = await an_edit(stores, tenant, webhook_id=webhook.webhook_id, title="Vows")
    await stores.inbound.finish(webhook, state="processed")
    [activity] = await stores.activities.claim(5)
    result = ChangeResult(change_id=change.change_id, outcome=Outcome.APPLIED, sequence=1)
    await stores.activities.resolve(Answer(activity, result, corrected=False))
    commit = a_commit(tenant.link.wedding_id, an_item(tenant.item_id, title="Vows"), 1)
    assert len(await stores.deliveries.accept([commit, commit])) == 1
    [claimed] = await stores.deliveries.claim(5)
    held = await stores.leases.take(claimed.key, claimed.kind)
    assert held is not None
    assert (held.shadow.generation, held.sequence, held.pending) == (1, 1, False)
    await stores.deliveries.close(held, state="nothing_to_do")
    assert await stores.deliveries.claim(5) == []
    [due] = await stores.polls.claim(5)
    assert due.link == tenant.link
