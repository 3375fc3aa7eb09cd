"""The systems of many partners in one process: accounts, collections of records, and who wrote what when.

Edits that people will make there are planned ahead: whoever looks sees those that are due by then.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wedsync.testing.load import marks

Record = dict[str, Any]
Place = tuple[str, str]
"""An account and a collection of it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit by the people at the vendor, at a time to come."""

    at: float
    account: str
    collection: str
    record_id: str
    title: str


@dataclass(slots=True)
class Refused(Exception):
    """The request is not carried out."""

    status: int


class Collection:
    """Records, and the order in which they last changed."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records: dict[str, Record] = {}
        self._log: list[tuple[int, str]] = []
        self._changed: dict[str, int] = {}
        for record in records:
            self.keep(record)

    def get(self, record_id: str) -> Record | None:
        """Return a record, None where there is none."""
        return self._records.get(record_id)

    def keep(self, record: Record) -> None:
        """Take a record as it is now."""
        number = self._log[-1][0] + 1 if self._log else 1
        self._records[record["id"]] = record
        self._log.append((number, record["id"]))
        self._changed[record["id"]] = number

    def after(self, cursor: int, limit: int) -> tuple[list[Record], int, bool]:
        """Return what changed since, the next cursor, and whether there is more."""
        found: list[Record] = []
        start = bisect.bisect_right(self._log, cursor, key=lambda entry: entry[0])
        for number, record_id in self._log[start:]:
            if len(found) == limit:
                return found, cursor, True
            cursor = number
            if self._changed[record_id] == number:
                found.append(self._records[record_id])
        return found, cursor, False

    def records(self) -> Iterator[Record]:
        """Yield every record."""
        return iter(self._records.values())


class Archive(Collection):
    """So many records that they are made when somebody asks for them."""

    def __init__(self, template: Record, count: int) -> None:
        super().__init__()
        self._template, self._count = template, count

    def get(self, record_id: str) -> Record | None:
        """Return a record as it was written, or as it has been from the beginning."""
        prefix, _, number = record_id.rpartition("-")
        made = prefix == "old" and number.isdecimal() and int(number) < self._count
        return super().get(record_id) or (self._made(int(number)) if made else None)

    def after(self, cursor: int, limit: int) -> tuple[list[Record], int, bool]:
        """Return the next page; what was written here since is not told again."""
        end = min(cursor + limit, self._count)
        return [self._made(number) for number in range(cursor, end)], end, end < self._count

    def _made(self, number: int) -> Record:
        fields = {**self._template["fields"], "title": f"Old event {number}"}
        return {**self._template, "id": f"old-{number}", "fields": fields}


@dataclass
class Vendors:
    """All accounts, and what happened in them."""

    now: Callable[[], float]
    collections: dict[Place, Collection] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    arrivals: list[tuple[float, str, str, str, int, int]] = field(default_factory=list)
    """Each write of ours: when, account, collection, record id, and which record and edit it wrote."""
    calls: Counter[str] = field(default_factory=Counter)
    _planned: list[Edit] = field(default_factory=list)
    _done: int = 0

    def open(self, account: str, token: str) -> None:
        """Add an account."""
        self.tokens[account] = token

    def collection(self, account: str, collection: str) -> Collection:
        """Return a collection as it is now. Raises `Refused`."""
        self.advance()
        found = self.collections.get((account, collection))
        if found is None:
            raise Refused(404)
        return found

    def plan(self, edits: Iterable[Edit]) -> None:
        """Take edits to come, those of before having been made."""
        self.advance(float("inf"))
        self._planned, self._done = sorted(edits, key=lambda edit: edit.at), 0

    def advance(self, until: float | None = None) -> None:
        """Make the edits that are due."""
        limit = self.now() if until is None else until
        while self._done < len(self._planned) and self._planned[self._done].at <= limit:
            edit = self._planned[self._done]
            self._done += 1
            kept = self.collections[edit.account, edit.collection]
            if record := kept.get(edit.record_id):
                fields = {**record["fields"], "title": edit.title}
                kept.keep({**record, "version": record["version"] + 1, "fields": fields})

    def write(self, place: Place, record_id: str, sent: Mapping[str, Any], version: str | None) -> Record:
        """Carry out a write of the named fields: `version` is what it is built on, None for a new record.

        Raises `Refused` if the record has moved since.
        """
        kept = self.collection(*place)
        present = kept.get(record_id)
        if (str(present["version"]) if present else None) != version:
            raise Refused(412)
        at = self.now()
        record = {
            "id": record_id,
            "version": present["version"] + 1 if present else 1,
            "kind": sent["kind"],
            "updated_at": _rfc3339(at),
            "fields": {**(present["fields"] if present else {}), **sent["fields"]},
        }
        kept.keep(record)
        of, edit = marks.read(sent["fields"].get("title")) or (-1, -1)
        self.arrivals.append((at, *place, record_id, of, edit))
        return record

    def delete(self, place: Place, record_id: str, version: str) -> None:
        """Carry out a delete of ours. Raises `Refused` if there is no such record, or it has moved."""
        kept = self.collection(*place)
        present = kept.get(record_id)
        if present is None or present.get("deleted"):
            raise Refused(404)
        if str(present["version"]) != version:
            raise Refused(412)
        kept.keep({"id": record_id, "version": present["version"] + 1, "deleted": True})

    def state(self) -> Sequence[tuple[str, str, str, int, str]]:
        """Return account, collection, id, version and title of every record."""
        self.advance()
        return [
            (*place, record["id"], record["version"], record["fields"].get("title", ""))
            for place, collection in self.collections.items()
            for record in collection.records()
            if not record.get("deleted")
        ]


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
