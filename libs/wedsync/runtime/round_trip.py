"""Several statements in one exchange with Postgres, as one transaction; for who waits and for who awaits.

psycopg's cursors, and SQLAlchemy above them, spend several system calls and a good deal of Python on each
statement. Here all go out in one write, each prepared once on its connection, and arrays in the form in which
the server keeps them.

A pipeline without BEGIN is one transaction, which its end commits: what its first statement sets for the
transaction holds for the others and is gone afterwards.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import Loader, Transformer

BY_KEY = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c seq_page_cost=0 -c random_page_cost=0"
)
"""Options of a connection for exchanges: they look rows up by their keys.

A plan is kept for as long as its connection. One that was made while a table was empty would read all of it
when it is full; and reading a page costs nothing where all that is in use is in memory.
"""

_PARAMETER = re.compile(r"%\((\w+)\)s(?:::(\w+)\[\])?")

_ARRAY, _DIMENSION = struct.Struct("!iiI"), struct.Struct("!ii")
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)

# The types an array may be of: their object id, which is part of an array, and how the server keeps a value.
_ELEMENTS: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "bool": (16, struct.Struct("?").pack),
    "bytea": (17, bytes),
    "bigint": (20, struct.Struct("!q").pack),
    "smallint": (21, struct.Struct("!h").pack),
    "text": (25, str.encode),
    "uuid": (2950, lambda value: bytes.fromhex(value.replace("-", ""))),
}

AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]
Row = tuple[Any, ...]
Asked = tuple["Statement", Mapping[str, Any]]


class Statement:
    """SQL with parameters `%(name)s`; one that is an array says of what: `%(name)s::uuid[]`.

    Its name is its own among all that are said over one connection; its `text` is psycopg's too.
    """

    def __init__(self, name: str, sql: str) -> None:
        self.name, self.text = f"wedsync_{name}".encode(), sql
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
    """Return an array in Postgres' binary form; None is NULL."""
    if not values:
        return _ARRAY.pack(0, 0, element)
    parts = [_ARRAY.pack(1, None in values, element), _DIMENSION.pack(len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = packed(value)
            parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


class _UuidAsText(Loader):
    """Ids are text everywhere: an object for each would be made only to be written out."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        """Return the text of 16 bytes."""
        digits = bytes(data).hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Talk:
    """What is said over one connection. After any error but a violated constraint it is of no more use."""

    def __init__(self, connection: AnyConnection) -> None:
        connection.adapters.register_loader("uuid", _UuidAsText)
        self._connection = connection
        self._prepared: set[bytes] = set()

    def exchanges(
        self, *transactions: Sequence[Asked], dict_rows: bool = False
    ) -> PQGen[list[list[list[Any]]]]:
        """Execute transactions, each by itself; return the rows of each statement of each. Wait for this.

        They go out together, and one may fail without the others. Rows are tuples, or with `dict_rows` values
        by name. Raises `psycopg.Error`.
        """
        yield from self._prepare(statement for asked in transactions for statement, _ in asked)
        pgconn = self._connection.pgconn
        pgconn.enter_pipeline_mode()
        for asked in transactions:
            for statement, values in asked:
                pgconn.send_query_prepared(
                    statement.name,
                    statement.bound(values),
                    statement.formats,
                    result_format=pq.Format.BINARY,
                )
            pgconn.pipeline_sync()
        answers = []
        for _ in transactions:
            answers.append((yield from _until_sync(pgconn)))  # noqa: PERF401  # no comprehension may yield
        pgconn.exit_pipeline_mode()
        for results in answers:
            _raise_if_failed(results)
        return [[self._rows(result, dict_rows=dict_rows) for result in results] for results in answers]

    def _prepare(self, statements: Iterable[Statement]) -> PQGen[None]:
        new = {s.name: s.sql for s in statements if s.name not in self._prepared}
        if not new:
            return
        pgconn = self._connection.pgconn
        pgconn.enter_pipeline_mode()
        for name, sql in new.items():
            pgconn.send_prepare(name, sql)
        pgconn.pipeline_sync()
        results = yield from _until_sync(pgconn)
        pgconn.exit_pipeline_mode()
        _raise_if_failed(results)
        self._prepared |= new.keys()

    def _rows(self, result: pq.abc.PGresult, *, dict_rows: bool) -> list[Any]:
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        rows = transformer.load_rows(0, result.ntuples, tuple)
        if not dict_rows:
            return rows
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        return [dict(zip(names, row, strict=True)) for row in rows]


class Session:
    """A connection for one who waits."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._talk = Talk(connection)

    def exchange(self, *asked: Asked) -> list[list[Row]]:
        """Execute the statements as one transaction; return the rows of each. Raises `psycopg.Error`."""
        (rows,) = self.exchanges(asked)
        return rows

    def exchanges(self, *transactions: Sequence[Asked]) -> list[list[list[Row]]]:
        """Execute several transactions; they go out together, and one may fail without the others."""
        return self.connection.wait(self._talk.exchanges(*transactions))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


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
