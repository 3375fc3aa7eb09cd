"""What of a vendor's records the wedding has already, before the two are linked. Pure.

Matching never guesses: our own marker, then natural keys that are equal and unique on both sides. Whatever
only looks alike is for people to decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.gateway.deliver.plan import Write, plan_delivery
from services.gateway.observe import observe
from services.gateway.records import Shadow
from services.gateway.vendors.field_rules import FieldRule, KindRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ItemState
from wedsync.model.items import FieldValue, ItemKind

MARKER = "marker"

NATURAL_KEYS: Mapping[ItemKind, tuple[str, ...]] = {
    ItemKind.TIMELINE_EVENT: ("title", "starts_at"),
    ItemKind.CONTACT: ("email",),
    ItemKind.BOOKING: ("title", "date"),
    ItemKind.PAYMENT: ("reference",),
    ItemKind.TASK: ("title", "due_on"),
}
"""The fields by which two things are one and the same, if all of them are equal."""

_ALIKE: Mapping[ItemKind, tuple[tuple[str, ...], ...]] = {
    ItemKind.TIMELINE_EVENT: (("title",), ("starts_at",)),
    ItemKind.CONTACT: (("email",), ("name",), ("phone",)),
    ItemKind.BOOKING: (("title",), ("date",)),
    ItemKind.PAYMENT: (("reference",), ("amount",)),
    ItemKind.TASK: (("title",),),
}
"""Fields that make two things look alike; capital letters and spaces do not count."""

Key = tuple[ItemKind, tuple[FieldValue, ...]]


class Flow(StrEnum):
    """Which way a value goes."""

    TO_WEDDING = "to_wedding"
    TO_VENDOR = "to_vendor"
    CONFLICT = "conflict"
    """Both have one: the wedding's stays, and a conflict is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field in which a record differs from the item it stands for."""

    path: str
    present: FieldValue
    vendors: FieldValue
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """A record and an item that are one and the same, and by what."""

    record: VendorRecord
    item: ItemState
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A record that may be one of these items."""

    record: VendorRecord
    items: Sequence[ItemState]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Both sides, sorted out."""

    same: Sequence[Same] = ()
    doubts: Sequence[Doubt] = ()
    records: Sequence[VendorRecord] = ()
    """What only the vendor has."""
    items: Sequence[ItemState] = ()
    """What only the wedding has."""


@dataclass(slots=True)
class _Sorting:
    """What is still to be paired."""

    records: dict[str, VendorRecord]
    items: dict[str, ItemState]
    rules: Mapping[ItemKind, KindRule]
    same: list[Same] = field(default_factory=list)

    def pair(self, record_id: str, item_id: str, key: str) -> None:
        record, item = self.records.pop(record_id), self.items.pop(item_id)
        self.same.append(Same(record=record, item=item, key=key))

    def record_keys(self, record: VendorRecord, paths: Sequence[str]) -> Key | None:
        return _key(record.kind, paths, record.fields, self._rules(record.kind))

    def item_keys(self, item: ItemState, paths: Sequence[str]) -> Key | None:
        values = {path: state.value for path, state in item.fields.items()}
        return _key(item.kind, paths, values, self._rules(item.kind))

    def _rules(self, kind: ItemKind) -> Mapping[str, FieldRule]:
        return self.rules[kind].fields if kind in self.rules else {}


def pair(
    records: Iterable[VendorRecord], items: Iterable[ItemState], rules: Mapping[ItemKind, KindRule]
) -> Pairing:
    """Sort out what is on both sides, what may be, and what is on one side only."""
    sorting = _Sorting(
        records={record.record_id: record for record in records if record.kind in rules},
        items={item.item_id: item for item in items if item.kind in rules and not item.deleted},
        rules=rules,
    )
    _by_marker(sorting)
    for kind, paths in NATURAL_KEYS.items():
        _by_key(sorting, kind, paths)
    doubts = list(_doubts(sorting))
    doubtful = {doubt.record.record_id for doubt in doubts}
    doubted = {item.item_id for doubt in doubts for item in doubt.items}
    return Pairing(
        same=sorting.same,
        doubts=doubts,
        records=[r for r in sorting.records.values() if r.record_id not in doubtful],
        items=[i for i in sorting.items.values() if i.item_id not in doubted],
    )


def differences(same: Same, rules: KindRule) -> list[Difference]:
    """Return what becomes of each field that differs, as the engine decides it once they are linked."""
    record, item = same.record, same.item
    before = Shadow(link_id="", item_id=item.item_id, kind=item.kind)
    seen = observe(before, [], record, rules.fields, item)
    inward = [
        Difference(
            path=path,
            present=item.value(path),
            vendors=value,
            flow=Flow.CONFLICT if path in item.fields else Flow.TO_WEDDING,
        )
        for path, value in seen.values.items()
    ]
    plan = plan_delivery(item, seen.shadow, rules)
    due = plan.values if isinstance(plan, Write) else {}
    outward = [
        Difference(path=path, present=shown.value, vendors=record.fields.get(path), flow=Flow.TO_VENDOR)
        for path, shown in due.items()
        if path not in seen.values
    ]
    return inward + outward


def label(kind: ItemKind, fields: Mapping[str, FieldValue]) -> str:
    """Return what people know a thing by: its key's fields, else what it looks like."""
    paths = dict.fromkeys(
        [*NATURAL_KEYS.get(kind, ()), *(p for group in _ALIKE.get(kind, ()) for p in group)]
    )
    return ", ".join(str(fields[path]) for path in paths if fields.get(path) is not None)


def _by_marker(sorting: _Sorting) -> None:
    """Pair what carries our own marker; a marker that was copied along with its record proves nothing."""
    carriers: dict[str, list[str]] = defaultdict(list)
    for record in sorting.records.values():
        if record.marker in sorting.items and sorting.items[record.marker].kind is record.kind:
            carriers[record.marker].append(record.record_id)
    for item_id, record_ids in carriers.items():
        if len(record_ids) == 1:
            sorting.pair(record_ids[0], item_id, MARKER)


def _by_key(sorting: _Sorting, kind: ItemKind, paths: Sequence[str]) -> None:
    """Pair what is equal in every field of its key and has no double on either side."""
    records = _grouped(
        (r.record_id, sorting.record_keys(r, paths)) for r in sorting.records.values() if r.kind is kind
    )
    items = _grouped(
        (i.item_id, sorting.item_keys(i, paths)) for i in sorting.items.values() if i.kind is kind
    )
    for key, record_ids in records.items():
        item_ids = items.get(key, [])
        if len(record_ids) == len(item_ids) == 1:
            sorting.pair(record_ids[0], item_ids[0], ", ".join(paths))


def _doubts(sorting: _Sorting) -> Iterator[Doubt]:
    index = {
        (kind, paths): _grouped(
            (item.item_id, _folded(sorting.item_keys(item, paths)))
            for item in sorting.items.values()
            if item.kind is kind
        )
        for kind, groups in _ALIKE.items()
        for paths in groups
    }
    for record in sorting.records.values():
        if record.marker in sorting.items:
            reason = "several records carry our marker of this item"
            yield Doubt(record=record, items=[sorting.items[record.marker]], reason=reason)
            continue
        for paths in _ALIKE.get(record.kind, ()):
            wanted = _folded(sorting.record_keys(record, paths))
            if wanted is not None and (alike := index[record.kind, paths].get(wanted)):
                reason = f"alike in {', '.join(paths)}, but not certain"
                yield Doubt(record=record, items=[sorting.items[name] for name in alike], reason=reason)
                break


def _key(
    kind: ItemKind, paths: Sequence[str], values: Mapping[str, FieldValue], rules: Mapping[str, FieldRule]
) -> Key | None:
    """Return the fields' values as far as the vendor can show them; None if one of them is not there."""
    held = tuple(rules[path].holds(values.get(path)) if path in rules else None for path in paths)
    return None if None in held else (kind, held)


def _folded(key: Key | None) -> Key | None:
    if key is None:
        return None
    kind, values = key
    return kind, tuple(" ".join(v.casefold().split()) if isinstance(v, str) else v for v in values)


def _grouped(keyed: Iterable[tuple[str, Key | None]]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = defaultdict(list)
    for name, key in keyed:
        if key is not None:
            groups[key].append(name)
    return groups
