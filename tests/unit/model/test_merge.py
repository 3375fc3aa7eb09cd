"""What two edits of one value make together."""

from __future__ import annotations

import pytest

from wedsync.model.items import FieldType, FieldValue
from wedsync.model.merge import Unmergeable, merged
from wedsync.model.values import MAX_LINES, MAX_TAGS

TAGS, LINES = FieldType.TAGS, FieldType.LINES


@pytest.mark.parametrize(
    ("base", "one", "other", "together"),
    [
        (("a",), ("a", "b"), ("a", "c"), ("a", "b", "c")),
        (("a", "b"), ("a",), ("a", "b", "c"), ("a", "c")),
        (("a", "b"), ("a",), ("b",), None),
        (None, ("a",), ("b",), ("a", "b")),
        (("a",), None, ("a", "b"), ("b",)),
    ],
    ids=["both add", "one removes", "both remove", "from nothing", "one empties"],
)
def test_sets_always_merge(
    base: FieldValue, one: FieldValue, other: FieldValue, together: FieldValue
) -> None:
    """What either side added is in, what either side took out is out."""
    assert merged(TAGS, base, one, other) == together
    assert merged(TAGS, base, other, one) == together


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("A\nb\nc\nd", "a\nb\nc\nD", "A\nb\nc\nD"),
        ("a\nb\nc\nd\ne", "x\na\nb\nc\nd", "x\na\nb\nc\nd\ne"),
        ("a\nc\nd", "a\nb\nc\nd!", "a\nc\nd!"),
        ("A\nb\nc\nD", "A\nb\nc\nd", "A\nb\nc\nD"),
    ],
    ids=["first and last line", "added at both ends", "removed and changed", "the same edit and another"],
)
def test_edits_of_separate_lines_merge(one: str, other: str, together: str) -> None:
    """Each side's lines survive where the other side left them alone."""
    assert merged(LINES, "a\nb\nc\nd", one, other) == together
    assert merged(LINES, "a\nb\nc\nd", other, one) == together


@pytest.mark.parametrize(
    ("base", "one", "other"),
    [("a", "b", "c"), ("a\nb", "a\nx", "a\ny"), ("a\nb\nc", "a\nB\nc", "a\nb\nC"), (None, "a", "b")],
    ids=["one line", "the last line", "lines side by side", "from nothing"],
)
def test_edits_of_the_same_lines_do_not_merge(base: FieldValue, one: FieldValue, other: FieldValue) -> None:
    """Two edits of one stretch of lines, or of neighbours, are for somebody to decide."""
    with pytest.raises(Unmergeable):
        merged(LINES, base, one, other)


@pytest.mark.parametrize(
    ("kind", "base", "one", "other"),
    [
        (TAGS, None, tuple(f"a{i:02}" for i in range(MAX_TAGS)), ("b",)),
        (LINES, "m", "x" * MAX_LINES + "\nm", "m\ny"),
        (LINES, "m", "a\nm" + "\n" * 3000, "m\n" + "b\n" * 3000),
        (FieldType.TEXT, "a", "b", "c"),
    ],
    ids=["too many labels", "too much text", "too many lines", "another type"],
)
def test_what_would_not_fit_does_not_merge(
    kind: FieldType, base: FieldValue, one: FieldValue, other: FieldValue
) -> None:
    """A merged value must fit its field, be found in bearable time, and be of a type that merges."""
    with pytest.raises(Unmergeable):
        merged(kind, base, one, other)
