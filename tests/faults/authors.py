"""What people and vendors propose, from what they have seen of a wedding: made up, from one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.client import CALLER
from wedsync.model.changes import Change, ChangeKind, Source
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE, FieldValue, ItemKind

_FEWEST_ITEMS = 3
_PATHS = ("title", "location", "notes", "status")
STATUS = ("tentative", "confirmed", "cancelled")
_WHEN = {
    "starts_at": "2027-06-12T15:00:00[Europe/Paris]",
    "ends_at": "2027-06-12T15:45:00[Europe/Paris]",
}
_WEIGHTS = {
    ChangeKind.UPDATE: 70,
    ChangeKind.CREATE: 12,
    ChangeKind.DELETE: 8,
    ChangeKind.RESTORE: 10,
}
_KEEPS = frozenset({change_pb2.OUTCOME_APPLIED, change_pb2.OUTCOME_MERGED})


@dataclass(slots=True)
class SeenItem:
    """An item as a reader of the log knows it: the revision of each field."""

    revisions: dict[str, int] = field(default_factory=dict)
    deleted: bool = False


@dataclass(slots=True)
class View:
    """What a reader of a wedding's log has seen of it."""

    items: dict[str, SeenItem] = field(default_factory=dict)

    def take(self, entry: change_pb2.LoggedChange) -> None:
        """Read on; what the system writes to people is nobody's to edit."""
        if entry.item_kind != item_pb2.ITEM_KIND_TIMELINE_EVENT:
            return
        item = self.items.setdefault(entry.item_id, SeenItem())
        if entry.kind == change_pb2.CHANGE_KIND_CREATE:
            item.revisions[LIFE], item.deleted = entry.sequence, False
        for result in entry.fields:
            if result.outcome in _KEEPS:
                item.revisions[result.path] = result.revision
                if result.path == LIFE:
                    item.deleted = entry.kind == change_pb2.CHANGE_KIND_DELETE


class Author:
    """Somebody who edits one wedding: a person, who mostly insists, or a vendor, who names bases."""

    def __init__(
        self, name: str, view: View, random: Random, *, vendor: bool, status: Sequence[str] = STATUS
    ) -> None:
        self.name, self.vendor, self._status = name, vendor, status
        self._view, self._random = view, random
        self._looked: Mapping[str, Mapping[str, int]] = {}
        self._written = 0

    def changes(self) -> list[Change]:
        """Return the next one to three changes."""
        if self._random.random() < 0.4:  # not before each edit: what others did meanwhile collides
            self._looked = {item_id: dict(item.revisions) for item_id, item in self._view.items.items()}
        return [self._change() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]

    def _change(self) -> Change:
        known = list(self._view.items)
        kind = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if len(known) < _FEWEST_ITEMS:
            kind = ChangeKind.CREATE
        item_id = new_id() if kind is ChangeKind.CREATE else self._random.choice(known)
        change = Change(
            change_id=new_id(),
            item_id=item_id,
            item_kind=ItemKind.TIMELINE_EVENT,
            kind=kind,
            source=self._source(item_id),
            values=self._values(kind),
        )
        return replace(change, base=self._base(change)) if kind is not ChangeKind.CREATE else change

    def _source(self, item_id: str) -> Source:
        if not self.vendor:
            return CALLER
        return Source(
            organization_id="studio",
            actor=self.name,
            link_id=self.name,
            vendor="tave",
            record_id=item_id,
            category="crm",
        )

    def _values(self, kind: ChangeKind) -> dict[str, FieldValue]:
        if kind is ChangeKind.CREATE:
            return {"title": self._text(), "status": self._random.choice(self._status), **_WHEN}
        if kind is not ChangeKind.UPDATE:
            return {}
        paths = self._random.sample(_PATHS, self._random.choice((1, 2)))
        return {
            path: self._random.choice(self._status) if path == "status" else self._text() for path in paths
        }

    def _text(self) -> str:
        self._written += 1
        return f"{self.name} {self._written}"

    def _base(self, change: Change) -> dict[str, int]:
        if not self.vendor and self._random.random() < 0.7:
            return {}
        looked = self._looked.get(change.item_id, {})
        if change.kind is ChangeKind.DELETE:
            return {**dict.fromkeys((*_PATHS, LIFE), 0), **looked}
        return {path: looked.get(path, 0) for path in (*change.values, LIFE)}
