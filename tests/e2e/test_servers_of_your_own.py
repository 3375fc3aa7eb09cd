"""With servers of your own named in the environment, the same system uses those and starts none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.support.stack import clients, running_stack
from wedsync.client.sync import wedding_message
from wedsync.runtime.embedded.postgres import EmbeddedPostgres


@pytest.fixture
def own_postgres() -> Iterator[str]:
    """A PostgreSQL of this test's own: starting the system sets the passwords of cluster-wide roles."""
    with tempfile.TemporaryDirectory(prefix="wedsync-given-") as place:
        server = EmbeddedPostgres(Path(place, "postgres"), Path(place, "secrets"))
        yield server.start()
        server.stop()


@pytest.mark.timeout(240)
async def test_given_servers_are_used_instead_of_embedded_ones(
    tmp_path: Path, own_postgres: str, valkey_url: str, embedded_ray: tuple[str, dict[str, str]]
) -> None:
    """PostgreSQL, Redis and Ray that were started by somebody else carry the whole system."""
    address, ray_environment = embedded_ray
    database = f"{own_postgres.rpartition('/')[0]}/wedsync_given"
    given = {
        "WEDSYNC_DATABASE_URL": database,
        "WEDSYNC_REDIS_URL": valkey_url,
        "WEDSYNC_RAY_ADDRESS": address,
        **ray_environment,
    }
    with running_stack(tmp_path / "home", given) as stack:
        assert not {"postgres", "valkey", "ray"} & set(stack.run["pids"])
        async with clients(stack) as opened:
            wedding = await opened.sync.create_wedding(
                wedding_message("Guests of honour", "2027-06-12", "Europe/Paris")
            )
        with psycopg.connect(database) as connection:
            stored = connection.execute("SELECT count(*) FROM sync.weddings").fetchone()
        connected = redis.Redis.from_url(valkey_url).client_list()
    assert stored == (1,)
    assert wedding.sequence == 0
    assert len(connected) > 1
