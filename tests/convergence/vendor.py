"""A vendor's system, made from its manifest: its database, its people, and what its API does with both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    CursorLost,
    OutOfScope,
    RecordGone,
    Scan,
    VendorRecord,
    VendorRejected,
    VersionMismatch,
)
from tests.convergence.habits import Habits, is_before
from wedsync.model.items import CATALOGUE, FieldType, FieldValue, ItemKind

UNSPEAKABLE = "what no vendor takes"
"""A text that the API of every vendor refuses, although its people may write it."""
REFUSALS = ("such a text is not taken", "it belongs elsewhere")
"""How vendors refuse what no retry can mend."""


@dataclass(slots=True)
class Kept:
    """One record as the vendor's own database has it."""

    record_id: str
    kind: ItemKind
    fields: dict[str, FieldValue]
    marker: str | None = None
    made_by: str | None = None
    """The create of ours that made it, as the vendor knows it; a copy has the marker only."""
    earlier: Mapping[str, FieldValue] = field(default_factory=dict)
    """What its fields were before they were last written."""
    touched: bool = False
    """Whether people had it in their hands since."""
    version: int = 0
    writable: bool = True
    in_scope: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """What somebody did to a record: the values it had and has, None where it was or is not there."""

    by_people: bool
    record: Kept
    before: Mapping[str, FieldValue] | None
    after: Mapping[str, FieldValue] | None
    seen: int | None = None
    """Of an API's write: the version that whoever writes had read."""
    sent: Mapping[str, FieldValue] = field(default_factory=dict)
    """Of an API's write: what it asked for."""


@dataclass
class VendorSystem:
    """One account's records."""

    name: str
    manifest: Manifest
    habits: Habits
    random: Random
    records: dict[str, Kept] = field(default_factory=dict)
    binned: list[Kept] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    on_touch: list[Callable[[Touch], None]] = field(default_factory=list)
    _journal: list[str] = field(default_factory=list)
    _numbers: int = 0

    # What its people do.

    def add(self, kind: ItemKind, values: Mapping[str, FieldValue], *, writable: bool = True) -> str:
        """Make a record; return its id."""
        kept = Kept(
            self._name(), kind, {**dict.fromkeys(self.rules(kind).fields), **self._held(kind, values)}
        )
        kept.writable = writable
        self._put(kept, by_people=True)
        return kept.record_id

    def edit(self, record_id: str, values: Mapping[str, FieldValue]) -> None:
        """Change a record. What has happened with money never goes back to what was before."""
        kept = self.records[record_id]
        rules = self.rules(kept.kind).fields
        held = self._held(kept.kind, values)
        sensible = {p: v for p, v in held.items() if not is_before(rules[p], v, kept.fields[p])}
        self._put(kept, {**kept.fields, **sensible}, by_people=True)

    def remove(self, record_id: str) -> None:
        """Put a record into the bin."""
        kept = self.records[record_id]
        self.binned.append(kept)
        self._drop(kept, by_people=True)

    def restore(self, kept: Kept) -> None:
        """Take it out of the bin."""
        self.binned.remove(kept)
        self._put(kept, by_people=True)

    def copy(self, record_id: str) -> str:
        """Make another record like it, with all that is hidden in it."""
        twin = replace(self.records[record_id], record_id=self._name(), made_by=None)
        self._put(twin, dict(twin.fields), by_people=True)
        return twin.record_id

    def move(self, record_id: str, *, in_scope: bool) -> None:
        """Take a record out of what is shared with the wedding, or back into it."""
        kept = self.records[record_id]
        kept.in_scope = in_scope
        self._put(kept, by_people=True)

    def discard_double(self, record_id: str) -> None:
        """Delete a record for good that looks just like what one of ours was made as, if there are two."""
        kept = self.records.get(record_id)
        twins = [k for k in self.records.values() if kept and kept.made_by and k.made_by == kept.made_by]
        if kept and len(twins) > 1 and not kept.touched:
            self._drop(kept, by_people=True)

    # What its webhooks and its API do.

    def whole(self, kept: Kept) -> dict[str, Any]:
        """Return a record as a webhook shows it, as it is now."""
        return asdict(self._shown(kept))

    def read(self, record_id: str, *, old: bool = False) -> VendorRecord | None:
        """Return a record, None if it is gone; an old answer has an earlier step of what never goes back."""
        kept = self.records.get(record_id)
        if kept is not None and old:
            kept = replace(kept, fields={**kept.fields, **self._steps_before(kept)})
        if kept is not None and not kept.in_scope:
            raise OutOfScope(REFUSALS[1])
        return self._shown(kept) if kept else None

    def find(self, marker: str) -> VendorRecord | None:
        """Return the first record that carries a marker."""
        found = (kept for kept in self._shared() if kept.marker == marker)
        return next((self._shown(kept) for kept in found), None)

    def create(self, kind: ItemKind, marker: str, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Make a record."""
        self._require_sense(values)
        made = [kept for kept in self.records.values() if kept.made_by == marker]
        if made and self.habits.creates_once:
            return replace(self._shown(made[0]), existed=True)
        fields = {
            **dict.fromkeys(self.rules(kind).fields),
            **self.filled_in(kind),
            **self._held(kind, values),
        }
        kept = Kept(self._name(), kind, fields, marker, made_by=marker)
        self._put(kept, by_people=False, sent=values)
        self.writes[f"create {marker}"] += 1
        return self._shown(kept)

    def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Change a record that was read before."""
        self._require_sense(values)
        kept = self._current(record)
        if kept is None:
            raise RecordGone("the record is no more")
        fields = {**kept.fields, **self._held(kept.kind, values)}
        self._put(kept, fields, by_people=False, seen=int(record.version), sent=values)
        self.writes[f"update {kept.record_id}"] += 1
        return self._shown(kept)

    def delete(self, record: VendorRecord) -> None:
        """Delete a record that was read before."""
        kept = self._current(record)
        if kept is not None:
            self._drop(kept, by_people=False, seen=int(record.version))
            self.writes[f"delete {kept.record_id}"] += 1

    def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return a page of what moved, or of all there is."""
        if self.habits.lists_all or cursor is None or "after" in cursor:
            return self._page_of_all(cursor or {})
        at = cursor["at"]
        if at < len(self._journal) - 200:
            raise CursorLost("it is too old")
        moved = list(dict.fromkeys(self._journal[at : at + self.habits.page]))
        shared = {kept.record_id: kept for kept in self._shared()}
        end = min(at + self.habits.page, len(self._journal))
        return Scan(
            records=[self._shown(shared[record_id]) for record_id in moved if record_id in shared],
            missing=[record_id for record_id in moved if record_id not in shared],
            cursor={"at": end},
            more=end < len(self._journal),
        )

    def rules(self, kind: ItemKind) -> KindRule:
        """Return what can be done with a kind."""
        return self.manifest.kinds[kind]

    def count(self) -> int:
        """Return how many writes were carried out."""
        return self.writes.total()

    def _page_of_all(self, cursor: Mapping[str, Any]) -> Scan:
        after, began, seen = (
            cursor.get("after", ""),
            cursor.get("at", len(self._journal)),
            cursor.get("seen", []),
        )
        rest = sorted((k for k in self._shared() if k.record_id > after), key=lambda kept: kept.record_id)
        page, more = rest[: self.habits.page], len(rest) > self.habits.page
        listed = [*seen, *(kept.record_id for kept in page)]
        onward = {"after": page[-1].record_id, "seen": listed} if more else {}
        return Scan(
            records=[self._shown(kept) for kept in page],
            present=None if more else frozenset(listed),
            cursor={"at": began, **onward},
            more=more,
        )

    def _shared(self) -> Iterator[Kept]:
        return (kept for kept in self.records.values() if kept.in_scope)

    def _current(self, record: VendorRecord) -> Kept | None:
        kept = self.records.get(record.record_id)
        if kept is not None and self.habits.checks_versions and str(kept.version) != record.version:
            raise VersionMismatch("it moved")
        return kept

    def _shown(self, kept: Kept) -> VendorRecord:
        return VendorRecord(
            record_id=kept.record_id,
            kind=kept.kind,
            version=str(kept.version),
            fields={path: self._in_any_order(value) for path, value in kept.fields.items()},
            marker=kept.marker,
            writable=kept.writable,
        )

    def _steps_before(self, kept: Kept) -> dict[str, FieldValue]:
        rules = self.rules(kept.kind).fields
        return {p: v for p, v in kept.earlier.items() if is_before(rules[p], v, kept.fields[p])}

    def _in_any_order(self, value: FieldValue) -> FieldValue:
        return tuple(self.random.sample(value, len(value))) if isinstance(value, tuple) else value

    def _put(
        self,
        kept: Kept,
        fields: dict[str, FieldValue] | None = None,
        *,
        by_people: bool,
        seen: int | None = None,
        sent: Mapping[str, FieldValue] | None = None,
    ) -> None:
        before = dict(kept.fields) if kept.record_id in self.records else None
        kept.touched |= by_people
        kept.earlier, kept.fields, kept.version = before or {}, fields or kept.fields, self._number()
        self.records[kept.record_id] = kept
        after = dict(kept.fields)
        self._tell(
            Touch(by_people=by_people, record=kept, before=before, after=after, seen=seen, sent=sent or {})
        )

    def _drop(self, kept: Kept, *, by_people: bool, seen: int | None = None) -> None:
        del self.records[kept.record_id]
        self._number()
        self._tell(Touch(by_people=by_people, record=kept, before=dict(kept.fields), after=None, seen=seen))

    def _tell(self, touch: Touch) -> None:
        self._journal.append(touch.record.record_id)
        for tell in self.on_touch:
            tell(touch)

    def _held(self, kind: ItemKind, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        rules = self.rules(kind).fields
        known = {path: value for path, value in values.items() if path in rules}
        return {path: self.habits.hold(kind, path, rules[path], value) for path, value in known.items()}

    def filled_in(self, kind: ItemKind) -> dict[str, FieldValue]:
        """Return what a create that leaves them out puts into fields."""
        if not self.habits.fills_in:
            return {}
        specs = CATALOGUE[kind]
        enums = {path: specs[path] for path in self.rules(kind).fields if specs[path].type is FieldType.ENUM}
        return {path: spec.values[0] for path, spec in enums.items()}

    def _require_sense(self, values: Mapping[str, FieldValue]) -> None:
        if UNSPEAKABLE in values.values():
            raise VendorRejected(REFUSALS[0])

    def _name(self) -> str:
        return f"r{self._number()}"

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
