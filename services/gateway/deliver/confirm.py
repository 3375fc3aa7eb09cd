"""What the answers to what we sent teach us: the vendor's, and the sync service's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.gateway.deliver.plan import Write
from services.gateway.records import NOTHING, IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ChangeKind, ChangeResult, FieldResult, Outcome
from wedsync.model.items import LIFE


def written(
    shadow: Shadow, write: Write, record: VendorRecord | None, rules: Mapping[str, FieldRule]
) -> Shadow:
    """Return the shadow after the vendor took the write and showed the record (None: deleted)."""
    if record is None or write.kind is IntentKind.DELETE:
        fields = {**shadow.fields, LIFE: write.values[LIFE]}
        return replace(shadow, gone=True, fields=fields, generation=shadow.generation + 1)
    known = {} if write.kind is IntentKind.CREATE else dict(shadow.fields)
    for path, value in record.fields.items():
        ours = write.values.get(path) or write.unsaid.get(path)
        if ours is not None:
            known[path] = _confirmed(ours, value, rules.get(path))
        elif write.kind is IntentKind.CREATE:
            # The vendor's own default for a field we left out: seen, but nobody's edit.
            known[path] = Shown(value=value, revision=0)
    return replace(
        shadow,
        kind=record.kind,
        record_id=record.record_id,
        version=record.version,
        gone=False,
        fields=known,
        generation=shadow.generation + 1,
    )


def _confirmed(ours: Shown, value: object, rule: FieldRule | None) -> Shown:
    shown = value if isinstance(value, str | int | bool | tuple) else None
    if rule is not None and rule.equivalent(ours.value, shown):
        return Shown(value=shown, revision=ours.revision)
    return Shown(value=shown, revision=ours.revision, sent=NOTHING if ours.value is None else ours.value)


UNKNOWN_ITEM = "UNKNOWN_ITEM"
"""How the sync service refuses an edit of what it does not have."""

# A merged value is not the one the vendor shows: its base advances when the vendor has been told.
_TAKEN = {Outcome.APPLIED, Outcome.UNCHANGED, Outcome.DUPLICATE}


def settled(fields: Mapping[str, Shown], result: ChangeResult) -> dict[str, Shown]:
    """Return the shown fields with the base of every value that was taken advanced to its revision.

    Only where the vendor still shows what was proposed then: a base is what the vendor has seen. Of a
    record whose birth was refused before this edit of it came, nothing counts as seen: it is looked at anew.
    """
    if result.reason == UNKNOWN_ITEM:
        return {}
    taken = {field.path: field for field in result.fields if field.outcome in _TAKEN}
    return {path: _based(shown, taken.get(path)) for path, shown in fields.items()}


def agrees(fields: Mapping[str, Shown], kind: ChangeKind, result: ChangeResult) -> bool:
    """Say whether a record that shows these fields shows by this answer what the wedding has.

    That is so where every edited value was taken as it is shown. What else the wedding may have is told by
    other commits. A change of a record's life teaches more than its answer says, so it is looked at again.
    """
    return (
        kind is ChangeKind.UPDATE
        and result.outcome is Outcome.APPLIED
        and LIFE in fields
        and all(_is_agreed(fields.get(field.path), field) for field in result.fields)
    )


def _is_agreed(shown: Shown | None, field: FieldResult) -> bool:
    kept = field.outcome in {Outcome.APPLIED, Outcome.UNCHANGED}
    return kept and shown is not None and shown.value == field.proposed


def _based(shown: Shown, field: FieldResult | None) -> Shown:
    if field is None or shown.value != field.proposed or field.revision <= shown.revision:
        return shown
    return replace(shown, revision=field.revision)
