"""What did the vendor change? An observed record against its shadow and our own writes. Pure.

Each observed field is compared with the shadow and with every intent whose outcome is unknown, the
recently superseded ones included: equal to one of them is an echo of ours, the rest is the vendor's
doing. A confirmed intent is not compared: the shadow holds its value already, and a person who sets
the value of last week again means it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.gateway.records import Intent, IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ChangeKind, ItemState
from wedsync.model.items import CATALOGUE, LIFE, FieldSpec, FieldType, FieldValue

# A vendor that loses more than this many records of a link at once, and more than this share of
# them, is broken until a human says otherwise.
WIPE_RECORDS, WIPE_SHARE = 5, 0.5

_MERGED = (FieldType.TAGS, FieldType.LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an observed record means: the shadow it leaves, and the change it asks for, if any."""

    shadow: Shadow
    change: ChangeKind | None = None
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    base: Mapping[str, int] = field(default_factory=dict)
    base_values: Mapping[str, FieldValue] = field(default_factory=dict)
    """What the vendor's people had before them when they edited a set or lines of text."""

    @property
    def learned(self) -> bool:
        """Whether the vendor showed something that is not an echo."""
        return self.change is not None


def observe(
    shadow: Shadow,
    intents: Sequence[Intent],
    record: VendorRecord | None,
    rules: Mapping[str, FieldRule],
    item: ItemState | None = None,
) -> Observation:
    """Compare the record as the vendor shows it (None: it says the record is gone) with what we know.

    `item` is what the wedding has: a record that is seen for the first time and stands for something the
    wedding has already is no birth, and says nothing where both show the same or the vendor shows nothing.
    """
    if record is None:
        return _gone(shadow, intents, rules)
    first = not shadow.present and not any(intent.kind is IntentKind.CREATE for intent in intents)
    joins = first and shadow.record_id is None and item is not None and not item.deleted
    if joins and item is not None:
        shadow = replace(shadow, fields=_agreed(item, record, rules))
    seen = _Comparison(shadow, intents, rules, CATALOGUE[record.kind])
    for path, value in record.fields.items():
        seen.compare(path, value)
    after = replace(
        shadow,
        kind=record.kind,
        record_id=record.record_id,
        version=record.version,
        gone=False,
        fields=seen.fields,
        generation=shadow.generation + 1,
    )
    return seen.observation(after, first=first and not joins)


def _agreed(item: ItemState, record: VendorRecord, rules: Mapping[str, FieldRule]) -> dict[str, Shown]:
    """Return what is nobody's edit: what the wedding has too, and what the vendor leaves empty."""
    known = {path: value for path, value in record.fields.items() if path in rules}
    empty = {path: Shown(value=None, revision=0) for path, value in known.items() if value is None}
    alike = {
        path: Shown(value=value, revision=item.fields[path].revision)
        for path, value in known.items()
        if path in item.fields and rules[path].equivalent(item.fields[path].value, value)
    }
    return empty | alike


def moved(shadow: Shadow, record: VendorRecord, rules: Mapping[str, FieldRule]) -> bool:
    """Say whether a listed record shows anything its shadow does not: worth a look of its own."""
    if not shadow.present:
        return True
    return any(
        path not in shadow.fields or _differs(rules[path], shadow.fields[path].value, value)
        for path, value in record.fields.items()
        if path in rules and rules[path].readable
    )


def _differs(rule: FieldRule, shown: FieldValue, value: FieldValue) -> bool:
    """Say whether a value is news. A step back is none: the vendor gave us an old answer."""
    return not rule.equivalent(shown, value) and not rule.goes_back(shown, value)


def is_wipe(known: int, missing: int) -> bool:
    """Say whether so many absences at once mean that the vendor is broken, not that they were deleted."""
    return missing > WIPE_RECORDS and missing > known * WIPE_SHARE


def echoed(
    intents: Sequence[Intent], record: VendorRecord | None, rules: Mapping[str, FieldRule]
) -> list[str]:
    """Return the intents that the vendor shows as carried out."""
    if record is None:
        return [intent.intent_id for intent in intents if intent.kind is IntentKind.DELETE]
    return [intent.intent_id for intent in intents if _carried_out(intent, record, rules)]


def _carried_out(intent: Intent, record: VendorRecord, rules: Mapping[str, FieldRule]) -> bool:
    return intent.kind is not IntentKind.DELETE and all(
        path in rules and path in record.fields and rules[path].equivalent(shown.value, record.fields[path])
        for path, shown in intent.values.items()
    )


class _Comparison:
    """The fields of one record, compared one by one."""

    def __init__(
        self,
        shadow: Shadow,
        intents: Sequence[Intent],
        rules: Mapping[str, FieldRule],
        specs: Mapping[str, FieldSpec],
    ) -> None:
        self.fields = dict(shadow.fields)
        self._shadow, self._intents, self._rules, self._specs = shadow, intents, rules, specs
        self._values: dict[str, FieldValue] = {}
        self._base: dict[str, int] = {}
        self._before: dict[str, FieldValue] = {}

    def compare(self, path: str, value: FieldValue) -> None:
        rule = self._rules.get(path)
        shown = self._shadow.fields.get(path)
        if rule is None or (shown is not None and not _differs(rule, shown.value, value)):
            return
        if (ours := self._echo(path, value, rule)) is not None:
            self.fields[path] = Shown(value=value, revision=ours.revision)
            return
        if not rule.readable:
            return
        if self._filled_in(path):
            self.fields[path] = Shown(value=value, revision=0)
            return
        base = shown.revision if shown else 0
        self._values[path], self._base[path] = value, base
        if shown is not None and self._specs[path].type in _MERGED:
            self._before[path] = shown.value
        self.fields[path] = Shown(value=value, revision=base)

    def _echo(self, path: str, value: FieldValue, rule: FieldRule) -> Shown | None:
        written = (intent.values.get(path) for intent in self._intents)
        matching = [shown for shown in written if shown and rule.equivalent(shown.value, value)]
        return max(matching, key=lambda shown: shown.revision, default=None)

    def _filled_in(self, path: str) -> bool:
        """Say whether the vendor itself filled in a field that our own create left out."""
        creates = [intent for intent in self._intents if intent.kind is IntentKind.CREATE]
        return not self._shadow.present and bool(creates) and not any(path in c.values for c in creates)

    def observation(self, after: Shadow, *, first: bool) -> Observation:
        if first:
            life = self.fields.pop(LIFE, None)
            base = {**self._base, **({LIFE: life.revision} if life else {})}
            told = {path: value for path, value in self._values.items() if value is not None}
            fields = replace(after, fields=self.fields)
            return Observation(shadow=fields, change=ChangeKind.CREATE, values=told, base=base)
        if not self._values:
            return Observation(shadow=after)
        return Observation(
            shadow=after,
            change=ChangeKind.UPDATE,
            values=self._values,
            base=self._base,
            base_values=self._before,
        )


def _gone(shadow: Shadow, intents: Sequence[Intent], rules: Mapping[str, FieldRule]) -> Observation:
    after = replace(shadow, gone=True, generation=shadow.generation + 1)
    if not shadow.present or any(intent.kind is IntentKind.DELETE for intent in intents):
        return Observation(shadow=after)
    # Of a field the vendor is never told, no newer value was there to be seen.
    told = [LIFE, *(path for path, rule in rules.items() if rule.writable)]
    base = {path: shadow.fields[path].revision if path in shadow.fields else 0 for path in told}
    return Observation(shadow=after, change=ChangeKind.DELETE, base=base)
