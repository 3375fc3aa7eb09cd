"""Statements of an owner, as PostgreSQL takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.support.database import MigratedDatabase
from wedsync.model.ids import new_id
from wedsync.runtime.round_trip import Session, Statement

KEEP = Statement("keep", "INSERT INTO kept SELECT * FROM unnest(%(n)s::bigint[], %(data)s::bytea[])")
COUNT = Statement("count", "SELECT count(*), coalesce(sum(length(data)), 0)::bigint FROM kept")


@pytest.fixture
def session(migrated_database: MigratedDatabase) -> Iterator[Session]:
    """One with a table of its own."""
    connection = psycopg.connect(migrated_database.admin_url, autocommit=True)
    connection.execute("CREATE TEMPORARY TABLE kept (n bigint PRIMARY KEY, data bytea)")
    with closing(Session(connection)) as session:
        yield session


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", [new_id(), new_id()]),
        ("bigint", [0, -1, 2**62]),
        ("smallint", [3, -3]),
        ("bool", [True, False]),
        ("text", ['{"a", \\b}', "", "né", "NULL"]),
        ("bytea", [b"\x00\xff", b""]),
        ("text", []),
        ("text", [None, "NULL"]),
    ],
)
def test_arrays_arrive_as_they_were(session: Session, kind: str, values: list[Any]) -> None:
    """Whatever its type, and with nothing in it, an array comes back as it was sent."""
    echo = Statement(f"echo_{kind}", f"SELECT * FROM unnest(%(values)s::{kind}[])")
    for _ in range(2):
        (rows,) = session.exchange((echo, {"values": values}))
        assert [str(value) if kind == "uuid" else value for (value,) in rows] == values


def test_more_than_the_socket_takes_at_once_arrives(session: Session) -> None:
    """A batch of several megabytes is one exchange like any other."""
    data = [bytes(100_000)] * 200
    _, rows = session.exchange((KEEP, {"n": list(range(200)), "data": data}), (COUNT, {}))
    assert rows == [(200, 20_000_000)]


def test_an_exchange_happens_as_a_whole_or_not_at_all(session: Session) -> None:
    """Where its last statement violates a constraint nothing of it stays, and the session goes on."""
    first, again = {"n": [1, 2], "data": [b"", b""]}, {"n": [3, 3], "data": [b"", b""]}
    with pytest.raises(errors.UniqueViolation):
        session.exchange((KEEP, first), (KEEP, again), (COUNT, {}))
    assert session.exchange((COUNT, {})) == [[(0, 0)]]


def test_a_connection_that_is_cut_is_noticed(session: Session, migrated_database: MigratedDatabase) -> None:
    """Whoever asks over a connection the server has ended gets an error and no empty answer."""
    pid = session.connection.info.backend_pid
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        session.exchange((COUNT, {}))
