"""What must be true of a vendor once all is quiet, said without a word of how the gateway works."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.gateway.records import Link, Shadow
from services.gateway.vendors.field_rules import FieldRule, KindRule
from tests.convergence.canon import Canon
from tests.convergence.habits import alike
from tests.convergence.tables import Tables
from tests.convergence.vendor import REFUSALS, Kept, VendorSystem
from wedsync.model.changes import FieldState, ItemState
from wedsync.model.values import nearest


def differences(canon: Canon, tables: Tables, link: Link, system: VendorSystem) -> Iterator[str]:
    """Yield what the vendor has otherwise than the truth, as far as it can be told."""
    for item in canon.wedding.items.values():
        rules = system.manifest.kinds.get(item.kind)
        if rules is not None and not _is_held(item.life, link):
            kept = _record_of(tables, link, system, item)
            if _is_parked(tables, link, item):
                continue
            listed = tables.listed.get((link.link_id, item.item_id), "")
            found = _of_item(item, kept, rules, link, system, listed)
            yield from (f"{item.item_id}: {words}" for words in found)


def untold(canon: Canon, tables: Tables, link: Link, system: VendorSystem) -> Iterator[str]:
    """Yield the vendor's records that nobody heard of."""
    known = {s.record_id for s in tables.shadows.values() if s.link_id == link.link_id}
    parked = [reason for state, reason in tables.finished.values() if state == "parked"]
    for kept in system.records.values():
        said = any(re.search(rf"\b{kept.record_id}\b", reason) for reason in parked)
        if kept.in_scope and kept.record_id not in known and not said:
            yield f"nobody heard of {kept.record_id}"
    for shadow in tables.shadows.values():
        unborn = shadow.present and shadow.item_id not in canon.wedding.items
        if shadow.link_id == link.link_id and unborn and not _is_refused(tables, shadow):
            yield f"{shadow.record_id} has no item"


def _is_refused(tables: Tables, shadow: Shadow) -> bool:
    """Say whether the vendor's people made nothing of a record, so far, that can be kept."""
    place = (shadow.link_id, shadow.item_id)
    own = [row for row in tables.activities if (row.activity.link_id, row.activity.item_id) == place]
    return bool(own) and own[-1].state == "rejected" and "INVALID_REQUEST" in own[-1].reason


def doubled(tables: Tables, link: Link, system: VendorSystem) -> Iterator[str]:
    """Yield the records of ours that became items of their own: somebody would see the same thing twice."""
    for shadow in tables.shadows.values():
        kept = system.records.get(shadow.record_id or "") if shadow.link_id == link.link_id else None
        if kept and kept.made_by not in (None, shadow.item_id) and not kept.touched:
            yield f"{kept.record_id} is one more record of {kept.made_by}"


def _is_parked(tables: Tables, link: Link, item: ItemState) -> bool:
    """Say whether a vendor refuses the record, and somebody must look at it."""
    rows = [row for row in tables.deliveries.values() if row.key.item_id == item.item_id]
    parked = [row for row in rows if row.key.link_id == link.link_id and row.state == "parked"]
    return any(refusal in row.reason for row in parked for refusal in REFUSALS)


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
        if not listed:
            yield "not there, and nobody says why"
        return
    for path, state in item.fields.items():
        rule = rules.fields.get(path)
        if rule is not None and not _is_held(state, link):
            yield from _of_field(kept, path, rule, state, system, listed)


def _of_field(
    kept: Kept, path: str, rule: FieldRule, state: FieldState, system: VendorSystem, listed: str
) -> Iterator[str]:
    shown = nearest(kept.kind, path, kept.fields[path])
    if alike(rule, shown, state.value):
        return
    if path not in listed:
        yield f"{path} is {shown!r}, not {state.value!r}, and nobody says so: {listed}"
    elif rule.writable and rule.takes(state.value) and not _is_best(kept, path, rule, state, system):
        yield f"{path} is {shown!r}, not {state.value!r}"


def _is_best(kept: Kept, path: str, rule: FieldRule, state: FieldState, system: VendorSystem) -> bool:
    """Say whether the vendor has what it makes of the value, or its own default for what is empty."""
    wanted = system.habits.hold(kept.kind, path, rule, state.value)
    by_default = state.value is None and system.filled_in(kept.kind).get(path) == kept.fields[path]
    return by_default or alike(rule, wanted, nearest(kept.kind, path, kept.fields[path]))


def _is_held(state: FieldState, link: Link) -> bool:
    return state.collision is not None and link.link_id in state.collision.held_links
