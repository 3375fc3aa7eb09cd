"""A PostgreSQL of these tests' own: they change roles, which belong to the whole server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wedsync.runtime.embedded.postgres import EmbeddedPostgres
from wedsync.runtime.migrations import bootstrap_roles
from wedsync.runtime.roles import ROLES


@dataclass(frozen=True)
class Roles:
    """A bootstrapped database, and how each role logs in to it."""

    admin_url: str
    passwords: Mapping[str, str]

    def url(self, role: str) -> str:
        """Return the URL of the database for a role."""
        return login(self.admin_url, role, self.passwords[role])


def login(url: str, role: str, password: str) -> str:
    """Return the same database's URL for another login."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def database(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return once the condition holds; fail, saying what was waited for, when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """A server nobody else uses, started."""
    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedPostgres(scratch / "runtime-postgres", scratch / "runtime-secrets", options=options)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def own_admin_url(postgres: EmbeddedPostgres) -> str:
    """The superuser's URL of that server; its database is not there yet."""
    return database(postgres.start(), "wedsync")


@pytest.fixture(scope="session")
def roles(own_admin_url: str) -> Roles:
    """Every role with a password, and every schema."""
    passwords = {role: secrets.token_urlsafe(12) for role in ROLES}
    bootstrap_roles(own_admin_url, passwords)
    return Roles(own_admin_url, passwords)
