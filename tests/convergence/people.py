"""Who edits: people at each vendor in its own way, programs through the API, and the conflicts service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

from tests.convergence import values
from tests.convergence.canon import Canon
from tests.convergence.vendor import UNSPEAKABLE, VendorSystem
from wedsync.model.changes import ChangeKind, ItemState
from wedsync.model.items import CATALOGUE, FieldType, FieldValue, ItemKind

_ACTS = {"edit": 60, "add": 12, "remove": 8, "restore": 8, "copy": 3, "leave": 3, "return": 5}
_CALLS = {"update": 60, "create": 12, "delete": 8, "restore": 8, "decide": 12}
_MOST_RECORDS, _DEAR = 6, 0.7
_READ_ONLY, _UNSPEAKABLE, _FORGOTTEN = 0.05, 0.03, 0.1


@dataclass(frozen=True)
class People:
    """Everybody in one seed."""

    random: Random
    canon: Canon
    systems: Sequence[VendorSystem]
    dear: frozenset[str]
    """The fields that most edits are about: then more of them meet."""

    @classmethod
    def of(cls, random: Random, canon: Canon, systems: Sequence[VendorSystem]) -> Self:
        """Return everybody, with what is dear to them."""
        kinds = sorted({kind for system in systems for kind in system.manifest.kinds})
        dear = [path for kind in kinds for path in random.sample(list(CATALOGUE[kind]), 2)]
        return cls(random, canon, systems, frozenset(dear))

    def act(self) -> str:
        """Have somebody do something; return what."""
        place = self.random.randrange(len(self.systems) + 1)
        if place == len(self.systems):
            return f"a program: {self._call()}"
        system = self.systems[place]
        return f"{system.name}: {self._act(system)}"

    def edit_something(self) -> str:
        """Have one edit made of what is there, by anybody."""
        place = self.random.randrange(len(self.systems) + 1)
        if place < len(self.systems) and (done := self._edit(self.systems[place])):
            return f"{self.systems[place].name}: {done}"
        return f"a program: {self._update() or self._create()}"

    def decide_all(self) -> None:
        """Settle every disagreement."""
        for item, path, state in self.canon.collisions():
            self.canon.decide(item, path, state, take=self.random.random() < 0.5)

    def _act(self, system: VendorSystem) -> str:
        act = self.random.choices(list(_ACTS), list(_ACTS.values()))[0]
        here = [r for r, kept in system.records.items() if kept.in_scope]
        away = [r for r, kept in system.records.items() if not kept.in_scope]
        record_id = self.random.choice(here) if here else ""
        match act:
            case "restore" if system.binned:
                system.restore(kept := self.random.choice(system.binned))
                return f"{kept.record_id} is restored"
            case "return" if away:
                system.move(self.random.choice(away), in_scope=True)
            case "remove" if here:
                system.remove(record_id)
            case "copy" if here and len(here) < _MOST_RECORDS:
                system.copy(record_id)
            case "leave" if here:
                system.move(record_id, in_scope=False)
            case "edit" if here:
                return self._edit(system)
            case _ if len(here) < _MOST_RECORDS:
                return self._add(system)
        return f"{act} {record_id}"

    def _edit(self, system: VendorSystem) -> str:
        """Edit one or two fields of a record; nothing where there is none."""
        here = [r for r, kept in system.records.items() if kept.in_scope]
        if not here:
            return ""
        record_id = self.random.choice(here)
        written = self._written(system, system.records[record_id].kind, self.random.choice((1, 1, 2)))
        system.edit(record_id, written)
        return f"{record_id} becomes {written}"

    def _add(self, system: VendorSystem) -> str:
        kind = self.random.choice(list(system.manifest.kinds))
        written = {**self._needed(kind), **self._written(system, kind, 3)}
        record_id = system.add(kind, written, writable=self.random.random() > _READ_ONLY)
        return f"{record_id} is made: {written}"

    def _written(self, system: VendorSystem, kind: ItemKind, fields: int) -> dict[str, FieldValue]:
        """Return what people write; into what is only for us they write nothing."""
        paths = [path for path, rule in system.rules(kind).fields.items() if rule.readable]
        return {path: values.typed(self.random, kind, path) for path in self._some(paths, fields)}

    def _some(self, paths: Sequence[str], number: int) -> list[str]:
        """Choose some fields, mostly those that are dear to everybody."""
        dear = [path for path in paths if path in self.dear]
        chosen = dear if dear and self.random.random() < _DEAR else paths
        return self.random.sample(chosen, min(number, len(chosen)))

    def _needed(self, kind: ItemKind) -> dict[str, FieldValue]:
        """Return what nothing of the kind can be without, which people forget now and then all the same."""
        needed = {
            path: values.typed(self.random, kind, path) for path, s in CATALOGUE[kind].items() if s.required
        }
        return {} if self.random.random() < _FORGOTTEN else needed

    def _call(self) -> str:
        call = self.random.choices(list(_CALLS), list(_CALLS.values()))[0]
        match call:
            case "delete" | "restore" if (item := self._item()) is not None:
                kind = ChangeKind.DELETE if call == "delete" else ChangeKind.RESTORE
                self.canon.edit(kind, item.item_id, item.kind, base=self._base())
                return f"{call} {item.item_id}"
            case "decide" if collisions := self.canon.collisions():
                item, path, state = self.random.choice(collisions)
                self.canon.decide(item, path, state, take=self.random.random() < 0.5)
                return f"decides about {path}"
            case "update" if done := self._update():
                return done
            case _ if len(self.canon.wedding.items) < _MOST_RECORDS:
                return self._create()
        return "nothing"

    def _update(self) -> str:
        item = self._item()
        if item is None:
            return ""
        sent = self._sent(item.kind, self.random.choice((1, 1, 2)))
        self.canon.edit(ChangeKind.UPDATE, item.item_id, item.kind, sent, base=self._base())
        return f"update {sent}"

    def _create(self) -> str:
        kinds = sorted({kind for system in self.systems for kind in system.manifest.kinds})
        kind = self.random.choice(kinds)
        needed = {path: values.sent(self.random, kind, path) for path in self._needed(kind)}
        sent = {**self._sent(kind, 3), **needed}
        number = len(self.canon.wedding.items)
        self.canon.edit(ChangeKind.CREATE, f"00000000-0000-4000-8000-{number:012d}", kind, sent)
        return f"create {sent}"

    def _sent(self, kind: ItemKind, fields: int) -> dict[str, FieldValue]:
        paths = self._some(list(CATALOGUE[kind]), fields)
        sent = {path: values.sent(self.random, kind, path) for path in paths}
        texts = [path for path in paths if CATALOGUE[kind][path].type is FieldType.TEXT]
        if texts and self.random.random() < _UNSPEAKABLE:
            sent[texts[0]] = UNSPEAKABLE
        return sent

    def _item(self) -> ItemState | None:
        items = list(self.canon.wedding.items.values())
        return self.random.choice(items) if items else None

    def _base(self) -> int | None:
        """Programs mostly insist; the others say what they had seen, perhaps some time ago."""
        if self.random.random() < 0.6:
            return None
        return max(0, self.canon.wedding.sequence - self.random.randrange(4))
