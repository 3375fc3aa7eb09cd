"""One suite for every store of wedding owners: the database, the one in memory, the simulated one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from random import Random
from typing import Any

import orjson
import psycopg
import pytest

from services.sync.actor_store import IDLE_SECONDS, PostgresOwnerStore
from services.sync.facts import Destination
from services.sync.owner import OwnerStore
from services.sync.records import LogEntry, LogPage, WeddingRecord
from services.sync.retention import DAYS
from services.sync.store import SyncStore
from services.sync.store_log import LogStore
from services.sync.store_worker import KeyStore
from services.sync.wedding import Wedding
from tests.contract.sync_store_contract import LONG, Bench, StoreContract, commit_of
from tests.simulation.faults import Faults
from tests.simulation.greenlets import in_thread
from tests.simulation.loop import Process, SimLoop
from tests.simulation.server import Server
from tests.simulation.store import OwnerConnection
from tests.simulation.surroundings import Surroundings
from tests.support.database import MigratedDatabase
from tests.support.processes import eventually
from tests.unit.sync.builders import create, update, vendor
from tests.unit.sync.memory_store import MemoryStore
from wedsync.errors import DeadlineExceeded, Unavailable
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import unseal


class MemoryBench:
    """The store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def another(self) -> OwnerStore:
        """Return the same: any number of owners may share it."""
        return self.store

    def add(self, wedding: Wedding) -> None:
        """Have a wedding."""
        self.store.add(wedding)

    def revoke(self, owner_id: str, *, dead: bool = False) -> None:
        """Revoke."""
        (self.store.bury if dead else self.store.revoke)(owner_id)

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Return the log."""
        return self.store.log(wedding_id)

    def states(self, wedding_id: str) -> list[ItemState]:
        """Return the states."""
        return self.store.states(wedding_id)

    def outbox(self, wedding_id: str) -> list[tuple[int, str]]:
        """Return what waits."""
        return sorted((fact.sequence, fact.destination.value) for fact in self.store.facts(wedding_id))


class SimulatedStore:
    """An owner's connection in the simulation; each call waits until the imagined server has answered."""

    def __init__(self, server: Server, turn: threading.Lock) -> None:
        loop = server.around.loop
        connection = OwnerConnection(server, Process("owner", loop))

        def waiting(name: str) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                with turn:
                    work = in_thread(lambda: getattr(connection, name)(*args, **named))
                    return loop.run_until_complete(work)

            return call

        self.limit = connection.limit
        self.renew, self.end = waiting("renew"), waiting("end")
        self.activate, self.release = waiting("activate"), waiting("release")
        self.find_keys, self.commit = waiting("find_keys"), waiting("commit")


class SimulatedBench:
    """The store of the simulation, in a world where nothing goes wrong."""

    def __init__(self) -> None:
        chance = Random(1)  # noqa: S311  # nobody must not guess it
        self._server = Server(Surroundings(SimLoop(chance.random), chance, Faults({})))
        self._database, self._turn = self._server.database, threading.Lock()
        self.store = SimulatedStore(self._server, self._turn)

    def another(self) -> OwnerStore:
        """Return another connection."""
        return SimulatedStore(self._server, self._turn)

    def add(self, wedding: Wedding) -> None:
        """Have a wedding."""
        self._database.add(wedding.wedding_id, wedding.member_ids)

    def revoke(self, owner_id: str, *, dead: bool = False) -> None:
        """Revoke."""
        tx = self._database.begin()
        for _ in (self._database.bury if dead else self._database.revoke)(tx, owner_id):
            raise AssertionError("nobody has the row")
        tx.commit()

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Return the log."""
        entries = self._database.tables.changes[wedding_id]
        return [LogEntry(change=entry.change, result=entry.result) for entry in entries]

    def states(self, wedding_id: str) -> list[ItemState]:
        """Return the states."""
        return self._database.tables.states[wedding_id]

    def outbox(self, wedding_id: str) -> list[tuple[int, str]]:
        """Return what waits."""
        facts = (row.fact for row in self._database.tables.outbox.values())
        return sorted(
            (fact.sequence, fact.destination.value) for fact in facts if fact.wedding_id == wedding_id
        )

    def close(self) -> None:
        """Close the loop."""
        self._server.around.loop.close()


class PostgresBench:
    """The real one, as the app role under row level security."""

    def __init__(self, database: MigratedDatabase) -> None:
        self._url, self._admin = database.app_url("sync"), database.admin_url
        self.store = PostgresOwnerStore(self._url)
        self._stores = [self.store]

    def another(self) -> OwnerStore:
        """Return one with a connection of its own."""
        self._stores.append(PostgresOwnerStore(self._url))
        return self._stores[-1]

    def add(self, wedding: Wedding) -> None:
        """Create the wedding as the service does."""
        members = tuple((organization, "planner") for organization in wedding.member_ids)
        record = WeddingRecord(
            wedding_id=wedding.wedding_id,
            title="Ada & Grace",
            day=date(2027, 6, 12),
            time_zone="Europe/Paris",
            members=members,
        )
        viewer = members[0][0]
        self._with_database(lambda database: SyncStore(database).create_wedding(record, viewer=viewer))

    def revoke(self, owner_id: str, *, dead: bool = False) -> None:
        """Revoke as the service does."""
        how = SyncStore.end_lease if dead else SyncStore.revoke_lease
        self._with_database(lambda database: how(SyncStore(database), owner_id))

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Read the log as the service does."""
        page: LogPage = self._with_database(
            lambda database: LogStore(database).list_changes(wedding_id, viewer=None, after=0, limit=100)
        )
        return list(page.entries)

    def states(self, wedding_id: str) -> list[ItemState]:
        """Read the column itself."""
        query = "SELECT state FROM sync.changes WHERE wedding_id = %s ORDER BY sequence"
        with psycopg.connect(self._admin) as connection:
            sealed = connection.execute(query, [wedding_id]).fetchall()
        return [load_item(orjson.loads(unseal(state).payload)) for (state,) in sealed]

    def outbox(self, wedding_id: str) -> list[tuple[int, str]]:
        """Read the table itself."""
        query = "SELECT sequence, destination FROM sync.outbox WHERE wedding_id = %s ORDER BY 1, 2"
        with psycopg.connect(self._admin) as connection:
            return connection.execute(query, [wedding_id]).fetchall()

    def waits_for_a_lock(self) -> bool:
        """Say whether a commit waits for another transaction."""
        waiting = (
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with psycopg.connect(self._admin) as connection:
            return connection.execute(waiting).fetchone() is not None

    def close(self) -> None:
        """Close every connection."""
        for store in self._stores:
            store.close()

    def _with_database(self, work: Callable[[Database], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            database = Database(self._url, 1)
            try:
                return await work(database)
            finally:
                await database.dispose()

        return asyncio.run(run())


class TestMemoryStore(StoreContract):
    """The store unit tests use."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A fresh one."""
        return MemoryBench()


class TestSimulatedStore(StoreContract):
    """The store owners have in the simulation."""

    @pytest.fixture
    def bench(self) -> Iterator[SimulatedBench]:
        """A fresh one."""
        bench = SimulatedBench()
        yield bench
        bench.close()


class TestPostgresStore(StoreContract):
    """The store actors use."""

    @pytest.fixture
    def bench(self, migrated_database: MigratedDatabase) -> Iterator[PostgresBench]:
        """One with a connection of its own."""
        bench = PostgresBench(migrated_database)
        yield bench
        bench.close()

    def test_a_lost_connection_is_said_and_mended(self, bench: PostgresBench) -> None:
        """After the server cut the connection one call fails as retryable, and the next one works."""
        owner = new_id()
        bench.store.renew(owner, LONG)
        with psycopg.connect(bench._admin, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'wedsync-actor' AND datname = current_database()"
            )
        with pytest.raises(Unavailable):
            bench.store.renew(owner, LONG)
        assert bench.store.renew(owner, LONG) is True

    def test_who_stops_in_a_takeover_keeps_nobody_off_for_long(self, bench: PostgresBench) -> None:
        """A process frozen between taking a wedding's row and its commit loses the row within seconds."""
        bench.store.renew(new_id(), LONG)
        assert bench.store._session is not None
        found = bench.store._session.connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert found == (f"{IDLE_SECONDS}s",)

    def test_a_deadline_travels_to_the_statement(self, bench: PostgresBench, active: Wedding) -> None:
        """Of two commits that wait for a lock the one nobody waits for is undone; the other waits on."""
        patient = bench.another()
        commit = commit_of(active, [create("One")], bench.store)
        with ThreadPoolExecutor(1) as pool, psycopg.connect(bench._admin) as rival:
            rival.execute("SELECT FROM sync.weddings WHERE wedding_id = %s FOR UPDATE", [active.wedding_id])
            waiting = pool.submit(patient.commit, [commit])
            eventually(bench.waits_for_a_lock, 3, "the patient one waits")
            bench.store.limit(0.05)
            with pytest.raises(DeadlineExceeded):
                bench.store.commit([commit])
            assert not waiting.done()
            rival.rollback()
            assert set(waiting.result()) == {active.wedding_id}

    def test_facts_name_members_and_both_sides(self, bench: PostgresBench, active: Wedding) -> None:
        """What the conflicts service is told holds both values, both sources and who may see it."""
        made = create("One")
        late = update(made.item_id, {"title": "Other"}, source=vendor(), default_base=0)
        commit = commit_of(active, [made, late], bench.store)
        told = next(fact for fact in commit.facts if fact.destination is Destination.CONFLICTS)
        assert told.body["members"] == ["florist", "studio"]
        (field,) = told.body["fields"]
        assert (field["path"], field["current"], field["proposed"]) == ("title", "One", "Other")
        assert field["proposed_by"]["link"] == "link-1"

    async def test_change_ids_are_forgotten_after_their_time(
        self, bench: PostgresBench, active: Wedding, migrated_database: MigratedDatabase
    ) -> None:
        """Ids older than 30 days go, some at a time and of every wedding; younger ones stay."""
        changes = [create() for _ in range(3)]
        bench.store.commit([commit_of(active, changes, bench.store)])
        asked = {active.wedding_id: [change.change_id for change in changes]}
        with psycopg.connect(bench._admin) as admin:
            admin.execute(
                "UPDATE sync.change_keys SET created_at = now() - interval '31 days'"
                " WHERE change_id = ANY(%s)",
                [[change.change_id for change in changes[:2]]],
            )
        worker = Database(migrated_database.worker_url("sync"))
        try:
            keys = KeyStore(worker)
            assert [await keys.forget(days=DAYS, limit=1) for _ in range(3)] == [1, 1, 0]
        finally:
            await worker.dispose()
        assert set(bench.store.find_keys(asked)[active.wedding_id]) == {changes[2].change_id}

    def test_a_scope_ends_with_its_batch(self, bench: PostgresBench, active: Wedding) -> None:
        """After a commit and after a look for keys the connection sees no wedding any more."""
        bench.store.commit([commit_of(active, [create()], bench.store)])
        assert bench.store._session is not None
        connection = bench.store._session.connection
        assert connection.execute("SELECT count(*) FROM sync.weddings").fetchone() == (0,)
