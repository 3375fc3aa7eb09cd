"""Merging two edits of one value, given the value that both started from. Pure.

Sets merge always: what either side added is in, what either side took out is out. Lines of text merge
by diff3 (Khanna, Kunal, Pierce: A Formal Investigation of Diff3, 2007): stretches that only one side
changed take that side's lines; a stretch that both changed, each in its own way, cannot be merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from wedsync.model.items import FieldType, FieldValue
from wedsync.model.values import MAX_LINES, MAX_TAGS

MERGED_TYPES = (FieldType.TAGS, FieldType.LINES)
"""Types of fields whose edits can be merged."""

_MOST_LINES = 2_000
"""Lines compared; comparing takes time with the square of their number."""


class Unmergeable(ValueError):
    """Both sides changed the same stretch, or the merged value would not fit its field."""


def merged(kind: FieldType, base: FieldValue, one: FieldValue, other: FieldValue) -> FieldValue:
    """Return the value with both edits in it; which side is named first makes no difference.

    Raises `Unmergeable`.
    """
    if one in (other, base):
        return other
    if other == base:
        return one
    if kind is FieldType.TAGS:
        return _tags(_set(base), _set(one), _set(other))
    if kind is FieldType.LINES:
        return _text(_lines(base), _lines(one), _lines(other))
    raise Unmergeable(f"a {kind} cannot be merged")


def _set(value: FieldValue) -> frozenset[str]:
    return frozenset(value) if isinstance(value, tuple) else frozenset()


def _tags(base: frozenset[str], one: frozenset[str], other: frozenset[str]) -> FieldValue:
    both = (one & other) | (one - base) | (other - base)
    if len(both) > MAX_TAGS:
        raise Unmergeable(f"together they are {len(both)} labels")
    return tuple(sorted(both)) or None


def _lines(value: FieldValue) -> list[str]:
    return value.split("\n") if isinstance(value, str) else []


def _text(base: Sequence[str], one: Sequence[str], other: Sequence[str]) -> FieldValue:
    if max(len(base), len(one), len(other)) > _MOST_LINES:
        raise Unmergeable(f"more than {_MOST_LINES} lines")
    text = "\n".join(line for stretch in _stretches(base, one, other) for line in stretch)
    if len(text) > MAX_LINES:
        raise Unmergeable(f"together they are {len(text)} characters")
    return text or None


def _stretches(base: Sequence[str], one: Sequence[str], other: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the lines of the merged text, stretch by stretch between lines that all three share."""
    at = at_one = at_other = 0
    for line, line_one, line_other in [*_shared(base, one, other), (len(base), len(one), len(other))]:
        yield _stretch(base[at:line], one[at_one:line_one], other[at_other:line_other])
        yield base[line : line + 1]
        at, at_one, at_other = line + 1, line_one + 1, line_other + 1


def _stretch(base: Sequence[str], one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    if one in (other, base):
        return other
    if other == base:
        return one
    raise Unmergeable("both changed the same lines")


def _shared(base: Sequence[str], one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return where each line stands that neither side touched: in the base, in one, and in the other."""
    in_one, in_other = _matched(base, one), _matched(base, other)
    return [(line, in_one[line], in_other[line]) for line in sorted(in_one.keys() & in_other.keys())]


def _matched(base: Sequence[str], side: Sequence[str]) -> dict[int, int]:
    blocks = SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks()
    return {block.a + i: block.b + i for block in blocks for i in range(block.size)}
