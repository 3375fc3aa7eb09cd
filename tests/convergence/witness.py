"""Who watches while it happens: nobody's edit is overwritten by who had not seen it, or never told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from services.gateway.records import IntentKind, Link
from services.gateway.store.leases import INTENT_SECONDS
from services.gateway.vendors.field_rules import FieldRule
from services.sync.wedding import LoggedChange
from tests.convergence.canon import Canon
from tests.convergence.habits import alike, is_before
from tests.convergence.tables import Tables
from tests.convergence.vendor import Touch, VendorSystem
from wedsync.model.changes import Change, ChangeKind, FieldResult, FieldState, Outcome
from wedsync.model.items import CATALOGUE, FieldValue
from wedsync.model.values import nearest


@dataclass(slots=True)
class _Written:
    """What people last wrote into a field, and when."""

    value: FieldValue
    known: FieldValue
    """What stood there before, as far as anybody had been told."""
    instead_of: FieldValue
    """What its author had before their eyes."""
    asked: int
    """How many changes had been proposed by then."""
    version: int


@dataclass
class Witness:
    """Of one link and its vendor."""

    canon: Canon
    tables: Tables
    link: Link
    system: VendorSystem
    wrong: list[str] = field(default_factory=list)
    _shown: dict[str, list[tuple[float, Mapping[str, FieldValue]]]] = field(default_factory=dict)
    _by_us: dict[tuple[str, str], list[FieldValue]] = field(default_factory=dict)
    _by_people: dict[tuple[str, str], list[FieldValue]] = field(default_factory=dict)
    _written: dict[tuple[str, str], _Written] = field(default_factory=dict)

    def touched(self, touch: Touch) -> None:
        """See what became of a record at the vendor."""
        now, record_id = self.canon.around.loop.time(), touch.record.record_id
        if touch.by_people:
            self._note(touch)
        else:
            self._note_ours(touch)
            self.wrong += [f"{self.system.name}: {words}" for words in self._lost(touch)]
        if touch.after is not None:
            self._shown.setdefault(record_id, []).append((now, touch.after))

    def asked(self, change: Change) -> None:
        """See a change on its way: what only we have written at a vendor is nobody's edit there."""
        if change.source.link_id != self.link.link_id:
            return
        for path, value in change.values.items():
            place = (change.source.record_id or "", path)
            if (written := self._written.get(place)) is not None:
                written.known = value
            if change.kind is not ChangeKind.UPDATE:
                continue
            ours, theirs = self._by_us.get(place, []), self._by_people.get(place, [])
            if value in ours and value not in theirs:
                self.wrong.append(
                    f"{self.system.name}: our own {path} of {place[0]} came back as an edit: {value!r}"
                )

    def logged(self, entry: LoggedChange) -> None:
        """See what became of a change."""
        source = entry.change.source
        if source.link_id != self.link.link_id or entry.before is None:
            return
        for result in entry.result.fields:
            state = entry.before.fields.get(result.path)
            if state is not None and result.outcome is Outcome.APPLIED and result.previous != result.proposed:
                self._require_seen(source.record_id or "", result, state, entry)

    def _require_seen(
        self, record_id: str, result: FieldResult, state: FieldState, entry: LoggedChange
    ) -> None:
        kind, path = entry.item.kind, result.path
        rule = self.system.rules(kind).fields[path]
        if state.source.same_record(entry.change.source):
            if is_before(rule, result.proposed, state.value):
                self.wrong.append(
                    f"{self.system.name}: {path} of {record_id} went back to {result.proposed!r}"
                )
            return
        wanted = self.system.habits.hold(kind, path, rule, state.value)
        shown = [*self._since(record_id, self.canon.committed_at[state.revision], path)]
        if (written := self._written.get((record_id, path))) is not None:
            shown.append(written.instead_of)
        if state.value is None and self.system.filled_in(kind).get(path) in shown:
            return
        if not any(alike(rule, wanted, nearest(kind, path, value)) for value in shown):
            said = f"{path} of {record_id} became {result.proposed!r} in place of {state.value!r}"
            self.wrong.append(f"{self.system.name}: {said}, which it had never shown")

    def _since(self, record_id: str, since: float, path: str) -> Iterator[FieldValue]:
        """Yield what the record has shown of a field at and after a moment."""
        history = self._shown.get(record_id, [])
        for place, (_, fields) in enumerate(history):
            if place + 1 == len(history) or history[place + 1][0] >= since:
                yield fields.get(path)

    def _note(self, touch: Touch) -> None:
        for path, value in (touch.after or {}).items():
            if touch.before is None or touch.before.get(path) != value:
                shown = nearest(touch.record.kind, path, value)
                self._by_people.setdefault((touch.record.record_id, path), []).append(shown)
            if self._rule(touch, path).readable:
                self._note_field(touch, path, value)

    def _before(self, touch: Touch) -> Mapping[str, FieldValue]:
        """Return what stood there before; back from the bin, that is what stood there when it went."""
        history = self._shown.get(touch.record.record_id)
        copied = touch.after if touch.record.marker else {}  # nobody wrote what is in a copy
        return touch.before or (history[-1][1] if history else copied) or {}

    def _note_ours(self, touch: Touch) -> None:
        """Keep what the vendor took as it was sent; what it made of the rest may look like anybody's."""
        for path, value in touch.sent.items():
            if path in (touch.after or {}):
                after = (touch.after or {})[path]
                kept = self._by_us if self._same(touch, path, value, after) else self._by_people
                shown = nearest(touch.record.kind, path, after)
                kept.setdefault((touch.record.record_id, path), []).append(shown)

    def _note_field(self, touch: Touch, path: str, value: FieldValue) -> None:
        key, before = (touch.record.record_id, path), self._before(touch).get(path)
        if self._same(touch, path, before, value):
            return
        earlier = self._written.pop(key, None)
        known = earlier.known if earlier and not self._told(touch, path, earlier) else before
        if not self._same(touch, path, known, value):  # else it is as it was known to be
            self._written[key] = _Written(
                value=value,
                known=known,
                instead_of=known,
                asked=len(self.canon.asked),
                version=touch.record.version,
            )

    def _lost(self, touch: Touch) -> Iterator[str]:
        """Yield what people had written that our write took away although nobody had been told of it."""
        for path, before in (touch.before or {}).items():
            after = touch.after[path] if touch.after is not None else None
            written = self._written.pop((touch.record.record_id, path), None) if after != before else None
            if written is None or self._same(touch, path, before, after):
                continue
            if self._same(touch, path, before, written.known):
                continue  # it was told, or it is as it was when it was
            if before is None and CATALOGUE[touch.record.kind][path].required:
                continue  # nobody can keep that
            unseen = touch.seen is not None and touch.seen < written.version
            if not (
                unseen or self._told(touch, path, written) or self._looks_like_ours(touch, path, written)
            ):
                yield f"what people wrote is lost: {path} of {touch.record.record_id} was {before!r}"

    def _told(self, touch: Touch, path: str, written: _Written) -> bool:
        """Say whether the value was proposed since it was written."""
        return any(
            change.source.link_id == self.link.link_id
            and change.source.record_id == touch.record.record_id
            and (path in change.values or change.kind is ChangeKind.CREATE)
            and self._same(touch, path, change.values.get(path), written.value)
            for change in self.canon.asked[written.asked :]
        )

    def _looks_like_ours(self, touch: Touch, path: str, written: _Written) -> bool:
        """Say whether nobody could tell it from a write of ours whose answer was never heard."""
        since = self.canon.around.loop.time() - INTENT_SECONDS
        known = {
            place
            for place, shadow in self.tables.shadows.items()
            if shadow.record_id == touch.record.record_id
        }
        places = known | {(self.link.link_id, touch.record.marker or "")}
        recent = [
            row.intent
            for row in self.tables.intents
            if row.place in places and self.tables.intended_at[row.intent.intent_id] > since
        ]
        same = (
            self._same(touch, path, intent.values[path].value, written.value)
            for intent in recent
            if path in intent.values
        )
        left_out = (intent.kind is IntentKind.CREATE and path not in intent.values for intent in recent)
        return any(same) or any(left_out)

    def _same(self, touch: Touch, path: str, a: FieldValue, b: FieldValue) -> bool:
        kind = touch.record.kind
        return alike(self._rule(touch, path), nearest(kind, path, a), nearest(kind, path, b))

    def _rule(self, touch: Touch, path: str) -> FieldRule:
        return self.system.rules(touch.record.kind).fields[path]
