"""What must be true of a vendor once all is quiet, said without a word of how the gateway works."""

from __future__ import annotations

from collections.abc import Iterator

from services.gateway.records import Link
from services.gateway.vendors.field_rules import FieldRule, KindRule
from tests.convergence.canon import Canon
from tests.convergence.tables import Tables
from tests.convergence.vendor import Kept, VendorSystem
from wedsync.model.changes import FieldState, ItemState
from wedsync.model.values import nearest


def differences(canon: Canon, tables: Tables, link: Link, system: VendorSystem) -> Iterator[str]:
    """Yield what the vendor has otherwise than the truth, as far as it can be told."""
    for item in canon.wedding.items.values():
        rules = system.manifest.kinds.get(item.kind)
        if rules is not None and not _is_held(item.life, link):
            kept = _record_of(tables, link, system, item)
            listed = tables.listed.get((link.link_id, item.item_id), "")
            found = _of_item(item, kept, rules, link, system, listed)
            yield from (f"{item.item_id}: {words}" for words in found)


def untold(canon: Canon, tables: Tables, link: Link, system: VendorSystem) -> Iterator[str]:
    """Yield the vendor's records that nobody heard of."""
    known = {s.record_id for s in tables.shadows.values() if s.link_id == link.link_id}
    for kept in system.records.values():
        if kept.in_scope and kept.record_id not in known:
            yield f"nobody heard of {kept.record_id}"
    for shadow in tables.shadows.values():
        if shadow.link_id == link.link_id and shadow.present and shadow.item_id not in canon.wedding.items:
            yield f"{shadow.record_id} has no item"


def _record_of(tables: Tables, link: Link, system: VendorSystem, item: ItemState) -> Kept | None:
    shadow = tables.shadows.get((link.link_id, item.item_id))
    return system.records.get((shadow.record_id if shadow else None) or "")


def _of_item(
    item: ItemState, kept: Kept | None, rules: KindRule, link: Link, system: VendorSystem, listed: str
) -> Iterator[str]:
    if kept is not None and not (kept.in_scope and kept.writable):
        return
    if item.deleted:
        if kept is not None and rules.delete:
            yield f"deleted, and still there as {kept.record_id}"
        return
    if kept is None:
        if rules.create and not listed:
            yield "not there"
        return
    for path, state in item.fields.items():
        rule = rules.fields.get(path)
        if rule is None or not rule.writable or _is_held(state, link) or not rule.takes(state.value):
            continue
        if not _is_same(kept, path, rule, state, system) and path not in listed and "no vendor" not in str(state.value):
            yield f"{path} is {kept.fields[path]!r}, not {state.value!r}"


def _is_same(kept: Kept, path: str, rule: FieldRule, state: FieldState, system: VendorSystem) -> bool:
    wanted = system.habits.hold(kept.kind, path, rule, state.value)
    shown = nearest(kept.kind, path, kept.fields[path])
    return wanted == shown or rule.equivalent(wanted, shown)


def _is_held(state: FieldState, link: Link) -> bool:
    return state.collision is not None and link.link_id in state.collision.held_links
