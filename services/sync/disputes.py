"""Which disagreements about an item a logged change opened, moved or ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.sync.plan import ITEM_DELETED
from services.sync.wedding import LoggedChange
from wedsync.model.changes import Collision, FieldState, ItemState
from wedsync.model.codec import dump_source, dump_value, dump_values
from wedsync.model.items import LIFE, FieldValue

Json = dict[str, Any]


def collided(entry: LoggedChange) -> Iterator[Json]:
    """Yield each disagreement that is new, or whose sides want something else since the change."""
    before = _states(entry.before)
    for path, state in _states(entry.item).items():
        if state.collision is not None and _told(before.get(path)) != _told(state):
            yield _claims(path, state, state.collision, _lost_edit(path, entry))


def ended(entry: LoggedChange) -> Iterator[Json]:
    """Yield each disagreement that was open before the change and is not any more."""
    after = _states(entry.item)
    for path, state in _states(entry.before).items():
        was, now = state.collision, after[path].collision
        if was is not None and (now is None or now.sequence != was.sequence):
            yield {
                "path": path,
                "seq": was.sequence,
                "final": dump_value(after[path].value),
                "final_by": dump_source(entry.change.source),
                "superseded": now is not None,
            }


def _states(item: ItemState | None) -> Mapping[str, FieldState]:
    return {LIFE: item.life, **item.fields} if item else {}


def _told(state: FieldState | None) -> tuple[FieldValue, Collision] | None:
    return (state.value, state.collision) if state is not None and state.collision is not None else None


def _claims(path: str, state: FieldState, collision: Collision, lost: Mapping[str, FieldValue]) -> Json:
    return {
        "path": path,
        "seq": collision.sequence,
        "current": dump_value(state.value),
        "current_by": dump_source(collision.current_by),
        "current_rev": state.revision,
        "proposed": dump_value(collision.proposed),
        "proposed_by": dump_source(collision.proposed_by),
        "proposed_rev": collision.sequence,
        "values": dump_values(lost),
    }


def _lost_edit(path: str, entry: LoggedChange) -> Mapping[str, FieldValue]:
    """Return what an edit of a deleted item wanted to set: who decides for the edit wants it too."""
    if path != LIFE:
        return {}
    return {field.path: field.proposed for field in entry.result.fields if field.reason == ITEM_DELETED}
