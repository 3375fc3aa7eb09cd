"""What must hold between the gateway's projection and a vendor's own system once all is quiet."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.gateway_site import GatewaySite
from tests.faults.vendor_people import Shown, Vendor, own_id
from wedsync.model.changes import Change, ChangeKind, ItemState
from wedsync.model.items import ItemKind

_JUDGED = frozenset({ItemKind.TIMELINE_EVENT, ItemKind.PAYMENT})


async def require_in_step(site: GatewaySite, vendor: Vendor) -> None:
    """Fail unless the vendor has each item in one record, which shows what the item says, and no other."""
    for kind in vendor.bench.hands.keys() & _JUDGED:
        await _require_in_step(site, vendor.of(kind))


async def _require_in_step(site: GatewaySite, vendor: Vendor) -> None:
    items = {
        item.item_id: item
        for item in site.items(vendor.wedding_id)
        if item.kind is vendor.kind and not item.deleted
    }
    records = [(item, own_id(record)) for item, record in site.records(vendor.link_id, vendor.kind)]
    there = [item for item, _ in records]
    assert sorted(there) == sorted(items), _stories(site, vendor, items.keys() ^ set(there))
    shown = await vendor.shown()
    odd = shown.keys() ^ {record for _, record in records}
    assert sorted(record for _, record in records) == sorted(shown), {name: shown.get(name) for name in odd}
    truth = {record: _as_shown(items[item], vendor.hands.field) for item, record in records}
    assert truth == {key: Shown(kept.text, kept.location or None) for key, kept in shown.items()}


def require_heard(site: GatewaySite, vendor: Vendor) -> None:
    """Fail unless what people did came in where no write of ours can cover it, and none of ours came back."""
    sent = site.sent(vendor.link_id)
    assert vendor.made <= {own_id(change.source.record_id or "") for change in sent}
    if vendor.refuses_stale_writes:
        assert set(vendor.said.values()) <= _texts(vendor, sent), vendor.name
        edited = _texts(vendor, [change for change in sent if change.kind is ChangeKind.UPDATE])
        echoes = [text for text in edited if not text.startswith(vendor.label)]
        assert not echoes, f"our own writes came back from {vendor.name} as edits: {echoes}"


def _texts(vendor: Vendor, changes: Iterable[Change]) -> set[str]:
    values = [change.values.get(vendor.hands.field) for change in changes]
    return {str(value) for value in values if value is not None}


def _stories(site: GatewaySite, vendor: Vendor, odd: Iterable[str]) -> str:
    """Return what is known of items that the vendor has not, or has and should not."""
    return "\n".join([vendor.name, *(f"{item} {site.story(vendor.link_id, item)}" for item in odd)])


def _as_shown(item: ItemState, field: str) -> Shown:
    location = item.value("location")
    return Shown(str(item.value(field)), str(location) if location else None)
