"""Who changes weddings, and what each has seen when it does: vendors, people, the conflicts service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from services.sync.pause import pausing, resuming
from tests.simulation.receivers import Conflicts, Gateway
from wedsync.model.changes import (
    PAYMENT_PROCESSOR,
    Change,
    ChangeKind,
    ChangeResult,
    ItemState,
    Outcome,
    Priority,
    Source,
)
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind
from wedsync.model.merge import MERGED_TYPES

_EVENT, _PAYMENT = ItemKind.TIMELINE_EVENT, ItemKind.PAYMENT
_FIELDS = {_EVENT: ("title", "location", "notes", "tags"), _PAYMENT: ("amount", "status", "memo")}
_LANES = (Priority.NORMAL,) * 8 + (Priority.CRITICAL, Priority.BULK, Priority.EMERGENCY)


def a_value(chance: Random, path: str, present: FieldValue) -> FieldValue:
    """Return what somebody may want the field to be; values recur, so that some agree by accident."""
    match path:
        case "tags":
            return tuple(sorted(chance.sample("abcd", chance.randrange(4)))) or None
        case "notes":
            lines = str(present or "one\ntwo\nthree").split("\n")
            lines[chance.randrange(len(lines))] = f"line {chance.randrange(5)}"
            return "\n".join(lines)
        case "amount":
            return f"{100 + chance.randrange(4)} USD"
        case "status":
            return chance.choice(("planned", "pending", "paid"))
        case _:
            return f"{path} {chance.randrange(4)}"


class Author:
    """Whoever sends changes. What is sent is repeated with the same ids until it is answered or given up."""

    patient = True
    """Whether it asks until it is answered."""

    def __init__(self, name: str, chance: Random, gateway: Gateway) -> None:
        self.name, self.chance, self.gateway = name, chance, gateway
        self.source = Source(organization_id="studio", actor=name)
        self.sent: list[tuple[str, Change]] = []

    def changes(self, wedding_id: str) -> list[Change]:
        """Return some changes of different items to send together; none where there is nothing to do."""
        found: dict[str, Change] = {}
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            change = self.edit(wedding_id)
            if change is not None:
                found.setdefault(change.item_id, change)
        self.sent += [(wedding_id, change) for change in found.values()]
        return list(found.values())

    def edit(self, wedding_id: str) -> Change | None:
        """Return a change."""
        raise NotImplementedError

    def told(self, wedding_id: str, change: Change, result: ChangeResult | None) -> None:
        """Learn what became of a change, or give it up."""

    def some_item(self, wedding_id: str) -> ItemState | None:
        """Return an item that everybody may know of."""
        items = [item for _, item in self.gateway.items.get(wedding_id, {}).values() if item.kind in _FIELDS]
        return self.chance.choice(items) if items else None

    def change(self, kind: ChangeKind, item_id: str, item_kind: ItemKind, **but: object) -> Change:
        """Return a change of this author's."""
        known: dict[str, object] = {
            "change_id": f"{self.name}-{len(self.sent)}-{self.chance.randrange(10**6)}",
            "item_id": item_id,
            "item_kind": item_kind,
            "kind": kind,
            "source": self.source,
            "priority": self.chance.choice(_LANES),
        }
        return Change(**{**known, **but})  # type: ignore[arg-type]

    def birth(self, wedding_id: str) -> Change:
        """Return the creation of an item."""
        kind = self.chance.choice((_EVENT, _EVENT, _PAYMENT))
        item_id = f"{wedding_id}/{self.name}/{len(self.sent)}"
        values = {path: a_value(self.chance, path, None) for path in _FIELDS[kind]}
        return self.change(ChangeKind.CREATE, item_id, kind, values=values)

    def paths(self, kind: ItemKind) -> list[str]:
        """Return some fields to edit."""
        return self.chance.sample(_FIELDS[kind], self.chance.choice((1, 1, 2)))


class Person(Author):
    """Edits what it sees; names the revision it saw, or insists; gives up after a while."""

    patient = False

    def edit(self, wedding_id: str) -> Change | None:
        """Return an edit, mostly of something that is there."""
        dice, item = self.chance.random(), self.some_item(wedding_id)
        if self.sent and dice < 0.06:
            return self._said_again(wedding_id) if dice < 0.04 else self._made_in_hope(wedding_id)
        if item is None or dice < 0.16:
            return self.birth(wedding_id)
        seen = None if self.chance.random() < 0.4 else self._seen(wedding_id)
        if dice < 0.26:
            kind = ChangeKind.RESTORE if item.deleted else ChangeKind.DELETE
            return self.change(kind, item.item_id, item.kind, default_base=seen)
        values = {path: a_value(self.chance, path, item.value(path)) for path in self.paths(item.kind)}
        return self.change(ChangeKind.UPDATE, item.item_id, item.kind, values=values, default_base=seen)

    def _made_in_hope(self, wedding_id: str) -> Change | None:
        """Return an edit of something whose creation may not have been answered yet, or was refused."""
        births = [c for where, c in self.sent[-20:] if where == wedding_id and c.kind is ChangeKind.CREATE]
        if not births:
            return None
        made = births[-1]
        values = {path: a_value(self.chance, path, None) for path in self.paths(made.item_kind)}
        return self.change(ChangeKind.UPDATE, made.item_id, made.item_kind, values=values)

    def _seen(self, wedding_id: str) -> int:
        newest = max(sequence for sequence, _ in self.gateway.items[wedding_id].values())
        return max(0, newest - self.chance.randrange(4))

    def _said_again(self, wedding_id: str) -> Change | None:
        """Return a change under an id that was used before: the same, or by mistake another one."""
        where, change = self.chance.choice(self.sent)
        if where != wedding_id:
            return None
        if self.chance.random() < 0.5 or not change.values:
            return change
        other = {path: a_value(self.chance, path, None) for path in change.values}
        return self.change(
            change.kind, change.item_id, change.item_kind, change_id=change.change_id, values=other
        )


@dataclass(slots=True)
class Shadow:
    """What a vendor's record showed or confirmed, field by field, and as of which revision."""

    fields: dict[str, tuple[FieldValue, int]] = field(default_factory=dict)
    gone: bool = False


class Vendor(Author):
    """A vendor's system as the gateway speaks for it: bases per field, the same bytes until answered."""

    def __init__(self, name: str, chance: Random, gateway: Gateway, *, category: str | None = None) -> None:
        super().__init__(name, chance, gateway)
        self._category = category
        self._shadows: dict[tuple[str, str], Shadow] = {}
        self._busy: set[tuple[str, str]] = set()
        """Records of which something is under way: the next comes after its answer."""

    def edit(self, wedding_id: str) -> Change | None:
        """Return what the vendor's people did to one of its records."""
        change = self._edit(wedding_id)
        if change is None:
            return None
        self._busy.add((wedding_id, change.item_id))
        return self._said_by_its_record(change)

    def _edit(self, wedding_id: str) -> Change | None:
        dice, item = self.chance.random(), self.some_item(wedding_id)
        if item is None or dice < 0.12:
            change = self.birth(wedding_id)
            self._shadow(wedding_id, change.item_id).fields = {p: (v, 0) for p, v in change.values.items()}
            return change
        shadow = self._shadow(wedding_id, item.item_id)
        if (wedding_id, item.item_id) in self._busy:
            return None
        if self.chance.random() < 0.7:
            self._deliver(shadow, item)
        if shadow.gone or not shadow.fields:
            return None
        return self._of_record(shadow, item, gone=dice < 0.18)

    def _of_record(self, shadow: Shadow, item: ItemState, *, gone: bool) -> Change:
        if gone:
            shadow.gone = True
            told = (LIFE, *_FIELDS[item.kind])
            base = {path: shadow.fields[path][1] if path in shadow.fields else 0 for path in told}
            return self.change(ChangeKind.DELETE, item.item_id, item.kind, base=base)
        shown = {path: shadow.fields.get(path, (None, 0)) for path in self.paths(item.kind)}
        values = {path: a_value(self.chance, path, before) for path, (before, _) in shown.items()}
        shadow.fields |= {path: (value, shown[path][1]) for path, value in values.items()}
        return self.change(
            ChangeKind.UPDATE,
            item.item_id,
            item.kind,
            values=values,
            base={path: revision for path, (_, revision) in shown.items()},
            base_values=dict(self._merged(item.kind, shown)),
        )

    def _merged(
        self, kind: ItemKind, shown: dict[str, tuple[FieldValue, int]]
    ) -> Iterator[tuple[str, FieldValue]]:
        for path, (before, _) in shown.items():
            if CATALOGUE[kind][path].type in MERGED_TYPES:
                yield path, before

    def _said_by_its_record(self, change: Change) -> Change:
        through = {"link_id": self.name, "vendor": self.name, "record_id": change.item_id}
        source = Source(organization_id="studio", actor="sync", category=self._category, **through)
        return replace(change, source=source)

    def _deliver(self, shadow: Shadow, item: ItemState) -> None:
        """Bring the vendor's record to the canonical state, but for the fields that are held for it."""
        states = {LIFE: item.life, **item.fields}
        free = {
            path: (state.value, state.revision)
            for path, state in states.items()
            if state.collision is None or self.name not in state.collision.held_links
        }
        shadow.fields |= free
        shadow.gone = item.deleted

    def told(self, wedding_id: str, change: Change, result: ChangeResult | None) -> None:
        """A base advances only for what was taken as the vendor shows it."""
        self._busy.discard((wedding_id, change.item_id))
        shadow = self._shadow(wedding_id, change.item_id)
        for said in result.fields if result else ():
            if said.outcome is Outcome.APPLIED and shadow.fields.get(said.path, (None,))[0] == said.proposed:
                shadow.fields[said.path] = (said.proposed, said.revision)

    def _shadow(self, wedding_id: str, item_id: str) -> Shadow:
        return self._shadows.setdefault((wedding_id, item_id), Shadow())


class Manager(Author):
    """Pauses a wedding, and has it go on with the next thing it does."""

    _paused = False

    def changes(self, wedding_id: str) -> list[Change]:
        """Return the begin of a pause, or the end of one."""
        self._paused = not self._paused
        request_id = f"{self.name}-{len(self.sent)}"
        change = (
            pausing(wedding_id, request_id, "a storm", self.source, "")
            if self._paused
            else resuming(wedding_id, request_id, self.source, "")
        )
        self.sent.append((wedding_id, change))
        return [change]


class Decider(Author):
    """The conflicts service: its decisions name the revision they are about."""

    def __init__(self, name: str, chance: Random, gateway: Gateway, conflicts: Conflicts) -> None:
        super().__init__(name, chance, gateway)
        self._conflicts = conflicts

    def edit(self, wedding_id: str) -> Change | None:
        """Return the decision about something that people disagree about."""
        waiting = [known for known in self._conflicts.undecided if known.wedding_id == wedding_id]
        if not waiting:
            return None
        about = self.chance.choice(waiting)
        self._conflicts.undecided.remove(about)
        value = about.proposed if self.chance.random() < 0.5 else about.current
        base = {about.path: about.as_of}
        if about.path == LIFE:
            kind = ChangeKind.DELETE if value else ChangeKind.RESTORE
            return self.change(kind, about.item_id, about.kind, base=base)
        return self.change(
            ChangeKind.UPDATE, about.item_id, about.kind, values={about.path: value}, base=base
        )


def everybody(chance: Random, gateway: Gateway, conflicts: Conflicts) -> list[Author]:
    """Return the authors of a seed, but for the manager."""
    return [
        Vendor("crm", chance, gateway),
        Vendor("calendar", chance, gateway),
        Vendor("processor", chance, gateway, category=PAYMENT_PROCESSOR),
        Person("ada", chance, gateway),
        Person("grace", chance, gateway),
        Decider("conflicts", chance, gateway, conflicts),
    ]
