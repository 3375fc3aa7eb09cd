"""What a vendor's record shows otherwise than the truth although nothing is left to write, and why. Pure.

It says which field and never what stands in it: these words are kept where values are not.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.gateway.records import Shadow, Shown
from services.gateway.vendors.field_rules import Equivalence, FieldRule, KindRule
from wedsync.model.changes import FieldState, ItemState
from wedsync.model.items import FieldValue

_LOSES = {
    Equivalence.EXACT: "as this vendor can hold it",
    Equivalence.MINUTE: "to the minute",
    Equivalence.TRIMMED: "without the space around it",
    Equivalence.SINGLE_LINE: "as one line",
    Equivalence.FLAG: "as no, where nothing is said",
    Equivalence.INSTANT: "by the clock of another zone",
    Equivalence.INSTANT_MINUTE: "to the minute, by the clock of another zone",
    Equivalence.PHONE: "in another way to write a telephone number",
}


def shortfall(item: ItemState, shadow: Shadow, rules: KindRule | None) -> str:
    """Return what the record lacks, empty where it shows everything this vendor keeps."""
    if rules is None or item.deleted or not shadow.present:
        return ""
    return "; ".join(sorted(_lacks(item, shadow, rules)))


def is_held(state: FieldState, link_id: str) -> bool:
    """Say whether the vendor is party to an open conflict about the field, and so not written to."""
    return state.collision is not None and link_id in state.collision.held_links


def untellable(choice: FieldValue) -> str:
    """Return why a choice that the vendor has no word for is not written."""
    return f"is {choice}, which this vendor can only be told by its own people"


def _lacks(item: ItemState, shadow: Shadow, rules: KindRule) -> Iterator[str]:
    for path, state in item.fields.items():
        rule, shown = rules.fields.get(path), shadow.fields.get(path)
        value = shown.value if shown else None
        if rule is not None and value != state.value:
            yield f"{path} {_why(state, shown, value, rule, shadow.link_id)}"


def _why(state: FieldState, shown: Shown | None, value: FieldValue, rule: FieldRule, link_id: str) -> str:
    if rule.equivalent(value, state.value):
        return f"is kept {_as_held(state.value, rule)}"
    if is_held(state, link_id):
        return "is in conflict, held until it is decided"
    if not rule.takes(state.value):
        return untellable(state.value)
    if not rule.writable:
        return "can only be set by this vendor's own people"
    if shown is not None and shown.stands_for(state.value):
        return "is kept as this vendor rewrote it"
    return "cannot be changed from outside"


def _as_held(value: FieldValue, rule: FieldRule) -> str:
    if isinstance(value, str) and rule.max_length is not None and len(value) > rule.max_length:
        return f"cut at {rule.max_length} characters"
    return _LOSES[rule.equivalence]
