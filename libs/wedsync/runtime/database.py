"""PostgreSQL for async services: a bounded pool, and transactions whose tenant scope ends with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from wedsync.errors import DeadlineExceeded, Overloaded, Unavailable, WedSyncError
from wedsync.runtime.connections import Connections, Say
from wedsync.runtime.round_trip import BY_KEY, Asked, Row, Statement

# Custom settings only, and LOCAL to the transaction: a plain SET would leak into the next user of a
# pooled connection. Both are always set, because after one SET LOCAL an unset scope reads as ''.
_SCOPE = text(
    "SELECT set_config('app.organizations', :organizations, true),"
    " set_config('app.weddings', :weddings, true)"
)

_SCOPE_OF_EXCHANGE = Statement(
    "scope",
    "SELECT set_config('app.organizations', %(organizations)s, true),"
    " set_config('app.weddings', %(weddings)s, true),"
    # A table with many partitions takes milliseconds to plan for: it is done once.
    " set_config('plan_cache_mode', 'force_generic_plan', true)",
)

_CONNECT_SECONDS = 5
_POOL_WAIT_SECONDS = 5.0
_STATEMENT_SECONDS = 30
_IDLE_IN_TRANSACTION_SECONDS = 30
_RECYCLE_SECONDS = 1800  # lets a fail-over behind a load balancer reach every pooled connection
_CHECK_SECONDS = 3.0
_RETRY_SECONDS = 1.0

_STATEMENT_TIMEOUT = "57014"
_UNDONE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""The transaction was undone as a whole, for the sake of another one: it may be done again."""
_TRANSIENT = ("08", "53", "57P", "40001", "40P01", "55P03")
"""Connection trouble, out of resources, operator intervention; serialization, deadlock, lock not had."""

UNKNOWN_OUTCOME = {"outcome": "unknown"}
"""Metadata of the `Unavailable` raised when the connection was lost in COMMIT: it may have happened.

Retry only what carries its idempotency key in the same transaction, and drop what was cached.
"""


class Database:
    """One role's connections to one database: `pool_size` for transactions, and as many for exchanges."""

    def __init__(
        self,
        url: str | SecretStr,
        pool_size: int = 8,
        *,
        statement_seconds: float = _STATEMENT_SECONDS,
        pool_wait_seconds: float = _POOL_WAIT_SECONDS,
        application_name: str = "wedsync",
    ) -> None:
        self._url = libpq_url(url)
        self._connect_args: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": application_name,
            "options": f"-c statement_timeout={int(statement_seconds * 1000)}"
            f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_SECONDS * 1000}",
        }
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,  # what a connection has learnt is nearest at hand in the one used last
            pool_timeout=pool_wait_seconds,
            pool_recycle=_RECYCLE_SECONDS,
            connect_args=self._connect_args,
            hide_parameters=True,  # bound values are personal data: errors must not carry them
        )
        self._connections = Connections(
            self._url,
            pool_size,
            wait_seconds=pool_wait_seconds,
            recycle_seconds=_RECYCLE_SECONDS,
            arguments={**self._connect_args, "options": f"{self._connect_args['options']} {BY_KEY}"},
        )

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, organizations: Iterable[str] = (), weddings: Iterable[str] = ()
    ) -> AsyncIterator[AsyncConnection]:
        """Run one transaction that sees these organizations' and weddings' rows and no others.

        Commits at the end, rolls back on any exception. Raises `Unavailable` when the database is not
        reachable (see `UNKNOWN_OUTCOME`), `Overloaded` when no connection became free in time,
        `DeadlineExceeded` when a statement took too long.
        """
        scope = {"organizations": _scope(organizations), "weddings": _scope(weddings)}
        with _translated():
            async with self.engine.connect() as connection:
                await connection.execute(_SCOPE, scope)
                yield connection
                await _commit(connection)

    async def exchange(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        organizations: Iterable[str] = (),
        weddings: Iterable[str] = (),
    ) -> list[Row]:
        """Run one statement as a transaction of its own in one round trip; return its rows.

        For what may be repeated, and is asked so often that `transaction`, at three times the cost, would be
        felt. Raises the same.
        """
        [rows] = await self._exchanged([(statement, values)], organizations, weddings, dict_rows=False)
        return rows

    async def run(
        self, *asked: Asked, organizations: Iterable[str] = (), weddings: Iterable[str] = ()
    ) -> list[list[dict[str, Any]]]:
        """Run several statements as one transaction in one round trip; return the rows of each, by name.

        Raises the same as `exchange`.
        """
        return await self._exchanged(asked, organizations, weddings, dict_rows=True)

    @contextlib.asynccontextmanager
    async def conversation(
        self, *, organizations: Iterable[str] = (), weddings: Iterable[str] = ()
    ) -> AsyncIterator[Say]:
        """Run one transaction of several exchanges: for who must read before writing. Raises the same."""
        scope = {"organizations": _scope(organizations), "weddings": _scope(weddings)}
        with _translated():
            async with self._connections.conversation((_SCOPE_OF_EXCHANGE, scope)) as say:
                yield say

    async def _exchanged(
        self,
        asked: Iterable[Asked],
        organizations: Iterable[str],
        weddings: Iterable[str],
        *,
        dict_rows: bool,
    ) -> list[list[Any]]:
        scope = {"organizations": _scope(organizations), "weddings": _scope(weddings)}
        together = [(_SCOPE_OF_EXCHANGE, scope), *asked]
        with _translated():
            try:
                _, *rows = await self._connections.exchange(together, dict_rows=dict_rows)
            except _UNDONE:
                # Whoever stood in each other's way is through by now, or meets the same as any error.
                _, *rows = await self._connections.exchange(together, dict_rows=dict_rows)
        return rows

    async def check(self) -> None:
        """Return if the database answers on a new connection; raise `Unavailable` if not."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                connection = await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, **self._connect_args
                )
                async with connection:
                    await connection.execute("SELECT 1")
        except (psycopg.Error, TimeoutError) as error:
            raise Unavailable("PostgreSQL does not answer.", retry_after=_RETRY_SECONDS) from error

    async def dispose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()
        await self.engine.dispose()


def sqlalchemy_url(url: str | SecretStr) -> str:
    """Return the URL as SQLAlchemy wants it for psycopg."""
    return "postgresql+psycopg://" + _after_scheme(url)


def libpq_url(url: str | SecretStr) -> str:
    """Return the URL as libpq and psycopg want it."""
    return "postgresql://" + _after_scheme(url)


def _after_scheme(url: str | SecretStr) -> str:
    plain = url.get_secret_value() if isinstance(url, SecretStr) else url
    scheme, separator, rest = plain.partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("the database URL must read postgresql://role:password@host:port/database")
    return rest


def _scope(ids: Iterable[str]) -> str:
    members = sorted(set(ids))
    if any("," in member or not member for member in members):
        raise ValueError("a scope id is empty or has a comma in it")
    return ",".join(members)


async def _commit(connection: AsyncConnection) -> None:
    try:
        await connection.commit()
    except DBAPIError as error:
        if not _lost(error):
            raise
        raise Unavailable(
            "The connection was lost in COMMIT; it may have happened.",
            metadata=UNKNOWN_OUTCOME,
            retry_after=_RETRY_SECONDS,
        ) from error


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise Overloaded("Every database connection is in use.", retry_after=_RETRY_SECONDS) from error
    except (DBAPIError, psycopg.Error) as error:
        if (ours := _ours(error)) is None:
            raise
        raise ours from error


def _ours(error: DBAPIError | psycopg.Error) -> WedSyncError | None:
    state = _sqlstate(error)
    if state == _STATEMENT_TIMEOUT:
        return DeadlineExceeded("A database statement took too long and was undone.")
    if _lost(error) or state.startswith(_TRANSIENT):
        return Unavailable("PostgreSQL cannot do this right now.", retry_after=_RETRY_SECONDS)
    return None


def _lost(error: DBAPIError | psycopg.Error) -> bool:
    no_state = isinstance(_original(error), psycopg.OperationalError) and not _sqlstate(error)
    return no_state or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _sqlstate(error: DBAPIError | psycopg.Error) -> str:
    return getattr(_original(error), "sqlstate", None) or ""


def _original(error: DBAPIError | psycopg.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
