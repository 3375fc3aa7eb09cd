"""Servers every test may ask for, started at most once per test process and only when asked for.

`postgres_admin_url`, `valkey_url` and `embedded_ray` are shared by the session; `migrated_database` is a
fresh database per module, copied from a template that was migrated once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.database import MigratedDatabase, copy_of_template, migrated_template
from tests.support.processes import descendants, eventually
from wedsync.runtime.embedded.postgres import EmbeddedPostgres
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.runtime.embedded.valkey import EmbeddedValkey

# How fast a machine makes up inputs says nothing about the code.
settings.register_profile("wedsync", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("wedsync")

# A test database that a power cut destroys costs nothing.
_HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory for the session's servers, removed at the end whatever pytest keeps."""
    with tempfile.TemporaryDirectory(prefix="wedsync-test-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres_admin_url(scratch: Path) -> Iterator[str]:
    """The superuser's URL of a PostgreSQL of this test process."""
    server = EmbeddedPostgres(scratch / "postgres", scratch / "secrets", options=_HASTY)
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def valkey_url(scratch: Path) -> Iterator[str]:
    """The URL of a Valkey of this test process."""
    server = EmbeddedValkey(scratch / "valkey.log")
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def embedded_ray(scratch: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a local Ray, and what a driver needs in its environment to be let in."""
    server = EmbeddedRay(scratch / "ray", scratch / "secrets", scratch / "ray.log")
    yield server.start(), server.environment
    server.stop()


@pytest.fixture(scope="session")
def database_template(postgres_admin_url: str) -> MigratedDatabase:
    """A database with all roles and every service's newest schema; copied, never used."""
    return migrated_template(postgres_admin_url)


@pytest.fixture(scope="module")
def migrated_database(
    database_template: MigratedDatabase, postgres_admin_url: str
) -> Iterator[MigratedDatabase]:
    """A fresh database of this module with roles and schemas."""
    with copy_of_template(database_template, postgres_admin_url) as database:
        yield database


@pytest.fixture(scope="session", autouse=True)
def process_leaks() -> Iterator[None]:
    """Fail the session if a process its tests started outlives them."""
    # Set up before any server, so checked after all of them have ended.
    before = descendants()
    yield
    eventually(lambda: not descendants() - before, 10, "every process the tests started has ended")
