"""Who hears the facts: the gateway with its projection of the truth, and the conflicts service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.sync.facts import Fact
from tests.simulation.surroundings import Surroundings
from wedsync.errors import InvalidRequest, Unavailable
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item, load_value
from wedsync.model.items import FieldValue, ItemKind

_LOST = 0.03
"""How often a hand-over arrives and its answer does not."""


class Receiver:
    """A service that facts are handed over to."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.heard: dict[str, int] = {}
        """How often each fact arrived."""
        self.away_until = self.picky_until = 0.0

    async def deliver(self, facts: Sequence[Fact]) -> None:
        """Take facts, all or none."""
        await self.around.way()
        now = self.around.loop.time()
        if now < self.away_until:
            raise Unavailable("it is away")
        if now < self.picky_until and any(fact.sequence % 5 == 2 for fact in facts):
            raise InvalidRequest("it does not take this one")
        for fact in facts:
            self.heard[fact.fact_id] = self.heard.get(fact.fact_id, 0) + 1
            self.take(fact)
        await self.around.way()
        if self.around.random() < _LOST and not self.around.faults.over:
            raise Unavailable("the answer was lost")

    def take(self, fact: Fact) -> None:
        """Do what is to be done about a fact."""


class Gateway(Receiver):
    """Keeps the newest state of every item, as vendors are told it."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.items: dict[str, dict[str, tuple[int, ItemState]]] = {}
        self.sequences: dict[str, set[int]] = {}

    def take(self, fact: Fact) -> None:
        """Take a newer state over; an older one arrives late."""
        item = load_item(fact.body["item"])
        known = self.items.setdefault(fact.wedding_id, {})
        self.sequences.setdefault(fact.wedding_id, set()).add(fact.sequence)
        if item.item_id not in known or known[item.item_id][0] < fact.sequence:
            known[item.item_id] = (fact.sequence, item)

    def item(self, wedding_id: str, item_id: str) -> ItemState | None:
        """Return the item as far as this has heard of it."""
        found = self.items.get(wedding_id, {}).get(item_id)
        return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A field that two sides disagree about, as the conflicts service is told."""

    wedding_id: str
    item_id: str
    kind: ItemKind
    path: str
    sequence: int
    as_of: int
    current: FieldValue
    proposed: FieldValue


class Conflicts(Receiver):
    """Keeps what people have to decide about."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.known: dict[tuple[str, str, str, int], Disagreement] = {}
        self.undecided: list[Disagreement] = []

    def take(self, fact: Fact) -> None:
        """Write every disagreement down, once."""
        for field in fact.body["fields"]:
            told = Disagreement(
                wedding_id=fact.wedding_id,
                item_id=fact.body["item"],
                kind=ItemKind(fact.body["kind"]),
                path=field["path"],
                sequence=field["seq"],
                as_of=fact.sequence,
                current=load_value(field["current"]),
                proposed=load_value(field["proposed"]),
            )
            key = (told.wedding_id, told.item_id, told.path, told.sequence)
            if key not in self.known:
                self.undecided.append(told)
            self.known[key] = told
