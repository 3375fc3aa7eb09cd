"""A database with every role and schema, made once and copied per test module."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from services.launcher.prepare import migrate, role_urls
from wedsync.runtime.embedded.postgres import on_database
from wedsync.runtime.roles import OWNER, app_role, worker_role

_TEMPLATE = "wedsync_template"


@dataclass(frozen=True)
class MigratedDatabase:
    """A database and how each role logs in to it (`postgresql://…`)."""

    admin_url: str
    urls: Mapping[str, str]
    """By role: `wedsync_owner`, `wedsync_gateway`, `wedsync_gateway_worker`, …"""

    def app_url(self, service: str) -> str:
        """Return the URL a service connects with."""
        return self.urls[app_role(service)]

    def worker_url(self, service: str) -> str:
        """Return the URL a service's sweepers connect with."""
        return self.urls[worker_role(service)]

    @property
    def owner_url(self) -> str:
        """Return the URL migrations run with."""
        return self.urls[OWNER]


def migrated_template(admin_url: str) -> MigratedDatabase:
    """Create roles and schemas on the server; the database is the template of the copies."""
    password = secrets.token_urlsafe(16)
    template_url = on_database(admin_url, _TEMPLATE)
    urls = role_urls(template_url, lambda _: password)
    migrate(template_url, urls)
    return MigratedDatabase(template_url, urls)


@contextlib.contextmanager
def copy_of_template(template: MigratedDatabase, admin_url: str) -> Iterator[MigratedDatabase]:
    """Make a copy, and drop it afterwards together with the connections somebody forgot."""
    name = f"test_{secrets.token_hex(6)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
        *map(sql.Identifier, (name, _TEMPLATE, OWNER))
    )
    urls = {role: on_database(url, name) for role, url in template.urls.items()}
    _do(admin_url, create)
    yield MigratedDatabase(on_database(admin_url, name), urls)
    _do(admin_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _do(admin_url: str, statement: sql.Composed) -> None:
    # A connection of its own: a test may have restarted the server meanwhile.
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(statement)
