"""What really happened, asked of PostgreSQL and of the operating system, not of the system under test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil
import psycopg

_EPOCHS = "SELECT wedding_id::text, epoch FROM sync.weddings WHERE wedding_id = ANY(%s::uuid[])"
_OUTBOX = "SELECT count(*) FROM sync.outbox WHERE wedding_id = ANY(%s::uuid[])"
_LOCK = "SELECT FROM sync.weddings WHERE wedding_id = %s FOR UPDATE"
_WAITING = """
SELECT pid, client_port FROM pg_stat_activity
WHERE application_name = 'wedsync-actor' AND %s = ANY(pg_blocking_pids(pid))
"""


@dataclass(frozen=True)
class Waiting:
    """An owner whose statement is under way: its connection's backend, and its own process."""

    backend: int
    pid: int


class Evidence:
    """Questions to the database, as its superuser."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    def epochs(self, weddings: Sequence[str]) -> dict[str, int]:
        """Return how often each wedding has been taken over."""
        return dict(self.rows(_EPOCHS, list(weddings)))

    def in_outbox(self, weddings: Sequence[str]) -> int:
        """Return how many facts of the weddings are still to be handed over."""
        return int(self.rows(_OUTBOX, list(weddings))[0][0])

    def owner(self, wedding_id: str) -> str:
        """Return the wedding's owner."""
        return str(self.rows("SELECT owner_id FROM sync.weddings WHERE wedding_id = %s", wedding_id)[0][0])

    def may_go_on(self, owner_id: str) -> bool:
        """Say whether an owner may renew its lease."""
        found = self.rows("SELECT revoked FROM sync.owners WHERE owner_id = %s", owner_id)
        return found == [(False,)]

    def server_started(self) -> datetime:
        """Return when the postmaster started."""
        started: datetime = self.rows("SELECT pg_postmaster_start_time()")[0][0]
        return started

    def backends(self) -> set[int]:
        """Return the processes of all connections."""
        return {pid for (pid,) in self.rows("SELECT pid FROM pg_stat_activity")}

    def cut(self, backend: int) -> None:
        """End a connection from the server's side."""
        self.rows("SELECT pg_terminate_backend(%s)", backend)

    @contextlib.contextmanager
    def held_up(self, wedding_id: str) -> Iterator[_Lock]:
        """Hold the wedding's row, so that whoever commits to it waits in the middle of its statement."""
        with psycopg.connect(self._admin_url) as connection:
            connection.execute(_LOCK, (wedding_id,))
            yield _Lock(self, connection)
            connection.rollback()

    def waiting_for(self, backend: int) -> Waiting | None:
        """Return the owner that waits for a lock of this backend."""
        for waiting, port in self.rows(_WAITING, backend):
            if pid := _process_at(port):
                return Waiting(waiting, pid)
        return None

    def run(self, statement: str) -> None:
        """Do something as the superuser."""
        with psycopg.connect(self._admin_url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def rows(self, query: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with psycopg.connect(self._admin_url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(query, named or values or None).fetchall()


class _Lock:
    """A row that is being held."""

    def __init__(self, evidence: Evidence, connection: psycopg.Connection[Any]) -> None:
        self._evidence, self._connection = evidence, connection

    def waiting(self) -> Waiting | None:
        """Return the owner that waits for the row, None while nobody does."""
        return self._evidence.waiting_for(self._connection.info.backend_pid)


def is_gone(pid: int) -> bool:
    """Say whether the process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_frozen(pid: int) -> bool:
    """Say whether the process is stopped and may go on later."""
    return not is_gone(pid) and psutil.Process(pid).status() == psutil.STATUS_STOPPED


def marked(name: str, value: str) -> list[psutil.Process]:
    """Return the processes whose environment has this value."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _process_at(port: int) -> int | None:
    """Return which process of this machine has a connection that begins at the port."""
    connections = psutil.net_connections("tcp")
    return next((c.pid for c in connections if c.pid and c.laddr and c.laddr.port == port), None)
