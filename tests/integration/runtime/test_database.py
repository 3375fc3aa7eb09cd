"""The database pool against a real PostgreSQL, its failures included."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.integration.runtime.conftest import Roles
from wedsync.errors import DeadlineExceeded, Overloaded, Unavailable
from wedsync.runtime.connections import Connections
from wedsync.runtime.database import UNKNOWN_OUTCOME, Database, libpq_url
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.round_trip import Statement

_SCOPES = text("SELECT current_setting('app.organizations', true), current_setting('app.weddings', true)")


async def test_the_scope_ends_with_its_transaction(roles: Roles) -> None:
    """On the one pooled connection the next transaction starts with an empty scope."""
    database = Database(roles.url("wedsync_sync"), 1)
    async with database.transaction(organizations=["b", "a", "a"], weddings=["w"]) as connection:
        assert (await connection.execute(_SCOPES)).one() == ("a,b", "w")
    async with database.engine.connect() as connection:
        assert (await connection.execute(_SCOPES)).one() == ("", "")
    await database.dispose()


async def test_an_exchange_has_a_scope_of_its_own(roles: Roles) -> None:
    """A statement in one round trip sees its scope, again and again, and leaves none behind."""
    database = Database(roles.url("wedsync_sync"), 1)
    scopes = Statement("scopes", f"{_SCOPES.text}, %(asked)s::text")
    for asked in ("1", "2"):
        found = await database.exchange(scopes, {"asked": asked}, organizations=["b", "a"], weddings=["w"])
        assert found == [("a,b", "w", asked)]
    async with database.transaction() as connection:
        assert (await connection.execute(_SCOPES)).one() == ("", "")
    await database.dispose()


async def test_an_exchange_that_fails_costs_nobody_else(roles: Roles) -> None:
    """Too slow, cut off or wrong, it says so as a transaction does, and the next one works."""
    database = Database(roles.url("wedsync_sync"), 1, statement_seconds=0.1)
    slow, one = Statement("slow", "SELECT 1 FROM pg_sleep(20)"), Statement("one", "SELECT 1")
    with pytest.raises(DeadlineExceeded):
        await database.exchange(slow, {})
    assert await database.exchange(one, {}) == [(1,)]
    [(pid,)] = await database.exchange(Statement("pid", "SELECT pg_backend_pid()"), {})
    with psycopg.connect(roles.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(Unavailable):
        await database.exchange(one, {})
    assert await database.exchange(one, {}) == [(1,)]
    with pytest.raises(psycopg.errors.UndefinedTable):
        await database.exchange(Statement("none", "SELECT FROM nowhere"), {})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(database.exchange(slow, {}), 0.02)
    assert await database.exchange(one, {}) == [(1,)]
    await database.dispose()


async def test_two_exchanges_in_each_others_way_both_happen(roles: Roles) -> None:
    """Of two that wait for each other the server undoes one, and that is done again."""
    database = Database(roles.admin_url, 2)
    lock = Statement("lock", "SELECT pg_advisory_xact_lock(%(key)s::bigint)")
    meet = Statement("meet", "SELECT pg_sleep(0.3)")
    both = [
        database.run((lock, {"key": first}), (meet, {}), (lock, {"key": second}))
        for first, second in ((1, 2), (2, 1))
    ]
    assert [len(answers) for answers in await asyncio.gather(*both)] == [3, 3]
    await database.dispose()


async def test_an_exchange_is_planned_for_look_ups_by_key(roles: Roles) -> None:
    """Also while the table is so small that reading all of it would be cheaper: the plan is kept."""
    database = Database(roles.admin_url, 1)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE public.kept (id int PRIMARY KEY, what text)"))
        await connection.execute(text("INSERT INTO public.kept VALUES (1, 'a')"))
        await connection.execute(text("ANALYZE public.kept"))
    lookup = "SELECT what FROM unnest(ARRAY[1, 2]) AS asked (id) JOIN public.kept USING (id)"
    plan = await database.exchange(Statement("plan", f"EXPLAIN {lookup}"), {})
    assert "Index Scan using kept_pkey" in "".join(line for (line,) in plan)
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE public.kept"))
    await database.dispose()


async def test_several_statements_are_one_transaction_with_rows_by_name(roles: Roles) -> None:
    """They are prepared once and said again; where one fails, none of them happened."""
    database = Database(roles.admin_url, 1)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE public.said (what text PRIMARY KEY)"))
    one, keep = (
        Statement("one", "SELECT 1 AS one"),
        Statement("keep", "INSERT INTO public.said VALUES (%(what)s)"),
    )
    count = Statement("count", "SELECT count(*) AS kept FROM public.said")
    for number in (1, 2):
        answers = await database.run((one, {}), (keep, {"what": f"{number}"}), (count, {}))
        assert answers == [[{"one": 1}], [], [{"kept": number}]]
    with pytest.raises(psycopg.errors.UniqueViolation):
        await database.run((keep, {"what": "3"}), (keep, {"what": "1"}))
    assert await database.run((count, {})) == [[{"kept": 2}]]
    await database.dispose()


async def test_exchanges_are_bounded_and_an_old_connection_is_replaced(roles: Roles) -> None:
    """Whoever finds every connection in use is told so in time; one that is old is opened anew."""
    connections = Connections(
        libpq_url(roles.url("wedsync_sync")), 1, wait_seconds=0.2, recycle_seconds=0.0, arguments={}
    )
    pid, slow = Statement("pid", "SELECT pg_backend_pid()"), Statement("slow", "SELECT 1 FROM pg_sleep(20)")
    holding = asyncio.create_task(connections.exchange([(slow, {})], dict_rows=False))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await connections.exchange([(pid, {})], dict_rows=False)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    first = await connections.exchange([(pid, {})], dict_rows=False)
    assert await connections.exchange([(pid, {})], dict_rows=False) != first
    await connections.aclose()


async def test_an_exception_undoes_and_the_end_commits(roles: Roles) -> None:
    """What ran before an exception is gone; what ended normally is kept."""
    database = Database(roles.admin_url, 1)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE public.kept (id int PRIMARY KEY)"))
    with pytest.raises(RuntimeError, match="stop"):  # noqa: PT012  # the transaction is what raises
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO public.kept VALUES (1)"))
            raise RuntimeError("stop")
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM public.kept"))).scalar() == 0
        await connection.execute(text("DROP TABLE public.kept"))
    await database.dispose()


async def test_a_violated_constraint_reaches_the_caller_without_the_values(roles: Roles) -> None:
    """Errors that callers tell apart pass through, but bound values are not quoted in them."""
    database = Database(roles.admin_url, 1)
    with pytest.raises(IntegrityError) as raised:  # noqa: PT012  # the transaction is what raises
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TEMP TABLE t (id text CHECK (id = 'x')) ON COMMIT DROP"))
            await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": "very-personal"})
    assert "[parameters" not in str(raised.value) or "very-personal" not in str(raised.value).split("[SQL")[1]
    await database.dispose()


async def test_a_full_pool_is_said_out_loud(roles: Roles) -> None:
    """When no connection becomes free in time, the caller is told to wait and retry."""
    database = Database(roles.url("wedsync_sync"), 1, pool_wait_seconds=0.1)
    async with database.transaction():
        with pytest.raises(Overloaded) as raised:
            async with database.transaction():
                pass
    assert raised.value.retry_after is not None
    await database.dispose()


async def test_a_statement_has_a_limit(roles: Roles) -> None:
    """A statement that takes too long is cancelled by the server."""
    database = Database(roles.url("wedsync_sync"), 1, statement_seconds=0.1)
    with pytest.raises(DeadlineExceeded):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))
    await database.dispose()


async def test_an_unreachable_database_is_unavailable() -> None:
    """With nobody listening, transactions and the check say unavailable, and the address stays inside."""
    database = Database(f"postgresql://app:hush@127.0.0.1:{free_port()}/wedsync", 1)
    with pytest.raises(Unavailable) as raised:
        async with database.transaction():
            pass
    assert "hush" not in str(raised.value)
    with pytest.raises(Unavailable):
        await database.check()
    await database.dispose()


async def test_a_database_that_answers_passes_the_check(roles: Roles) -> None:
    """The check passes even while every pooled connection is in use."""
    database = Database(roles.url("wedsync_sync"), 1)
    async with database.transaction():
        await database.check()
    await database.dispose()


async def test_a_killed_connection_costs_one_transaction(roles: Roles) -> None:
    """When the server ends a connection, that transaction is unavailable and the next one works."""
    database = Database(roles.url("wedsync_sync"), 1)
    with pytest.raises(Unavailable) as raised:  # noqa: PT012  # the transaction is what raises
        async with database.transaction() as connection:
            await _kill_backend_of(connection, roles)
            await connection.execute(text("SELECT 1"))
    assert raised.value.metadata == {}
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.dispose()


async def test_a_connection_lost_in_commit_is_an_unknown_outcome(roles: Roles) -> None:
    """When the connection is gone at COMMIT, the error says that it may have happened."""
    database = Database(roles.url("wedsync_sync"), 1)
    with pytest.raises(Unavailable) as raised:
        async with database.transaction() as connection:
            await _kill_backend_of(connection, roles)
    assert raised.value.metadata == UNKNOWN_OUTCOME
    await database.dispose()


async def test_a_commit_that_the_server_refuses_is_a_known_outcome(roles: Roles) -> None:
    """A deferred constraint that fails at COMMIT reaches the caller as what it is."""
    database = Database(roles.admin_url, 1)
    with pytest.raises(IntegrityError):  # noqa: PT012  # the transaction is what raises
        async with database.transaction() as connection:
            await connection.execute(
                text("CREATE TEMP TABLE d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            )
            await connection.execute(text("INSERT INTO d VALUES (1), (1)"))
    await database.dispose()


async def test_a_deadlock_is_retryable(roles: Roles) -> None:
    """Of two transactions that wait for each other one is told to retry."""
    database = Database(roles.admin_url, 2)
    both_hold_one = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> str:
        try:
            async with database.transaction() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": first})
                await both_hold_one.wait()
                await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": second})
        except Unavailable as error:
            return error.reason
        return "committed"

    results = await asyncio.gather(lock(1, 2), lock(2, 1))
    assert sorted(results) == ["UNAVAILABLE", "committed"]
    await database.dispose()


async def test_a_mistake_in_the_sql_is_nobodys_outage(roles: Roles) -> None:
    """A syntax error is passed on as it is, not dressed up as unavailable."""
    database = Database(roles.url("wedsync_sync"), 1)
    with pytest.raises(DBAPIError):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT FROM FROM"))
    await database.dispose()


async def _kill_backend_of(connection: AsyncConnection, roles: Roles) -> None:
    pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
    with psycopg.connect(roles.admin_url, autocommit=True) as admin:
        # Waits up to five seconds for the backend to be gone.
        assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)
