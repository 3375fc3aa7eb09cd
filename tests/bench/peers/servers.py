"""The servers peers run against: started as in the embedded mode, with nothing else on them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from wedsync.runtime.embedded.postgres import EmbeddedPostgres, on_database
from wedsync.runtime.embedded.valkey import EmbeddedValkey


@dataclass(frozen=True, kw_only=True)
class Servers:
    """A PostgreSQL and a Valkey, and a folder for logs and plans."""

    home: Path
    admin_url: str
    redis_url: str
    postgres: int
    """The postmaster's pid."""
    valkey: int


@contextlib.asynccontextmanager
async def servers(home: Path) -> AsyncIterator[Servers]:
    """Start both; end them."""
    postgres = EmbeddedPostgres(home / "postgres", home / "secrets")
    valkey = EmbeddedValkey(home / "valkey.log")
    try:
        admin_url = await asyncio.to_thread(postgres.start)
        redis_url = await asyncio.to_thread(valkey.start)
        yield Servers(
            home=home,
            admin_url=admin_url,
            redis_url=redis_url,
            postgres=postgres.pid or 0,
            valkey=valkey.pid or 0,
        )
    finally:
        await asyncio.to_thread(valkey.stop)
        await asyncio.to_thread(postgres.stop)


@contextlib.contextmanager
def a_database(admin_url: str) -> Iterator[str]:
    """Make a database; drop it."""
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield on_database(admin_url, name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
