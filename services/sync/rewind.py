"""What brings a wedding back to how it was: the changes to make, and what stays as it is. Pure.

A rewind is ordinary changes. Each names the sequence that was read as what its author had seen, so that
whatever was edited meanwhile collides and is held, as always; and a rewind can be rewound.

    THEN    after the sequence to go back to
    NOW     after the sequence that was read

To undo what one source did, a field goes back to the newest value that is not its own. What a payment
processor says happened with money stays, and so do messages: they were said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.sync.filters import EVERYBODY, SourceFilter
from wedsync.errors import FailedPrecondition
from wedsync.model.changes import PAYMENT_PROCESSOR, Change, ChangeKind, FieldState, ItemState, Source
from wedsync.model.ids import rewind_change_id
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind

_POLICY = "rewind:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """An item that changed since then, as it was from then to now."""

    now: ItemState
    earlier: tuple[ItemState, ...] = ()
    """Oldest first: as it was then, if it was there, and to undo one source also as each change left it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewinding:
    """What is asked for, by whom, and what was read for it."""

    request_id: str
    then: int
    now: int
    author: Source
    whose: SourceFilter = EVERYBODY
    trace_parent: str = ""

    @property
    def of_everybody(self) -> bool:
        """Whether it does not matter who set a value."""
        return self.whose == EVERYBODY

    def undoes(self, state: FieldState) -> bool:
        """Say whether the field's value is one that is to go."""
        return state.revision > self.then and self.whose.fits(state.source)

    def touches(self, item: ItemState) -> bool:
        """Say whether anything of the item is to go."""
        return any(self.undoes(state) for _, state in _states(item))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A field that stays as it is, and why."""

    item_id: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensations:
    """What a rewind does, and what it leaves alone."""

    changes: tuple[Change, ...]
    kept: tuple[Kept, ...]


def fingerprint(then: int, whose: SourceFilter) -> bytes:
    """Return a digest of what a request asks for, so that its id used for another one is seen."""
    content = json.dumps([then, whose.link_id, whose.vendor, whose.actor])
    return hashlib.sha256(content.encode()).digest()[:16]


def author_of(source: Source, then: int) -> Source:
    """Return the source of a rewind's changes."""
    return Source(organization_id=source.organization_id, actor=source.actor, policy=f"{_POLICY}{then}")


def is_rewind(change: Change) -> bool:
    """Say whether the change is part of a rewind."""
    return (change.source.policy or "").startswith(_POLICY)


def too_much() -> FailedPrecondition:
    """Return the error for a rewind that is too large for one call."""
    return FailedPrecondition("Too much changed since; go back in steps, to a later sequence first.")


def compensations(items: Iterable[Versions], asked: Rewinding) -> Compensations:
    """Decide what to change in each item, and what to leave alone."""
    ordered = sorted(items, key=lambda versions: versions.now.item_id)
    acts = [act for versions in ordered for act in _item(versions, asked)]
    return Compensations(
        changes=tuple(act for act in acts if isinstance(act, Change)),
        kept=tuple(act for act in acts if isinstance(act, Kept)),
    )


def _item(versions: Versions, asked: Rewinding) -> Iterator[Change | Kept]:
    now, moved = versions.now, _moved(versions, asked)
    kept = dict(_kept(now, moved, asked))
    yield from (Kept(item_id=now.item_id, path=path, reason=reason) for path, reason in kept.items())
    back = {path: value for path, value in moved.items() if path not in kept}
    life = back.pop(LIFE, now.life.value)
    if life != now.life.value:
        yield _change(ChangeKind.DELETE if life else ChangeKind.RESTORE, now, {}, asked)
    if back and not life:
        yield _change(ChangeKind.UPDATE, now, back, asked)


def _moved(versions: Versions, asked: Rewinding) -> dict[str, FieldValue]:
    """Return the fields that have another value now, with the value to go back to."""
    moved: dict[str, FieldValue] = {}
    for path, state in _states(versions.now):
        if not asked.undoes(state):
            continue
        before = _before(path, versions, asked)
        if before is not None and before.value != state.value:
            moved[path] = before.value
        elif before is None and path == LIFE and not versions.now.deleted:
            moved[path] = True  # it was not there: it goes as a whole, so no other field is named
    return moved


def _before(path: str, versions: Versions, asked: Rewinding) -> FieldState | None:
    """Return the field's newest state that is not to go, None where the item was not there yet."""
    states = (_state(path, item) for item in reversed(versions.earlier))
    return next((state for state in states if not asked.undoes(state)), None)


def _kept(now: ItemState, moved: Mapping[str, FieldValue], asked: Rewinding) -> Iterator[tuple[str, str]]:
    """Yield each moved field that stays as it is, and why."""
    if now.kind is ItemKind.MESSAGE:
        yield from ((path, "a message that was said cannot be unsaid") for path in moved)
        return
    life = _life_stays(now, moved, asked)
    if life:
        yield LIFE, life
    stays_deleted = now.deleted and (life is not None or LIFE not in moved)
    for path in sorted(moved.keys() - {LIFE}):
        if reason := "the item is deleted" if stays_deleted else _fact(now, path):
            yield path, reason


def _life_stays(now: ItemState, moved: Mapping[str, FieldValue], asked: Rewinding) -> str | None:
    if LIFE not in moved:
        return None
    return _told_by_processor(now.life) or (_outlives(now, asked) if moved[LIFE] else None)


def _outlives(now: ItemState, asked: Rewinding) -> str | None:
    """Return why an item is not deleted although whoever brought it in is undone."""
    if fact := next(filter(None, (_fact(now, path) for path in now.fields)), None):
        return fact
    others = [
        path
        for path, state in now.fields.items()
        if state.revision > asked.then and not asked.whose.fits(state.source)
    ]
    return f"others have set its {', '.join(sorted(others))} since" if others else None


def _fact(item: ItemState, path: str) -> str | None:
    return _told_by_processor(item.fields[path]) if CATALOGUE[item.kind][path].fact else None


def _told_by_processor(state: FieldState) -> str | None:
    if state.source.category != PAYMENT_PROCESSOR:
        return None
    return (
        f"{state.source.vendor or state.source.actor} told it, and only a payment processor may say otherwise"
    )


def _states(item: ItemState) -> Iterator[tuple[str, FieldState]]:
    yield LIFE, item.life
    yield from item.fields.items()


def _state(path: str, item: ItemState) -> FieldState:
    never_set = FieldState(value=None, revision=0, source=item.life.source)
    return item.life if path == LIFE else item.fields.get(path, never_set)


def _change(kind: ChangeKind, item: ItemState, values: Mapping[str, FieldValue], asked: Rewinding) -> Change:
    return Change(
        change_id=rewind_change_id(asked.request_id, item.item_id, kind),
        item_id=item.item_id,
        item_kind=item.kind,
        kind=kind,
        source=asked.author,
        values=values,
        default_base=asked.now,
        trace_parent=asked.trace_parent,
    )
