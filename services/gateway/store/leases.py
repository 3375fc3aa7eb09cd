"""One vendor record at a time: its lease, its shadow, our intents, and what is committed under it.

Many records are worked on at once, so what is asked for at the same time is one transaction.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from services.gateway.records import Intent, IntentKind, Link, RecordKey, Shadow
from services.gateway.store import leases_sql as sql
from services.gateway.store.blobs import pack_fields, unpack, unpack_fields
from services.gateway.store.sql import records
from wedsync.errors import StaleRevision
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Asked
from wedsync.runtime.together import Together

LEASE_SECONDS = 20
"""Longer than the slowest vendor call; what a crash leaves behind is free again after it."""

INTENT_SECONDS = 600
"""How long a write of unknown outcome may still land at the vendor; then an equal value is an edit."""


@dataclass(slots=True)
class Hold:
    """Whether a record is still ours, as far as this process knows."""

    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A leased record and everything needed to decide about it."""

    key: RecordKey
    token: str
    shadow: Shadow
    intents: Sequence[Intent]
    pending: bool
    """A change of this record is on its way, or its commit is not in the projection yet: what it did is
    not known, and a write would undo it."""
    item: ItemState | None
    sequence: int
    """The newest commit the projection of the item has seen."""
    hold: Hold = field(default_factory=Hold, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The item that a vendor's record stands for, and the record if nobody else has it."""

    item_id: str
    held: Held | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    key: RecordKey
    kind: ItemKind
    token: str


@dataclass(frozen=True, slots=True)
class _Named:
    link: Link
    record_id: str
    token: str

    @property
    def row(self) -> dict[str, str]:
        return {"link_id": self.link.link_id, "record_id": self.record_id, "token": self.token}


class RecordLeases:
    """Serialises inbound comparison and outbound write of each vendor record, across replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._take = Together[_Wanted, Held | None](self._take_all)
        self._take_known = Together[_Named, Known | None](self._take_all_known)
        self._release = Together[Held, None](self._release_all)
        self._intend = Together[tuple[Held, Intent], None](self._intend_all)

    async def take(self, key: RecordKey, kind: ItemKind) -> Held | None:
        """Lease the record; None while somebody else has it."""
        return await self._take(_Wanted(key=key, kind=kind, token=new_id()))

    async def take_known(self, link: Link, record_id: str) -> Known | None:
        """Lease a record by the vendor's name for it; None where it was never seen."""
        return await self._take_known(_Named(link, record_id, new_id()))

    async def peek(self, key: RecordKey, kind: ItemKind) -> Held:
        """Return the same without the lease, to see what would be decided; nothing can be saved with it."""
        names = {"link_id": key.link_id, "item_id": key.item_id}
        peeked, context = await self._database.run((sql.PEEK, names), _context([key]), **scope_of([key]))
        unknown = Shadow(link_id=key.link_id, item_id=key.item_id, kind=kind)
        shadow = shadow_from(peeked[0]) if peeked else unknown
        intents = await self._intents(context, [key])
        return _held(key, "", shadow, context[0], intents)

    async def release(self, held: Held) -> None:
        """Give the record back; harmless after the lease ran out, and where it was committed and released."""
        if not held.hold.released:
            await self._release(held)

    async def intend(self, held: Held, intent: Intent) -> None:
        """Commit what is about to be written. Raises `StaleRevision` if the lease is lost."""
        await self._intend((held, intent))

    async def _take_all(self, wanted: Sequence[_Wanted]) -> list[Held | Exception | None]:
        # Of those who want the same record at the same time, the first gets it.
        firsts = {_place(each.key): each for each in reversed(wanted)}
        keys = [each.key for each in firsts.values()]
        asked = {**records(_fresh(each) for each in firsts.values()), "seconds": LEASE_SECONDS}
        leased, context = await self._database.run((sql.LEASE, asked), _context(keys), **scope_of(keys))
        shadows = {_place_in(row): shadow_from(row) for row in leased}
        contexts = {_place_in(row): row for row in context}
        held_keys = [key for key in keys if _place(key) in shadows]
        intents = await self._intents([contexts[_place(key)] for key in held_keys], held_keys)

        def answer(each: _Wanted) -> Held | None:
            place = _place(each.key)
            if place not in shadows or firsts[place] is not each:
                return None
            return _held(each.key, each.token, shadows[place], contexts[place], intents)

        return [answer(each) for each in wanted]

    async def _take_all_known(self, wanted: Sequence[_Named]) -> list[Known | Exception | None]:
        firsts = {(each.link.link_id, each.record_id): each for each in reversed(wanted)}
        named = records(each.row for each in firsts.values())
        leased, context = await self._database.run(
            (sql.LEASE_KNOWN, {**named, "seconds": LEASE_SECONDS}),
            (sql.CONTEXT_OF_KNOWN, {**named, "recent": INTENT_SECONDS}),
            organizations={each.link.organization_id for each in wanted},
            weddings={each.link.wedding_id for each in wanted},
        )
        shadows = {_place_in(row): shadow_from(row) for row in leased}
        names = {(str(row["link_id"]), row["record_id"]): row for row in context}
        held = [row for row in context if _place_in(row) in shadows]
        intents = await self._intents(held, [_key_of(each.link, "") for each in firsts.values()])

        def answer(each: _Named) -> Known | None:
            place = each.link.link_id, each.record_id
            row = names.get(place)
            if row is None:
                return None
            shadow = shadows.get(_place_in(row))
            item_id = str(row["item_id"])
            if shadow is None or firsts[place] is not each:
                return Known(item_id=item_id, held=None)
            key = _key_of(each.link, item_id)
            return Known(item_id=item_id, held=_held(key, each.token, shadow, row, intents))

        return [answer(each) for each in wanted]

    async def _intents(self, contexts: Iterable[Mapping[str, Any]], keys: Sequence[RecordKey]) -> Any:
        """Read the intents there are: mostly none."""
        ids = [str(intent) for context in contexts for intent in context["intents"]]
        if not ids:
            return {}
        [found] = await self._database.run((sql.INTENTS, {"ids": ids}), **scope_of(keys))
        return {row["id"]: _intent(row) for row in found}

    async def _release_all(self, released: Sequence[Held]) -> list[Exception | None]:
        places = records({**_names(held.key), "token": held.token} for held in released)
        await self._database.run((sql.RELEASE, places), **scope_of(held.key for held in released))
        return [None] * len(released)

    async def _intend_all(self, intended: Sequence[tuple[Held, Intent]]) -> list[Exception | None]:
        rows = records(_intent_row(held, intent) for held, intent in intended)
        scope = scope_of(held.key for held, _ in intended)
        _, written = await self._database.run((sql.SUPERSEDE, rows), (sql.INTEND, rows), **scope)
        kept = {str(row["id"]) for row in written}
        return [None if intent.intent_id in kept else _lost_lease() for _, intent in intended]


def saved_row(held: Held, shadow: Shadow | None, intents: Sequence[str]) -> dict[str, Any]:
    """Return what `sql.saved` reads of one record; without a shadow the record is only released."""
    after = shadow or held.shadow
    return {
        **_names(held.key),
        "organization_id": held.key.organization_id,
        "wedding_id": held.key.wedding_id,
        "token": held.token,
        "saves": shadow is not None,
        "expected": held.shadow.generation,
        "kind": after.kind,
        "record_id": after.record_id,
        "version": after.version,
        "generation": after.generation,
        "gone": after.gone,
        "fields": pack_fields(after.fields) if shadow is not None else None,
        "intents": list(intents),
    }


def ended(all_held: Iterable[Held], done: Iterable[Mapping[str, Any]]) -> list[Exception | None]:
    """Return what became of each of the records that were to be saved; those that were are released."""
    kept = {_place_in(row) for row in done}
    return [_ended(held, kept) for held in all_held]


def _ended(held: Held, kept: Container[tuple[str, str]]) -> Exception | None:
    if _place(held.key) not in kept:
        return StaleRevision("The vendor record's shadow moved on.")
    held.hold.released = True
    return None


def scope_of(keys: Iterable[RecordKey]) -> dict[str, set[str]]:
    """Return the scope of a transaction about these records."""
    known = list(keys)
    return {
        "organizations": {key.organization_id for key in known},
        "weddings": {key.wedding_id for key in known},
    }


def shadow_from(row: Any) -> Shadow:
    """Return the shadow a row holds."""
    return Shadow(
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
        kind=ItemKind(row["kind"]),
        record_id=row["record_id"],
        version=row["version"],
        generation=row["generation"],
        gone=row["gone"],
        fields=unpack_fields(row["fields"]),
        expected=row["expected_record"] if row["record_id"] is None else None,
    )


def _lost_lease() -> StaleRevision:
    return StaleRevision("The lease of the vendor record ran out.")


def _context(keys: Sequence[RecordKey]) -> Asked:
    places = records({**_names(key), "wedding_id": key.wedding_id} for key in keys)
    return sql.CONTEXT, {**places, "recent": INTENT_SECONDS}


def _held(key: RecordKey, token: str, shadow: Shadow, context: Mapping[str, Any], intents: Any) -> Held:
    return Held(
        key=key,
        token=token,
        shadow=shadow,
        intents=[intents[intent] for intent in context["intents"]],
        pending=context["pending"],
        item=_item(context["item"]) if context["item"] is not None else None,
        sequence=context["sequence"],
    )


@lru_cache(maxsize=256)
def _item(blob: bytes) -> ItemState:
    # All links of a wedding look at the same item at the same time.
    return load_item(unpack(blob))


def _key_of(link: Link, item_id: str) -> RecordKey:
    return RecordKey(
        organization_id=link.organization_id,
        wedding_id=link.wedding_id,
        link_id=link.link_id,
        item_id=item_id,
    )


def _place(key: RecordKey) -> tuple[str, str]:
    return key.link_id, key.item_id


def _place_in(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["link_id"]), str(row["item_id"])


def _names(key: RecordKey) -> dict[str, Any]:
    return {"link_id": key.link_id, "item_id": key.item_id}


def _fresh(wanted: _Wanted) -> dict[str, Any]:
    return {
        **_names(wanted.key),
        "organization_id": wanted.key.organization_id,
        "wedding_id": wanted.key.wedding_id,
        "kind": wanted.kind,
        "fields": pack_fields({}),
        "token": wanted.token,
    }


def _intent_row(held: Held, intent: Intent) -> dict[str, Any]:
    return {
        **_names(held.key),
        "organization_id": held.key.organization_id,
        "token": held.token,
        "id": intent.intent_id,
        "kind": intent.kind,
        "fields": pack_fields(intent.values),
    }


def _intent(row: Any) -> Intent:
    return Intent(intent_id=str(row["id"]), kind=IntentKind(row["kind"]), values=unpack_fields(row["fields"]))
