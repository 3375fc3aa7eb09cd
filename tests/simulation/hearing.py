"""Whether everybody heard of what they must hear: every fact at least once, and the newest states."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.database import Database
from tests.simulation.receivers import Conflicts, Gateway
from wedsync.model.changes import ItemState
from wedsync.model.items import LIFE, VENDOR_KINDS


def unheard(database: Database, gateway: Gateway, conflicts: Conflicts) -> Iterator[str]:
    """Yield what somebody should have heard and has not."""
    heard = gateway.heard | conflicts.heard
    for fact in database.told:
        if fact.fact_id not in heard:
            yield f"a fact of {fact.wedding_id} {fact.sequence} never reached the {fact.destination}"
    for wedding_id, log in database.tables.changes.items():
        items = database.tables.items[wedding_id]
        told = gateway.sequences.get(wedding_id, set())
        for entry in log:
            if entry.change.item_kind in VENDOR_KINDS and entry.sequence not in told:
                yield f"the gateway never heard of {wedding_id} {entry.sequence}"
        for item in items.values():
            if item.kind in VENDOR_KINDS:
                yield from _unheard_of(wedding_id, item, gateway, conflicts)


def _unheard_of(wedding_id: str, item: ItemState, gateway: Gateway, conflicts: Conflicts) -> Iterator[str]:
    if gateway.item(wedding_id, item.item_id) != item:
        yield f"the gateway has another state of {item.item_id}"
    for path, state in {LIFE: item.life, **item.fields}.items():
        if state.collision is None:
            continue
        if (wedding_id, item.item_id, path, state.collision.sequence) not in conflicts.known:
            yield f"the conflicts service never heard that {path} of {item.item_id} is in dispute"
