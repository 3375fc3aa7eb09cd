"""One collection's records: written, read, deleted and listed as the API does, whoever may call.

Listing goes along a journal of moves. A record's older moves stay in it and are passed over, so that a
write costs the same however many there were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wedsync.clock import Clock
from wedsync.testing.partner_api.refusal import Refused

Json = dict[str, Any]
ANY = "*"

KINDS = frozenset({"timeline_event", "contact", "booking", "payment", "task"})
_MAX_ID = 255


@dataclass
class Collection:
    """A collection; of what was deleted a tombstone stays, whose version goes on if its id is used again."""

    collection_id: str
    clock: Clock
    name: str = "Wedding"
    records: dict[str, Json] = field(default_factory=dict)
    on_change: Callable[[str, str, Json], None] = lambda *_: None
    """Told of each write: its event, the collection and the record."""
    epoch: int = 1
    """Cursors of an earlier one have expired."""
    _journal: list[str] = field(default_factory=list)
    _moved: dict[str, int] = field(default_factory=dict)

    def get(self, record_id: str) -> Json:
        """Return a record. Raises `Refused`: 410 for what was deleted, 404 for what never was."""
        record = self.records.get(record_id)
        if record is None:
            raise Refused(404, "There is no such record.")
        if record.get("deleted"):
            raise Refused(410, "The record was deleted.")
        return record

    def put(
        self, record_id: str, body: Any, *, match: str | None, none_match: str | None
    ) -> tuple[int, Json]:
        """Make a record, or write the fields that are named into one; return 201 or 200, and the record."""
        kind, fields = _checked(record_id, body)
        if none_match == ANY:
            known = self.records.get(record_id)
            if known is not None and not known.get("deleted"):
                raise Refused(412, "There is such a record already.")
            return 201, self._keep("record.created", record_id, kind, _filled({}, fields))
        known = self.get(record_id)
        self._require(known, match)
        if kind != known["kind"]:
            raise Refused(422, "A record's kind never changes.")
        return 200, self._keep("record.updated", record_id, kind, _filled(known["fields"], fields))

    def delete(self, record_id: str, match: str | None) -> None:
        """Delete a record."""
        known = self.get(record_id)
        self._require(known, match)
        gone = {**known, "version": known["version"] + 1, "updated_at": self._stamp()}
        self._enter("record.deleted", {**gone, "deleted": True})

    def page(self, after: str | None, limit: int) -> Json:
        """Return what moved after a cursor, deletes included; everything without one."""
        at, found = self._place(after), list[Json]()
        while at < len(self._journal) and len(found) < limit:
            record_id = self._journal[at]
            at += 1
            if self._moved[record_id] == at:
                found.append(_listed(self.records[record_id]))
        more = at < len(self._journal)
        return {"records": found, "cursor": f"{self.epoch}.{at}", "more": more}

    def forget_cursors(self) -> None:
        """Let every cursor given so far be too old."""
        self.epoch += 1

    def _require(self, known: Json, match: str | None) -> None:
        if match is None:
            raise Refused(428, "Say by If-Match which version is meant.")
        if match != f'"{known["version"]}"':
            raise Refused(412, "The record has another version.")

    def _keep(self, event: str, record_id: str, kind: str, fields: Json) -> Json:
        before = self.records.get(record_id)
        record = {
            "id": record_id,
            "version": before["version"] + 1 if before else 1,
            "kind": kind,
            "updated_at": self._stamp(),
            "fields": fields,
        }
        self._enter(event, record)
        return record

    def _enter(self, event: str, record: Json) -> None:
        record_id = record["id"]
        self.records[record_id] = record
        self._journal.append(record_id)
        self._moved[record_id] = len(self._journal)
        self.on_change(event, self.collection_id, record)

    def _place(self, after: str | None) -> int:
        if after is None:
            return 0
        epoch, _, at = after.partition(".")
        if not (epoch.isdecimal() and at.isdecimal()):
            raise Refused(400, "The cursor makes no sense.")
        if int(epoch) != self.epoch:
            raise Refused(410, "The cursor is too old: list from the start.")
        return int(at)

    def _stamp(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _listed(record: Json) -> Json:
    if record.get("deleted"):
        return {"id": record["id"], "version": record["version"], "deleted": True}
    return record


def _checked(record_id: str, body: Any) -> tuple[str, Json]:
    if not 0 < len(record_id) <= _MAX_ID:
        raise Refused(422, f"An id has 1 to {_MAX_ID} characters.")
    kind, fields = (body.get("kind"), body.get("fields")) if isinstance(body, dict) else (None, None)
    if kind not in KINDS or not isinstance(fields, dict):
        raise Refused(422, "A record has a kind and fields.")
    return kind, fields


def _filled(before: Mapping[str, Any], fields: Mapping[str, Any]) -> Json:
    """Return the fields as they are after a write: null empties one, and what is left out stays."""
    return {name: value for name, value in {**before, **fields}.items() if value is not None}
