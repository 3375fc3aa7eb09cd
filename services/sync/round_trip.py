"""Several statements in one exchange with Postgres, as one transaction.

psycopg's cursors spend several system calls and most of an owner's time on each statement. Here all go out in
one write, each prepared once on its connection, and arrays in the form in which the server keeps them.

A pipeline without BEGIN is one transaction, which its end commits: what its first statement sets for the
transaction holds for the others and is gone afterwards.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer

_PARAMETER = re.compile(r"%\((\w+)\)s(?:::(\w+)\[\])?")

_ARRAY, _DIMENSION = struct.Struct("!iiI"), struct.Struct("!ii")
_LENGTH = struct.Struct("!i")

# The types an array may be of: their object id, which is part of an array, and how the server keeps a value.
_ELEMENTS: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "bool": (16, struct.Struct("?").pack),
    "bytea": (17, bytes),
    "bigint": (20, struct.Struct("!q").pack),
    "smallint": (21, struct.Struct("!h").pack),
    "text": (25, str.encode),
    "uuid": (2950, lambda value: bytes.fromhex(value.replace("-", ""))),
}

Row = tuple[Any, ...]
Asked = tuple["Statement", Mapping[str, Any]]


class Statement:
    """SQL with parameters `%(name)s`; one that is an array says of what: `%(name)s::uuid[]`."""

    def __init__(self, name: str, sql: str) -> None:
        self.name = f"wedsync_{name}".encode()
        arrays = dict(_PARAMETER.findall(sql))
        places = {parameter: f"${place}" for place, parameter in enumerate(arrays, 1)}
        self.sql = _PARAMETER.sub(
            lambda found: places[found[1]] + (f"::{found[2]}[]" if found[2] else ""), sql
        ).encode()
        self._parameters = [(parameter, _ELEMENTS[of] if of else None) for parameter, of in arrays.items()]
        self.formats = [pq.Format.BINARY if of else pq.Format.TEXT for of in arrays.values()]

    def bound(self, values: Mapping[str, Any]) -> list[bytes]:
        """Return the parameters as they are sent."""
        return [
            str(values[name]).encode() if of is None else array_of(*of, values[name])
            for name, of in self._parameters
        ]


def array_of(element: int, packed: Callable[[Any], bytes], values: Sequence[Any]) -> bytes:
    """Return an array in Postgres' binary form."""
    if not values:
        return _ARRAY.pack(0, 0, element)
    parts = [_ARRAY.pack(1, 0, element), _DIMENSION.pack(len(values), 1)]
    for value in values:
        data = packed(value)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


class Session:
    """One connection. After any error but a violated constraint it is of no more use."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._prepared: set[bytes] = set()

    def exchange(self, *asked: Asked) -> list[list[Row]]:
        """Execute the statements as one transaction; return the rows of each. Raises `psycopg.Error`."""
        (rows,) = self.exchanges(asked)
        return rows

    def exchanges(self, *transactions: Sequence[Asked]) -> list[list[list[Row]]]:
        """Execute several transactions; they go out together, and one may fail without the others."""
        self._prepare(statement for asked in transactions for statement, _ in asked)
        with self._pipeline() as pgconn:
            for asked in transactions:
                for statement, values in asked:
                    pgconn.send_query_prepared(
                        statement.name,
                        statement.bound(values),
                        statement.formats,
                        result_format=pq.Format.BINARY,
                    )
                pgconn.pipeline_sync()
            answers = [self.connection.wait(_until_sync(pgconn)) for _ in transactions]
        for results in answers:
            _raise_if_failed(results)
        return [[self._rows(result) for result in results] for results in answers]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _prepare(self, statements: Iterable[Statement]) -> None:
        new = {
            statement.name: statement.sql for statement in statements if statement.name not in self._prepared
        }
        if not new:
            return
        with self._pipeline() as pgconn:
            for name, sql in new.items():
                pgconn.send_prepare(name, sql)
            pgconn.pipeline_sync()
            results = self.connection.wait(_until_sync(pgconn))
        _raise_if_failed(results)
        self._prepared |= new.keys()

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[pq.abc.PGconn]:
        pgconn = self.connection.pgconn
        pgconn.enter_pipeline_mode()
        yield pgconn  # after an error the connection is closed: it need not be told to leave the mode
        pgconn.exit_pipeline_mode()

    def _rows(self, result: pq.abc.PGresult) -> list[Row]:
        transformer = Transformer(self.connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)


def _until_sync(pgconn: pq.abc.PGconn) -> PQGen[list[pq.abc.PGresult]]:
    """Send what is buffered and return the results up to the end of the transaction."""
    yield from generators.send(pgconn)
    results: list[pq.abc.PGresult] = []
    while found := (yield from generators.fetch_many(pgconn)):
        if found[0].status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        results += found
    _raise_if_failed(results)
    raise psycopg.OperationalError("the connection was lost")


def _raise_if_failed(results: Sequence[pq.abc.PGresult]) -> None:
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
