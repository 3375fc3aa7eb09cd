"""What does a vendor's record need to be in the canonical state? Pure.

Level-triggered: it looks at the difference between the projection and the shadow only, never at
which change made the delivery due. So ten edits cost one write, and order cannot go wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.gateway.records import IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import FieldRule, KindRule
from wedsync.model.changes import FieldState, ItemState
from wedsync.model.items import LIFE, FieldValue

NOTHING_TO_DO, HELD, DELIVERED, PARKED = "nothing_to_do", "held", "delivered", "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write to a vendor: what to do, and the values with the revisions they stand for."""

    kind: IntentKind
    values: Mapping[str, Shown] = field(default_factory=dict)

    @property
    def plain(self) -> dict[str, FieldValue]:
        """The values alone."""
        return {path: shown.value for path, shown in self.values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """No write is needed or allowed, and why."""

    state: str
    reason: str = ""


def plan_delivery(item: ItemState, shadow: Shadow, rules: KindRule | None) -> Write | Rest:
    """Decide what the vendor's record needs, given what this vendor can do with its kind."""
    if rules is None:
        return Rest(state=NOTHING_TO_DO, reason=f"this vendor does not keep a {item.kind}")
    if _held(item.life, shadow.link_id):
        return Rest(state=HELD, reason=f"{LIFE} is in conflict")
    if item.deleted:
        return _deletion(item, shadow, rules)
    return _update(item, shadow, rules) if shadow.present else _creation(item, rules)


def confirmed(item: ItemState, shadow: Shadow, rules: KindRule | None) -> Shadow:
    """Return the shadow with every base advanced whose value the vendor shows already, its life included."""
    if rules is None:
        return shadow
    fields = dict(shadow.fields)
    if shadow.present and not item.deleted:
        fields[LIFE] = Shown(value=None, revision=item.life.revision)
    elif shadow.gone and item.deleted:
        fields[LIFE] = Shown(value=True, revision=item.life.revision)
    for path, state in item.fields.items():
        rule, shown = rules.fields.get(path), fields.get(path)
        if rule and shown and state.revision > shown.revision and _shows(shown, state.value, rule):
            fields[path] = replace(shown, revision=state.revision)
    return replace(shadow, fields=fields)


def _deletion(item: ItemState, shadow: Shadow, rules: KindRule) -> Write | Rest:
    if not shadow.present:
        return Rest(state=NOTHING_TO_DO)
    if not rules.delete:
        return Rest(state=NOTHING_TO_DO, reason=f"this vendor's {item.kind} cannot be deleted from outside")
    return Write(kind=IntentKind.DELETE, values={LIFE: Shown(value=True, revision=item.life.revision)})


def _creation(item: ItemState, rules: KindRule) -> Write | Rest:
    if not rules.create:
        return Rest(state=NOTHING_TO_DO, reason=f"this vendor's {item.kind} cannot be created from outside")
    values = {
        path: Shown(value=state.value, revision=state.revision)
        for path, state in item.fields.items()
        if state.value is not None and path in rules.fields and rules.fields[path].writable
    }
    if untold := [path for path, shown in values.items() if not rules.fields[path].takes(shown.value)]:
        return Rest(state=NOTHING_TO_DO, reason=_untold(item, untold))
    return Write(kind=IntentKind.CREATE, values=values)


def _update(item: ItemState, shadow: Shadow, rules: KindRule) -> Write | Rest:
    due, held, untold = {}, [], []
    for path, state in item.fields.items():
        rule = rules.fields.get(path)
        if rule is None or not rule.writable or _shows(shadow.fields.get(path), state.value, rule):
            continue
        if _held(state, shadow.link_id):
            held.append(path)
        elif not rule.takes(state.value):
            untold.append(path)
        else:
            due[path] = Shown(value=state.value, revision=state.revision)
    if not due:
        return Rest(state=NOTHING_TO_DO, reason=_untold(item, untold)) if untold else _rest(held)
    if not rules.update:
        return Rest(state=NOTHING_TO_DO, reason=f"this vendor's {item.kind} cannot be changed from outside")
    return Write(kind=IntentKind.UPDATE, values=due)


def _untold(item: ItemState, paths: list[str]) -> str:
    said = ", ".join(f"{path} is {item.value(path)}" for path in paths)
    return f"{said}, which this vendor can only be told by its own people"


def _rest(held: list[str]) -> Rest:
    if held:
        return Rest(state=HELD, reason=f"{', '.join(sorted(held))}: in conflict, held until it is decided")
    return Rest(state=NOTHING_TO_DO)


def _shows(shown: Shown | None, value: FieldValue, rule: FieldRule) -> bool:
    if shown is None:
        return rule.holds(value) is None
    return rule.equivalent(shown.value, value) or (shown.sent is not None and shown.sent == value)


def _held(state: FieldState, link_id: str) -> bool:
    return state.collision is not None and link_id in state.collision.held_links
