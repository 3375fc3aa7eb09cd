"""Weddings in use by the thousand: one is made and linked by the system itself, the others are copied in.

In a copy every id, and every record's name and title, is another one, also inside of what is stored as one
piece. Accounts are connected one by one: their credentials are sealed for one account only.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import orjson
import psycopg
from psycopg import sql

from tests.bench.copies import STUDIO, TABLES, columns
from tests.bench.running import Running
from wedsync.model.ids import new_id
from wedsync.testing.load import marks
from wedsync.testing.load.stage import Account, Shape, Stage, Wedding, connected, record, set_up

_QUIET_SECONDS = 60.0
_BUSY = """
SELECT EXISTS (SELECT FROM sync.outbox)
    OR EXISTS (SELECT FROM gateway.vendor_deliveries WHERE state = 'due')
    OR EXISTS (SELECT FROM gateway.wedding_vendor_integrations WHERE scanned_at IS NULL)
"""
_ORGANIZATION = "SELECT organization_id FROM gateway.vendor_integrations WHERE id = %s"
# Nobody decides for a copy yet, and nobody looks at its vendors: all at once that would be a load of its own.
_INSTEAD = {
    "epoch": "'0'",
    "owner_id": "NULL",
    "next_poll_at": "(clock_timestamp() + interval '1 day')::text",
}
_HEX = "\\x"

Words = Mapping[str, str]
"""What stands in the original, and what stands in its place."""
Row = Sequence[str | None]


async def seeded(running: Running, shape: Shape, *, run: str) -> Stage:
    """Return so many weddings, of which the first was made as customers do."""
    target, sink = running.target, running.sink
    stage = await set_up(target, sink, replace(shape, weddings=1), run=f"{run}-first")
    await _quiet(running)
    original = Original(running, stage.weddings[0])
    content = {account.name: await sink.records(account.name, original.id) for account in stage.accounts}
    for studio, first in enumerate(range(1, shape.weddings, STUDIO)):
        key = target.keys[studio % len(target.keys)]
        accounts = await connected(target, sink, shape.fan_out + 1, f"{run}-{studio}", key)
        numbers = range(first, min(first + STUDIO, shape.weddings))
        weddings = [original.copied(number, accounts) for number in numbers]
        await sink.seed(collections=[entry for w in weddings for entry in original.kept(w, content)])
        stage.accounts += accounts
        stage.weddings += weddings
    await asyncio.to_thread(original.write)
    return stage


class Original:
    """What is stored of one wedding, to be written down again in other words."""

    def __init__(self, running: Running, wedding: Wedding) -> None:
        self.id, self._wedding, self._url = wedding.wedding_id, wedding, running.database_url
        with psycopg.connect(self._url) as admin:
            self._columns = {table: columns(admin, table) for table in TABLES}
            self._rows = {table: list(self._stored(admin, table)) for table in TABLES}
        accounts = {account.integration_id for account in wedding.accounts}
        self._ids = {found for table in TABLES for found in self._ids_in(table)} - accounts
        self._words: dict[str, Words] = {}
        self._names = names(self._url, wedding.numbers, wedding.accounts)
        self._said = re.compile("|".join(map(re.escape, [*self._names, *self._ids])))

    def copied(self, number: int, accounts: Sequence[Account]) -> Wedding:
        """Return a copy; it is there once all are written."""
        wedding, count = self._wedding, len(self._wedding.numbers)
        numbers = range(number * count, (number + 1) * count)
        fresh = {found: new_id() for found in sorted(self._ids)}
        copy = Wedding(
            wedding_id=fresh[self.id],
            key=accounts[0].key,
            accounts=accounts,
            numbers=numbers,
            links=[fresh[link] for link in wedding.links],
        )
        named = zip(self._names, names(self._url, numbers, accounts), strict=True)
        self._words[copy.wedding_id] = {**dict(named), **fresh}
        return copy

    def kept(
        self, copy: Wedding, content: Mapping[str, Sequence[Mapping[str, object]]]
    ) -> Iterator[tuple[str, str, object]]:
        """Yield account, collection and records of every vendor of a copy."""
        for old, new in zip(self._wedding.accounts, copy.accounts, strict=True):
            said = self._in_words(copy.wedding_id, orjson.dumps(content[old.name]).decode())
            yield new.name, copy.wedding_id, orjson.loads(said)

    def write(self) -> None:
        """Write every copy."""
        with psycopg.connect(self._url) as admin:
            for table in TABLES:
                self._write(admin, table)
            admin.commit()
            admin.autocommit = True
            admin.execute("ANALYZE")

    def _write(self, admin: psycopg.Connection, table: str) -> None:
        names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in self._columns[table])
        place = sql.Identifier(*table.split("."))
        copying = sql.SQL("COPY {} ({}) FROM STDIN").format(place, names)
        with admin.cursor() as cursor, cursor.copy(copying) as lines:
            for copy in self._words:
                for row in self._rows[table]:
                    lines.write_row([self._other(copy, value) for value in row])

    def _other(self, copy: str, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(_HEX):
            return self._in_words(copy, value)
        said = bytes.fromhex(value.removeprefix(_HEX)).decode("latin-1")
        return _HEX + self._in_words(copy, said).encode("latin-1").hex()

    def _in_words(self, copy: str, said: str) -> str:
        words = self._words[copy]
        return self._said.sub(lambda found: words[found[0]], said)

    def _stored(self, admin: psycopg.Connection, table: str) -> Iterable[Row]:
        values = sql.SQL(", ").join(
            sql.SQL(_INSTEAD[name]) if name in _INSTEAD else sql.SQL("{}::text").format(sql.Identifier(name))
            for name, _ in self._columns[table]
        )
        place = sql.Identifier(*table.split("."))
        which = sql.SQL("SELECT {} FROM {} WHERE wedding_id = %s").format(values, place)
        return admin.execute(which, (self.id,)).fetchall()

    def _ids_in(self, table: str) -> Iterator[str]:
        places = [place for place, (_, kind) in enumerate(self._columns[table]) if kind == "uuid"]
        return (row[place] or "" for row in self._rows[table] for place in places if row[place])


def names(url: str, numbers: Sequence[int], accounts: Sequence[Account]) -> list[str]:
    """Return what a wedding's records, accounts and organization are called, always in the same order."""
    records = [text for n in numbers for text in (marks.title(n, 0), str(record(n)["id"]))]
    ids = [account.integration_id for account in accounts]
    return [*records, *ids, _organization(url, ids[0])]


@functools.cache
def _organization(url: str, integration_id: str) -> str:
    with psycopg.connect(url) as admin:
        [name] = admin.execute(_ORGANIZATION, (integration_id,)).fetchone() or [""]
    return str(name)


async def _quiet(running: Running) -> None:
    async with asyncio.timeout(_QUIET_SECONDS):
        while running.ask(_BUSY):  # noqa: ASYNC110  # tables set no event
            await asyncio.sleep(0.5)
