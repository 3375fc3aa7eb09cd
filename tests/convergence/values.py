"""A few values of every field, near enough to each other that vendors mix them up."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from wedsync.model.items import CATALOGUE, FieldSpec, FieldType, FieldValue, ItemKind
from wedsync.model.values import BadValue, canonical, nearest

_POOLS: dict[FieldType, Sequence[FieldValue]] = {
    FieldType.TEXT: (
        "First dance",
        " First dance ",
        "First  dance",
        "first dance",
        "Cake",
        "Tête-à-tête \u2028",
        "an aisle as long as this " * 20,
        "an aisle as long as this " * 20 + "!",
        None,
    ),
    FieldType.LINES: (
        "flowers",
        "flowers\n",
        "flowers\r\ncandles",
        "flowers\n\n candles",
        "candles\nflowers\nmusic",
        "Candles\nflowers\nmusic",
        "who pays\tfor all this, and when\n" * 40,
        None,
    ),
    FieldType.DATE: ("2027-06-12", "2027-06-13", "2028-02-29", "1850-06-12", None),
    FieldType.ZONED_TIME: (
        "2027-06-12T15:00:00[Europe/Paris]",
        "2027-06-12T15:00:30[Europe/Paris]",
        "2027-06-12T15:00:00[America/New_York]",
        "2027-06-12T16:00:00[Europe/Paris]",
        "2027-03-28T02:30:00[Europe/Paris]",
        "2027-06-13T00:00:00[Europe/Paris]",
        None,
    ),
    FieldType.BOOL: (True, False, None),
    FieldType.INTEGER: (0, 80, 81, -1, None),
    FieldType.MONEY: ("125000 EUR", "125001 EUR", "125000 USD", "0 EUR", "-5 EUR", None),
    FieldType.TAGS: (("band",), ("Band", "flowers"), ("flowers",), ("band", "cake", "flowers"), None),
}
_CONTACTS: dict[str, Sequence[FieldValue]] = {
    "email": ("ada@example.com", "Ada@Example.com", "ada@example.org", None),
    "phone": ("+33 1 23 45 67 89", "+33123456789", "01 23 45 67 89", None),
}


def typed(random: Random, kind: ItemKind, path: str) -> FieldValue:
    """Return what a person writes into a field of a vendor's."""
    spec = CATALOGUE[kind][path]
    return random.choice(_CONTACTS.get(path) or _pool(spec))


def sent(random: Random, kind: ItemKind, path: str) -> FieldValue:
    """Return what a program sends as a field's value, which it has to mend until it can be kept."""
    try:
        return canonical(kind, path, nearest(kind, path, typed(random, kind, path)))
    except BadValue:
        return None


def _pool(spec: FieldSpec) -> Sequence[FieldValue]:
    return (*spec.values, None) if spec.type is FieldType.ENUM else _POOLS[spec.type]
