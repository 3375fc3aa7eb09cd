"""The database's roles and schemas, and each service's Alembic migrations, run by the owner role.

A service's `migrations/env.py` is:

    from wedsync.runtime.migrations import run_env

    run_env()
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command, context
from alembic.config import Config
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from wedsync.errors import Unavailable
from wedsync.runtime.database import libpq_url, sqlalchemy_url
from wedsync.runtime.ddl import prepare_weeks
from wedsync.runtime.roles import OWNER, ROLES, SERVICES, roles_of

_CONNECT_SECONDS = 10
_LOCK_SECONDS = 60
"""How long a run waits for another one; migrations are short because large ones are split."""

# A migration waits this long for a table in use, then fails and may be repeated: behind a waiting
# ALTER TABLE every reader of the table queues up.
_TABLE_LOCK_SECONDS = 10

_EXCLUSIVE = zlib.crc32(b"wedsync roles and migrations")
_MAINTENANCE_DATABASE = "postgres"


DAYS_AHEAD = 30
"""Days whose partitions every run prepares: run it at least that often, or later days share one partition."""


def bootstrap_roles(admin_url: str | SecretStr, passwords: Mapping[str, str]) -> None:
    """Create what is missing of the database, its roles and its schemas. Safe to repeat.

    A role named in `passwords` may log in with that password; the others may not, or keep what they have.
    The login of `admin_url` is a superuser, or has CREATEROLE and may create schemas in the database.
    """
    if unknown := set(passwords) - set(ROLES):
        raise ValueError(f"unknown roles {sorted(unknown)}: use {', '.join(ROLES)}")
    url = libpq_url(admin_url)
    _ensure_database(url)
    with _connect(url) as admin, _alone(admin), admin.transaction():
        for role in ROLES:
            _ensure_role(admin, role)
        for role, password in passwords.items():
            _allow_login(admin, role, password)
        _refuse_privileged(admin)
        _become_member_of_owner(admin)
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        for service in SERVICES:
            _ensure_schema(admin, service)


def upgrade(service: str, script_location: Path, owner_url: str | SecretStr, revision: str = "head") -> None:
    """Bring a service's schema to a revision. Safe to repeat, and by two at once.

    `owner_url` logs in as the owner role, or as a member of it. Raises `Unavailable` if another run
    holds on for too long.
    """
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    engine = create_engine(
        sqlalchemy_url(owner_url), poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS}
    )
    # The lock is held on a connection of its own: a migration may commit in between.
    with _connect(libpq_url(owner_url)) as lock, _alone(lock), engine.connect() as connection:
        connection.execute(text(f"SET ROLE {OWNER}"))
        connection.execute(text(f"SET search_path = {service}"))
        connection.execute(text(f"SET lock_timeout = '{_TABLE_LOCK_SECONDS}s'"))
        connection.commit()
        config.attributes.update(connection=connection, service=service)
        command.upgrade(config, revision)
        prepare_weeks(connection, service, DAYS_AHEAD)
        connection.commit()


def run_env() -> None:
    """Run the migrations asked for; the whole body of a service's `env.py`."""
    attributes = context.config.attributes
    connection: Connection = attributes["connection"]
    context.configure(
        connection=connection,
        version_table="alembic_version",
        version_table_schema=attributes["service"],
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)


@contextmanager
def _alone(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """Let one run at a time into this database."""
    connection.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [_EXCLUSIVE])
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable("Another migration is still running; try again when it has ended.") from error
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_EXCLUSIVE])


def _ensure_database(url: str) -> None:
    try:
        _connect(url).close()
    except psycopg.OperationalError:
        name = psycopg.conninfo.conninfo_to_dict(url).get("dbname") or _MAINTENANCE_DATABASE
        maintenance = psycopg.conninfo.make_conninfo(url, dbname=_MAINTENANCE_DATABASE)
        with _connect(maintenance) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                raise  # it exists, so that was not the trouble
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))


def _ensure_role(admin: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _allow_login(admin: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    # Only the verifier travels: the server's log may keep statements.
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    admin.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))


def _refuse_privileged(admin: psycopg.Connection[tuple[object, ...]]) -> None:
    rows = admin.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND (rolsuper OR rolbypassrls)", [list(ROLES)]
    ).fetchall()
    if rows:
        names = ", ".join(str(row[0]) for row in rows)
        raise ValueError(
            f"row level security would not bind {names}: ALTER ROLE ... NOSUPERUSER NOBYPASSRLS first"
        )


def _become_member_of_owner(admin: psycopg.Connection[tuple[object, ...]]) -> None:
    # A superuser may act as anybody. Another login needs membership to give schemas to the owner.
    row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row and not row[0]:
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))


def _ensure_schema(admin: psycopg.Connection[tuple[object, ...]], service: str) -> None:
    schema, owner = sql.Identifier(service), sql.Identifier(OWNER)
    admin.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(schema, owner))
    admin.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))
    for role in roles_of(service):
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, sql.Identifier(role)))
    admin.execute("SET LOCAL ROLE NONE")
    for role in roles_of(service):
        admin.execute(sql.SQL("ALTER ROLE {} SET search_path = {}").format(sql.Identifier(role), schema))
