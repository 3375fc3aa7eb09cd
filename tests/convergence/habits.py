"""How a vendor behaves beyond what its manifest says: what it makes of values, lists and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.versions import Versions
from wedsync.model.items import CATALOGUE, FieldType, FieldValue, ItemKind


def _minutes(text: str) -> str:
    return f"{text[:17]}00{text[19:]}" if len(text) > 18 and text[16] == ":" else text


def _short(text: str) -> str:
    return text[:40].strip()


_TEXTS = (FieldType.TEXT, FieldType.LINES)
_REWRITINGS: Mapping[str, tuple[Sequence[FieldType], Callable[[str], str]]] = {
    "trims": (_TEXTS, str.strip),
    "collapses spaces": ((FieldType.TEXT,), lambda text: " ".join(text.split())),
    "capitalises": ((FieldType.TEXT,), lambda text: text[:1].upper() + text[1:]),
    "lower case": ((FieldType.TAGS,), str.lower),
    "cuts": (_TEXTS, _short),
    "drops seconds": ((FieldType.ZONED_TIME,), _minutes),
    "no empty lines": ((FieldType.LINES,), lambda text: "\n".join(filter(str.strip, text.split("\n")))),
}
"""What vendors do to values without a word: to which types of field, and what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """One vendor's."""

    as_declared: bool
    """Whether it forgets of a value what its manifest says that it may forget."""
    rewrites: tuple[str, ...]
    """What it does to values besides, which its manifest does not say."""
    checks_versions: bool
    """Whether a write over a record that moved since it was read is refused."""
    creates_once: bool
    """Whether a create that comes twice under one marker makes one record."""
    fills_in: bool
    """Whether what a create leaves out gets a value of the vendor's own."""
    lists_all: bool
    """Whether each scan shows all there is, or what moved since the one before."""
    page: int

    @classmethod
    def drawn(cls, random: Random, versions: Versions) -> Habits:
        """Choose; what the manifest promises of its versions is kept."""
        drawn = cls(
            as_declared=random.random() < 0.7,
            rewrites=tuple(name for name in _REWRITINGS if random.random() < 0.15),
            checks_versions=random.random() < 0.5,
            creates_once=random.random() < 0.5,
            fills_in=random.random() < 0.3,
            lists_all=random.random() < 0.5,
            page=random.choice((3, 100)),
        )
        return replace(drawn, checks_versions=drawn.checks_versions or versions.guard_writes)

    def hold(self, kind: ItemKind, path: str, rule: FieldRule, value: FieldValue) -> FieldValue:
        """Return what becomes of a value; holding it again changes nothing."""
        while True:
            held = self._held(CATALOGUE[kind][path].type, rule, value)
            if held == value:
                return value
            value = held

    def _held(self, type_: FieldType, rule: FieldRule, value: FieldValue) -> FieldValue:
        if self.as_declared:
            value = rule.holds(value)
        for name in self.rewrites:
            types, rewrite = _REWRITINGS[name]
            if type_ in types:
                value = _each(value, rewrite)
        return value


def _each(value: FieldValue, rewrite: Callable[[str], str]) -> FieldValue:
    if isinstance(value, tuple):
        return tuple(sorted({text for text in map(rewrite, value) if text})) or None
    return (rewrite(value) or None) if isinstance(value, str) else value


def alike(rule: FieldRule, a: FieldValue, b: FieldValue) -> bool:
    """Say whether the manifest says that a vendor may not be able to tell two values from each other."""
    return rule.holds(a) == rule.holds(b)


def is_before(rule: FieldRule, a: FieldValue, b: FieldValue) -> bool:
    """Say whether a value is of an earlier step than another, where a field never goes back."""
    steps = {name: step for step, names in enumerate(rule.rising) for name in names}
    return b in steps and steps.get(str(a), -1) < steps[str(b)]
